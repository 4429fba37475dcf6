// The command line.
import { parseArgs } from 'node:util'
import { messageOf, WrongUsage } from './errors.ts'
import { suggest } from './suggest.ts'

/** What can be asked for by its name. */
export const commands = ['serve', 'check', 'tune'] as const

export interface Command {
  name: (typeof commands)[number] | 'help' | 'version'
  config: string
  db: boolean
  printSql: boolean
}

/** What `--help` prints, and what follows a wrong usage. */
export function usage(version: string): string {
  return `onramp ${version}: a read-through cache ahead of a web tier, in front of PostgreSQL

  onramp [serve] [--config FILE]         serve, until Ctrl-C
  onramp check   [--config FILE] [--db]  validate the configuration; with --db, ask the database too
                 [--db --print-sql]      print what the database lacks to be followed, for psql
  onramp tune    [--config FILE]         what the running onramp has measured, as advice
  onramp --help | --version

FILE is config/onramp.yaml of this program unless given. Exit codes: 0 done, 1 refused, 2 wrong usage.
`
}

const options = {
  config: { type: 'string' },
  db: { type: 'boolean' },
  'print-sql': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const

/** The command that `args` spell. Throws {@link WrongUsage}, with the near match, for anything else. */
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
  if (name === undefined) throw new WrongUsage(`There is no command ${asked}${suggest(asked, commands)}`)
  if (more.length > 0) throw new WrongUsage(`Nothing is expected after ${name}: ${more.join(' ')}`)
  if (values.db && name !== 'check') throw new WrongUsage('--db goes with check')
  if (values['print-sql'] && !values.db) throw new WrongUsage('--print-sql goes with check --db')
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
