import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type FaultResults, readFaultResults, type Share } from '../bench/fault-results.ts'
import { type Results, resultsTable } from '../bench/report.ts'
import { jsonSchema } from '../proxy/config/json-schema.ts'

/*
 * Writes what is made from the configuration's schema: config/schema.json, for editors, and the tables of README.md; and the table of
 * what was measured, from the latest runs of the benchmarks and of the fault tests.
 * `npm run docs`; test/docs.test.ts fails when they are stale.
 */

interface Node {
  type?: string
  description?: string
  default?: unknown
  const?: unknown
  enum?: unknown[]
  properties?: Record<string, Node>
  additionalProperties?: Node | false
  anyOf?: Node[]
  oneOf?: Node[]
  required?: string[]
  items?: Node
}

export function schemaJson(): string {
  return `${JSON.stringify({ title: 'onramp', ...jsonSchema() }, null, 2)}\n`
}

/** The run that README.md speaks of. */
export function keptResults(): Results {
  return JSON.parse(readFileSync(new URL('../bench/results/latest.json', import.meta.url), 'utf8')) as Results
}

/** `readme` with what stands between `<!-- NAME -->` and `<!-- /NAME -->` made anew, for each table there is. */
export function withTables(readme: string, results = readFaultResults()): string {
  const root = jsonSchema() as Node
  const route = eachOf(child(root, 'routes'))
  const parameters = eachOf(child(route, 'parameters')).oneOf ?? []
  const tables = {
    settings: table(['setting', 'default', 'what it is'], settings(root)),
    'route-settings': table(['setting of a route', 'default', 'what it is'], settings(route)),
    parameters: table(
      ['type', 'settings of its own'],
      parameters.map((parameter) => [`\`${parameter.properties?.type?.const}\``, ownSettings(parameter)]),
    ),
    benchmarks: resultsTable(keptResults()),
    faults: table(
      [
        'what happens',
        'held: failed',
        'slowest',
        'past `stale`: failed',
        'slowest',
        'new: failed',
        'slowest',
        'well after',
        'SQL/s',
        'level',
        'hiccup',
      ],
      faults(results),
    ),
    crowds: table(['what happens', 'requests', 'failed', 'SQL'], crowds(results)),
    coherence: table(
      ['what happens', 'reads', 'older than known, or back', 'everywhere: p50', 'p99', 'synchronized again after'],
      coherence(results),
    ),
  }
  return Object.entries(tables).reduce((text, [name, rows]) => {
    const between = new RegExp(`(<!-- ${name} -->\n)[\\s\\S]*?(<!-- /${name} -->)`)
    if (!between.test(text)) throw new Error(`README.md has no place for the table ${name}.`)
    return text.replace(between, (_all, open, close) => `${open}${rows}\n${close}`)
  }, readme)
}

/** One row a setting; sections of the file are walked into, mappings of named things are not. */
function settings(node: Node, path = ''): string[][] {
  return Object.entries(node.properties ?? {}).flatMap(([name, setting]) => {
    const at = path === '' ? name : `${path}.${name}`
    if (setting.properties !== undefined && setting.description === undefined) return settings(setting, at)
    if (at === 'routes') return []
    return [[`\`${at}\``, presetOf(node, name, setting), setting.description ?? '']]
  })
}

function faults({ faults: measured }: FaultResults): string[][] {
  const failed = ({ failed: some, sent }: Share) => `${some} of ${sent}`
  const slowest = ({ worstAddedMs }: Share) => `${Math.round(worstAddedMs)} ms`
  return measured.map((one) => {
    const isNew = { ...one.cold, failed: one.cold.failed + one.other.failed, sent: one.cold.sent + one.other.sent }
    isNew.worstAddedMs = Math.max(one.cold.worstAddedMs, one.other.worstAddedMs)
    const shares = [one.held, one.old, isNew].flatMap((share) => [failed(share), slowest(share)])
    const well = one.healthySeconds === null ? 'never' : `${one.healthySeconds.toFixed(1)} s`
    const levels = one.levels.join(', ') || 'healthy'
    return [one.fault, ...shares, well, one.sqlPerSecond.toFixed(0), levels, `${Math.round(one.noiseMs)} ms`]
  })
}

function crowds({ crowds: measured, deploy, beside }: FaultResults): string[][] {
  const rows = measured.map(({ name, clients, processes, failed, sql }) => [
    `${clients} clients over ${processes} processes on one key whose time is over, ${name}`,
    `${clients}`,
    `${failed}`,
    `${sql}`,
  ])
  if (beside !== undefined) {
    const { asked, failed, p50Ratio, p99Ratio } = beside
    const what = `a quick statement beside \`pg_sleep(5)\` fifty times a second: p50 ${p50Ratio} times, p99 ${p99Ratio} times as long as alone`
    rows.push([what, `${asked}`, `${failed}`, ''])
  }
  if (deploy === undefined) return rows
  const { sent, underWay, broken } = deploy
  rows.push([`SIGTERM with ${underWay} requests under way, the next process takes over`, `${sent}`, `${broken}`, ''])
  return rows
}

function coherence({ coherence: measured = [] }: FaultResults): string[][] {
  const ms = (value: number | null) => (value === null ? '–' : `${Math.round(value)} ms`)
  return measured.map(({ name, reads, violations, everywhereP50Ms, everywhereP99Ms, convergedSeconds }) => [
    name,
    reads.toLocaleString('en-US'),
    `${violations}`,
    ms(everywhereP50Ms),
    ms(everywhereP99Ms),
    `${convergedSeconds.toFixed(1)} s`,
  ])
}

function child({ properties }: Node, name: string): Node {
  const found = properties?.[name]
  if (found === undefined) throw new Error(`The schema has no ${name}.`)
  return found
}

/** What each named thing of a mapping looks like. */
function eachOf({ additionalProperties }: Node): Node {
  if (!additionalProperties) throw new Error('The schema describes no mapping here.')
  return additionalProperties
}

function presetOf(parent: Node, name: string, setting: Node): string {
  if (setting.default !== undefined)
    return `\`${typeof setting.default === 'string' ? setting.default : JSON.stringify(setting.default)}\``
  return parent.required?.includes(name) ? 'required' : 'none'
}

function ownSettings(parameter: Node): string {
  return Object.entries(parameter.properties ?? {})
    .filter(([name]) => name !== 'type')
    .map(([name, setting]) => {
      const preset = presetOf(parameter, name, setting)
      return `\`${name}\`${preset === 'none' ? '' : ` (${preset})`}`
    })
    .join(', ')
}

function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const body = rows.length > 0 ? rows : [head.map((_, i) => (i === 0 ? 'not measured yet' : ''))]
  return [line(head), line(head.map(() => '---')), ...body.map(line)].join('\n')
}

const proxyFolder = new URL('../proxy/', import.meta.url)

/** `readme`, of proxy/, with its code map made anew: each file, and what its first comment says. Throws for a file that says nothing. */
export function withCodeMap(readme: string): string {
  const files = globSync('**/*.ts', { cwd: fileURLToPath(proxyFolder) }).map((file) => file.replaceAll('\\', '/'))
  const rows = files.sort(byFolder).map((file) => {
    const [, says] = /^(?:#!.*\n)?\/\/ (.+)\.\n/.exec(readFileSync(new URL(file, proxyFolder), 'utf8')) ?? []
    if (says === undefined)
      throw new Error(`proxy/${file} does not begin with a comment of one line that says what it is.`)
    return [`\`${file}\``, says]
  })
  return readme.replace(
    /(<!-- code-map -->\n)[\s\S]*?(<!-- \/code-map -->)/,
    `$1${table(['file', 'what it is'], rows)}\n$2`,
  )
}

/** The files of the top first, then folder by folder. */
function byFolder(a: string, b: string): number {
  const [folderA, folderB] = [posix.dirname(a), posix.dirname(b)]
  return folderA === folderB ? (a < b ? -1 : 1) : folderA < folderB ? -1 : 1
}

if (import.meta.main) {
  const map = new URL('README.md', proxyFolder)
  writeFileSync(map, withCodeMap(readFileSync(map, 'utf8')))
  const readme = new URL('../README.md', import.meta.url)
  writeFileSync(new URL('schema.json', import.meta.url), schemaJson())
  writeFileSync(readme, withTables(readFileSync(readme, 'utf8')))
}
