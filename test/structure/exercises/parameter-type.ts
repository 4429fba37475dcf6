import type { Exercise } from './exercise.ts'

/** A type of parameter: declared in the file, in the JSON Schema and the README, and read into a canonical value. */
export const parameterType: Exercise = {
  title: 'a parameter type',
  mostFiles: 2,
  edits: [
    {
      file: 'proxy/config/parameter-types.ts',
      before: '  enum: parameterType(',
      after: `  date: parameterType(
    z.strictObject({ type: z.literal('date'), default: z.iso.date().nullish() }),
    () => [],
  ),
  enum: parameterType(`,
    },
    {
      file: 'proxy/http/routes/parameters.ts',
      before: '  enum: enumReader,',
      after: `  date: dateReader,
  enum: enumReader,`,
    },
    {
      file: 'proxy/http/routes/parameters.ts',
      before: 'function enumReader(',
      after: `function dateReader(): ScalarReader {
  return (value) =>
    typeof value === 'string' && /^\\d{4}-\\d\\d-\\d\\d$/.test(value) && isDay(value)
      ? { value }
      : { fault: \`is not a date like 2014-12-31: \${quote(value)}\` }
}

function isDay(text: string): boolean {
  const day = new Date(text)
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text)
}

function enumReader(`,
    },
  ],
  probe: `import { deepEqual, match } from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { readConfig } from '../proxy/config/load.ts'
import { compileRoute } from '../proxy/http/routes/route.ts'

const file = 'probe.yaml'
writeFileSync(
  file,
  \`routes:
  one:
    path: /one
    sql: select :day::date, :days::date[]
    parameters:
      day: { type: date }
      days: { type: list, items: { type: date }, default: null }
\`,
)
const [config] = readConfig(file, {}).routes
if (config === undefined) throw new Error('There is no route.')
const route = compileRoute(config)
const read = (day: string) => route.read(new Map([['day', [day]], ['days', [day]]]))
deepEqual(read('2014-12-31'), {
  params: Object.assign(Object.create(null), { day: '2014-12-31', days: ['2014-12-31'] }),
})
for (const wrong of ['2014-02-29', '31.12.2014', '2014-1-1', '']) deepEqual('faults' in read(wrong), true)
match(readFileSync('config/schema.json', 'utf8'), /"const": "date"/)
match(readFileSync('config/README.md', 'utf8'), /^\\| \`date\` \\|/m)
`,
}
