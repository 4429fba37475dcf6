// The triggers that notify changes, and the SQL that creates them: pure.
import { tagSql } from '../tags.ts'
import type { CatalogSnapshot, Relation } from './catalog.ts'
import { isFollowable } from './publication.ts'
import { maxRowTags, maxValueLength } from './transaction.ts'

/**
 * The channel of notified tags, from onramp's triggers and from applications: `pg_notify('onramp',
 * '{"tags":["county:51059"]}')`.
 */
export const notifyChannel = 'onramp'

/** In bytes. PostgreSQL takes less than 8,000. */
const maxPayload = 7900

/**
 * The function of all triggers. Its arguments are the followed tables of the triggering relation, as JSON; so the names
 * are those that onramp uses, whatever the writer's search_path.
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
  PERFORM pg_notify('${notifyChannel}', jsonb_build_object('changed', tags)::text);
  RETURN NULL;
END $function$`

const operations = ['insert', 'update', 'delete', 'truncate'] as const

/** The triggers that `relation` needs: each name, its arguments as the catalog has them, and the statement that creates it. */
export function triggersOf(
  catalog: CatalogSnapshot,
  relation: Relation,
): { name: string; args: string; sql: string }[] {
  const mine = catalog.found.filter(({ schema, name }) => schema === relation.schema && name === relation.name)
  const followed = mine.map(({ table }) => ({ table, columns: [...(catalog.tables.get(table)?.columns ?? [])].sort() }))
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

/** Whether `relation` has all triggers it needs, with the columns by which routes identify rows. */
export function hasTriggers(catalog: CatalogSnapshot, relation: Relation): boolean {
  return triggersOf(catalog, relation).every(({ name, args }) => relation.triggers.includes(`${name} ${args}`))
}

/** The statements that create the missing triggers. */
export function triggerSql(catalog: CatalogSnapshot): string[] {
  const missing = catalog.found.filter((relation) => isFollowable(relation) && !hasTriggers(catalog, relation))
  const statements = missing.flatMap((relation) => triggersOf(catalog, relation).map(({ sql }) => sql))
  return statements.length === 0 ? [] : [functionSql, ...new Set(statements)]
}
