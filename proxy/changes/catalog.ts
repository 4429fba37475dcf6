// The catalog: how the followed tables and functions are defined, read every second.
import type { FollowedObjects, FollowedTable } from '../tags.ts'
import type { Client } from './session.ts'
import { relationKey, type Watched } from './transaction.ts'

/** The publication that replication follows. Every fleet of a database adds its tables to it. */
export const publication = 'onramp'

/** A relation of a followed table or view: itself, or a partition or a child of it. */
export interface Relation {
  /** The followed table it belongs to. */
  table: string
  oid: string
  /** Quoted, with its schema. */
  sql: string
  schema: string
  name: string
  isTop: boolean
  kind: string
  isPermanent: boolean
  isSystem: boolean
  isPartition: boolean
  /** Whether the publication contains all of it: no row filter, all columns. */
  isPublished: boolean
  /** Whether an UPDATE or DELETE identifies its row. Without that PostgreSQL refuses both once the table is published. */
  hasIdentity: boolean
  /** Columns whose old value an UPDATE or DELETE sends. */
  identity: string[]
  /** Unique indexes, with their columns, that could be the replica identity. */
  candidates: { index: string; columns: string[] }[]
  /** The names of onramp's triggers on it, each with its arguments in hexadecimal. */
  triggers: string[]
  /** `shape`: its definition. `content`: the file of a materialized view, which a refresh replaces. */
  shape: string
  content: string
}

/** The catalog's entries on the followed tables and functions at one moment. */
export interface CatalogSnapshot extends Watched {
  found: readonly Relation[]
  /** The definition of each table: changes when it is altered, dropped, recreated or refreshed, or gets a partition. */
  shapes: ReadonlyMap<string, string>
  /** The definition of each function. */
  functions: ReadonlyMap<string, string>
  /** Changes when any of these is redefined: the routes may read other tables then. */
  definitions: string
}

/**
 * Reads the definitions of the followed tables, and whether they are published.
 *
 * One query of a millisecond or two, so that it can run every second: no replication stream shows changes of a table's
 * definition. Functions take a second query, if there are any.
 */
export async function readCatalog(
  client: Client,
  { tables: followed, functions: names }: FollowedObjects,
): Promise<CatalogSnapshot> {
  // No timeout: this waits while a published table is locked, and following the database must outlast that.
  const { rows: found } = await client.query<Relation>(lookSql, [followed.map(({ table }) => table), publication])
  const made = names.length === 0 ? [] : (await client.query<{ name: string; shape: string }>(madeSql, [names])).rows
  const tables = new Map(followed.map((one) => [one.table, one]))
  const relations = new Map<string, FollowedTable[]>()
  const shapes = new Map<string, string>()
  for (const { table, schema, name, shape, content } of found) {
    const key = relationKey(schema, name)
    const one = tables.get(table)
    if (one !== undefined) relations.set(key, [...(relations.get(key) ?? []), one])
    shapes.set(table, `${shapes.get(table) ?? ''} ${shape} ${content}`)
  }
  const functions = new Map(made.map(({ name, shape }) => [name, shape]))
  const definitions = JSON.stringify([found.map(({ table, shape }) => [table, shape]), [...functions]])
  return { tables, relations, found, shapes, functions, definitions }
}

// Not `to_regprocedure`: up to PostgreSQL 15 it fails if the type of an argument no longer exists.
const madeSql = `
select p.oid::regprocedure::text as name, p.oid || ':' || p.xmin as shape
from pg_proc p
where pronamespace <> 'pg_catalog'::regnamespace and p.oid::regprocedure::text = any ($1)
order by 1`

const lookSql = `
with recursive top as (
  select wanted as "table", to_regclass(wanted)::oid as oid from unnest($1::text[]) wanted
), tree as (
  select "table", oid, true as is_top from top where oid is not null
  union
  select "table", inhrelid, false from tree join pg_inherits on inhparent = oid
), published as (
  select p.oid, puballtables
  from pg_publication p where pubname = $2
)
select "table", c.oid::text, format('%I.%I', nspname, relname) as sql, nspname as schema, relname as name, is_top as "isTop",
  relkind as kind, relpersistence = 'p' as "isPermanent", nspname in ('pg_catalog', 'information_schema') as "isSystem",
  relispartition as "isPartition",
  coalesce((select puballtables
      or exists (select from pg_publication_rel r where prpubid = published.oid
        and (prrelid = c.oid or relispartition and prrelid in (select relid from pg_partition_ancestors(c.oid)))
        and to_jsonb(r) ->> 'prqual' is null and to_jsonb(r) ->> 'prattrs' is null)
      or exists (select from pg_publication_tables t where pubname = $2 and (schemaname, tablename) = (nspname, relname)
        and not exists (select from pg_publication_rel where prpubid = published.oid and prrelid = c.oid))
    from published), false) as "isPublished",
  relreplident = 'f' or identity.columns is not null as "hasIdentity",
  case when relreplident = 'f' then attributes.names else coalesce(identity.columns, '{}') end as identity,
  coalesce(candidates.found, '[]') as candidates,
  coalesce((select array_agg(tgname || ' ' || encode(tgargs, 'hex') order by tgname) from pg_trigger
    where tgrelid = c.oid and tgname like 'onramp%' and tgenabled in ('O', 'A')), '{}') as triggers,
  case relkind when 'm' then relfilenode::text else '' end as content,
  concat_ws(' ', c.oid, nspname, relname, attributes.shape,
    (select string_agg(r.oid || ':' || r.xmin, ',' order by r.oid) from pg_rewrite r where ev_class = c.oid)) as shape
from tree join pg_class c using (oid) join pg_namespace n on n.oid = relnamespace,
  lateral (
    select array_agg(attname::text order by attnum) filter (where not attisdropped) as names,
      md5(string_agg(concat_ws(',', attnum, attname, atttypid, atttypmod, attisdropped), ' ' order by attnum)) as shape
    from pg_attribute where attrelid = c.oid and attnum > 0
  ) attributes
  left join lateral (
    select array_agg(attname::text) as columns from pg_index join pg_attribute on attrelid = indrelid and attnum = any (indkey)
    where indrelid = c.oid and indisvalid
      and (relreplident = 'd' and indisprimary and indimmediate or relreplident = 'i' and indisreplident)
    group by indexrelid
  ) identity on true
  left join lateral (
    select json_agg(json_build_object('index', index, 'columns', columns)) as found from (
      select indexrelid::regclass::text as index, array_agg(attname::text) as columns
      from pg_index join pg_attribute on attrelid = indrelid and attnum = any (indkey)
      where indrelid = c.oid and indisunique and indimmediate and indisvalid and indpred is null and indexprs is null
      group by indexrelid having bool_and(attnotnull)
    ) usable
  ) candidates on true
order by "table", is_top desc, 3`
