// By notifications; the triggers that send them.
import { expandTags, tagSql } from '../tags.ts'
import type { CatalogSnapshot, Relation } from './catalog.ts'
import { isFollowable } from './publication.ts'
import type { ChangeStream, StreamListener } from './replication.ts'
import { type Client, query } from './session.ts'
import { maxRowTags, maxValueLength, readNotice } from './transaction.ts'

/** Where tags are notified, by onramp's triggers and by whoever wants to: `pg_notify('onramp', '{"tags":["county:51059"]}')`. */
const channel = 'onramp'

/**
 * Follows the database by notifications, on the session `control`. PostgreSQL delivers one once its transaction is visible, in
 * the order of the commits, and never again: what is told while nobody listens is lost. So each heartbeat takes the same way.
 */
export async function followByNotify(options: {
  control: Client
  sender: string
  seen(): CatalogSnapshot
  listener: StreamListener
}): Promise<ChangeStream> {
  const { control, listener, sender } = options
  const listen = ({ payload = '' }: { payload?: string | undefined }) => {
    const { tags, changed, beat } = readNotice(payload)
    const all = new Set([...changed, ...expandTags(tags, options.seen().tables)])
    if (all.size > 0) listener.changed([...all])
    if (beat?.sender === sender) listener.beat(beat.number)
  }
  control.on('notification', listen)
  await query(control, `listen ${channel}`)
  return {
    async beat(number) {
      await query(control, `select pg_notify('${channel}', $1)`, [JSON.stringify({ beat: number, sender })])
    },
    async close() {
      control.off('notification', listen)
    },
  }
}

/** PostgreSQL takes less than 8,000 bytes. */
const maxPayload = 7900

/**
 * What all triggers call. Their arguments are the followed tables that the triggering one belongs to, as JSON; so the names are
 * those onramp uses, whatever the writer's search_path.
 */
const functionSql = `CREATE SCHEMA IF NOT EXISTS onramp;
CREATE OR REPLACE FUNCTION onramp.changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $function$
DECLARE
  tags jsonb := '[]';
  whole jsonb := '[]';
  followed jsonb;
  name text;
  source text := CASE TG_OP
    WHEN 'INSERT' THEN 'select * from onramp_new'
    WHEN 'DELETE' THEN 'select * from onramp_old'
    ELSE 'select * from onramp_old union all select * from onramp_new' END;
  row_tags jsonb;
BEGIN
  FOR i IN 0 .. TG_NARGS - 1 LOOP
    followed := TG_ARGV[i];
    tags := tags || jsonb_build_array(${tagSql.table("(followed ->> 'table')")});
    whole := whole || jsonb_build_array(${tagSql.table("(followed ->> 'table')")});
    IF jsonb_array_length(followed -> 'columns') > 0 THEN
      whole := whole || jsonb_build_array(${tagSql.rows("(followed ->> 'table')")});
    END IF;
    FOR name IN SELECT jsonb_array_elements_text(followed -> 'columns') LOOP
      row_tags := jsonb_build_array(${tagSql.rows("(followed ->> 'table')")});
      IF TG_OP <> 'TRUNCATE' THEN
        EXECUTE format(
          'select case when count(*) <= ${maxRowTags} then coalesce(jsonb_agg(%L || value), ''[]'') else $1 end from (
             select distinct %I::text as value from (%s) changed limit ${maxRowTags + 1}
           ) found where length(value) <= ${maxValueLength}',
          ${tagSql.rowBeforeValue("(followed ->> 'table')", 'name')}, name, source) INTO row_tags USING row_tags;
      END IF;
      tags := tags || row_tags;
    END LOOP;
  END LOOP;
  IF octet_length(jsonb_build_object('changed', tags)::text) > ${maxPayload} THEN
    tags := whole;
  END IF;
  PERFORM pg_notify('${channel}', jsonb_build_object('changed', tags)::text);
  RETURN NULL;
END $function$`

const operations = ['insert', 'update', 'delete', 'truncate'] as const

/** The triggers `relation` needs, by name: with its arguments as the catalog has them, and the statement that makes it. */
export function triggersOf(seen: CatalogSnapshot, relation: Relation): { name: string; args: string; sql: string }[] {
  const mine = seen.found.filter(({ schema, name }) => schema === relation.schema && name === relation.name)
  const followed = mine.map(({ table }) => ({ table, columns: [...(seen.tables.get(table)?.columns ?? [])].sort() }))
  const args = followed.map((one) => JSON.stringify(one))
  const call = `EXECUTE FUNCTION onramp.changed(${args.map(literal).join(', ')})`
  const trigger = (name: string, event: string, rows: string) => ({
    name,
    args: Buffer.from(args.map((arg) => `${arg}\0`).join('')).toString('hex'),
    sql: `CREATE OR REPLACE TRIGGER ${name} AFTER ${event} ON ${relation.sql}${rows} FOR EACH STATEMENT ${call};
ALTER TABLE ${relation.sql} ENABLE ALWAYS TRIGGER ${name}`,
  })
  if (followed.every(({ columns }) => columns.length === 0))
    return [trigger('onramp', operations.join(' OR ').toUpperCase(), '')]
  const transition = {
    insert: ' REFERENCING NEW TABLE AS onramp_new',
    update: ' REFERENCING OLD TABLE AS onramp_old NEW TABLE AS onramp_new',
    delete: ' REFERENCING OLD TABLE AS onramp_old',
    truncate: '',
  }
  return operations.map((operation) => trigger(`onramp_${operation}`, operation.toUpperCase(), transition[operation]))
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Whether all that `relation` needs is there, and knows of the columns routes tell rows by. */
export function hasTriggers(seen: CatalogSnapshot, relation: Relation): boolean {
  return triggersOf(seen, relation).every(({ name, args }) => relation.triggers.includes(`${name} ${args}`))
}

/** The statements that make what is missing. */
export function triggerSql(seen: CatalogSnapshot): string[] {
  const missing = seen.found.filter((relation) => isFollowable(relation) && !hasTriggers(seen, relation))
  const statements = missing.flatMap((relation) => triggersOf(seen, relation).map(({ sql }) => sql))
  return statements.length === 0 ? [] : [functionSql, ...new Set(statements)]
}
