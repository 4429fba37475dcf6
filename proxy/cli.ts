// The command line: commands, options, usage.
import { parseArgs } from 'node:util'
import { messageOf, WrongUsage } from './errors.ts'
import { suggest } from './suggest.ts'

/** The commands. */
export const commands = ['serve', 'check', 'tune'] as const

export interface Command {
  name: (typeof commands)[number] | 'help' | 'version'
  config: string
  db: boolean
  printSql: boolean
}

/** The text of `--help`, also printed after wrong usage. */
export function usage(version: string): string {
  return `onramp ${version}: a read-through caching proxy in front of PostgreSQL

  onramp [serve] [--config FILE]         start the proxy; Ctrl-C stops it
  onramp check   [--config FILE] [--db]  validate the configuration; with --db, also against the database
                 [--db --print-sql]      print the SQL, for psql, that following changes still requires
  onramp tune    [--config FILE]         print advice based on what the running onramp has measured
  onramp --help | --version

FILE defaults to config/onramp.yaml of this program. Exit codes: 0 success, 1 failure, 2 wrong usage.
`
}

const options = {
  config: { type: 'string' },
  db: { type: 'boolean' },
  'print-sql': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const

/** The command in `args`. Throws {@link WrongUsage}, with a suggestion, for anything else. */
export function readArguments(args: string[], defaultConfig: string): Command {
  const { values, positionals } = parse(args)
  const command = {
    config: values.config ?? defaultConfig,
    db: values.db ?? false,
    printSql: values['print-sql'] ?? false,
  }
  if (values.help) return { ...command, name: 'help' }
  if (values.version) return { ...command, name: 'version' }
  const [asked = 'serve', ...more] = positionals
  const name = commands.find((command) => command === asked)
  if (name === undefined) throw new WrongUsage(`Unknown command ${asked}${suggest(asked, commands)}`)
  if (more.length > 0) throw new WrongUsage(`Unexpected arguments after ${name}: ${more.join(' ')}`)
  if (values.db && name !== 'check') throw new WrongUsage('--db is an option of check only')
  if (values['print-sql'] && !values.db) throw new WrongUsage('--print-sql requires check --db')
  return { ...command, name }
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options, allowPositionals: true })
  } catch (error) {
    const [sentence = ''] = messageOf(error).split('. ')
    const known = Object.keys(options).map((option) => `--${option}`)
    const unknown = /^Unknown option '([^']+)'/.exec(sentence)?.[1]
    throw new WrongUsage(`${sentence}${unknown === undefined ? '' : suggest(unknown, known)}`)
  }
}
