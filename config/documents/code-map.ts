import { globSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { table } from '../../bench/markdown.ts'

const proxyFolder = new URL('../../proxy/', import.meta.url)

/** The purpose of each folder of proxy/, in the order in which a reader of the code meets them. */
const purposes: Readonly<Record<string, string>> = {
  '.': 'The process, the program that wires all parts together, and small modules that every layer may use.',
  http: 'The public listener: from a connection to a request head, and from an answer to a response.',
  'http/routes': 'Configured routes: which one a request names, its parameters, and its answer.',
  'http/upstream': 'Requests that no route answers, on their way to the upstream and back.',
  cache: 'Reading through the tiers: entries, flights, leases, and the rules for serving an entry.',
  coherence: 'The invalidation log, and the ledger that says which entries are still valid.',
  changes: 'Following the database: logical replication, or triggers and NOTIFY.',
  origin: 'PostgreSQL: statements, their inspection, and the protection of the database.',
  overload: 'The protection of this process from more work than it can do.',
  ops: 'For operators: metrics, log, probes, advice, traces. The files of the dashboard page are in `ops/dashboard/`.',
  config: 'The configuration: its schema, defaults and checks.',
  example: 'The example database of `npm start`.',
}

/** Each folder of proxy/ with its purpose, and each file with its first comment. Throws where either is missing. */
export function codeMap(): string {
  const files = globSync('**/*.ts', { cwd: fileURLToPath(proxyFolder) }).map((file) => file.replaceAll('\\', '/'))
  const byFolder = Map.groupBy(files.sort(), (file) => posix.dirname(file))
  const unknown = [...byFolder.keys()].filter((folder) => !(folder in purposes))
  if (unknown.length > 0)
    throw new Error(`config/documents/code-map.ts names no purpose of proxy/${unknown.join(', ')}.`)
  return Object.entries(purposes)
    .map(([folder, purpose]) => sectionOf(folder, purpose, byFolder.get(folder) ?? []))
    .join('\n\n')
}

function sectionOf(folder: string, purpose: string, files: readonly string[]): string {
  if (files.length === 0) throw new Error(`proxy/${folder} has no files. Remove it from config/documents/code-map.ts.`)
  const rows = files.map((file) => [`[${posix.basename(file)}](${file})`, firstComment(file)])
  const title = folder === '.' ? 'proxy/' : `${folder}/`
  return `### \`${title}\`\n\n${purpose}\n\n${table(['file', 'content'], rows)}`
}

function firstComment(file: string): string {
  const [, comment] = /^(?:#!.*\n)?\/\/ (.+)\.\n/.exec(readFileSync(new URL(file, proxyFolder), 'utf8')) ?? []
  if (comment === undefined) throw new Error(`proxy/${file} does not begin with a one-line comment about its content.`)
  return comment
}
