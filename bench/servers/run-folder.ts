import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { constants, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { childrenOf, commandOf, isRunning, signal, startOf, withDescendants } from '../proc.ts'

/*
 * Whatever a run of tests or of benchmarks needs on this machine for a while is in one folder, and none of it outlives the run:
 *
 *     onramp-run-XXXXXX/lock            a socket on which the runner listens
 *     onramp-run-XXXXXX/processes/PID   of each process started: when it began, and the signal that ends it
 *     onramp-run-XXXXXX/...             data directories, configuration files, profiles of browsers
 *
 * A runner that ends, or is told to by SIGINT, SIGTERM or SIGHUP, ends its processes and removes its folder. One that is killed
 * cannot. But its socket dies with it: the kernel refuses who connects, and lets in who connects to that of a live runner. So the
 * next run finds what was left. (A file with a pid would not do: another process may have that number by then.)
 *
 * The folder takes the place of the system's folder for temporary files, so that what is not ours uses it too.
 */

const prefix = 'onramp-run-'
/** The folder's name until it is locked. */
const unlocked = 'onramp-unlocked-'
const processesFolder = 'processes'

/** Makes this process a runner, unless it is part of a run already, and removes what runners that were killed have left. */
export async function openRun(): Promise<void> {
  if (isPartOfRun()) return
  await removeLeftovers()
  const making = mkdtempSync(join(tmpdir(), unlocked))
  mkdirSync(join(making, processesFolder))
  chmodSync(making, 0o711) // PostgreSQL and pgbouncer refuse to be root: they run as somebody else, and have to pass
  const lock = createServer((socket) => socket.destroy())
  await once(lock.listen(join(making, 'lock')), 'listening')
  lock.unref()
  const folder = making.replace(unlocked, prefix)
  renameSync(making, folder)
  process.env.TMPDIR = folder
  process.once('exit', () => {
    // Workers first: they would start more.
    endAll(childrenOf(process.pid), 'SIGKILL')
    remove(folder)
  })
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(name, () => process.exit(128 + constants.signals[name]))
}

function isPartOfRun(): boolean {
  return basename(tmpdir()).startsWith(prefix)
}

/** A new folder of this run. */
export function newFolder(name: string): string {
  return mkdtempSync(join(folderOfRun(), `${name}-`))
}

/** Notes that `child` belongs to this run. */
export function recorded<Child extends ChildProcess>(child: Child): Child {
  if (child.pid !== undefined) recordProcess(child.pid)
  return child
}

/** SIGQUIT is for PostgreSQL: it gives back its shared memory, and nothing more. */
type End = 'SIGKILL' | 'SIGQUIT'

/** Notes that a process belongs to this run, and which signal ends it. */
export function recordProcess(pid: number, end: End = 'SIGKILL'): void {
  writeFileSync(join(folderOfRun(), processesFolder, String(pid)), `${startOf(pid)} ${end}`)
}

function folderOfRun(): string {
  if (!isPartOfRun()) throw new Error('This is not part of a run: see openRun.')
  return tmpdir()
}

async function removeLeftovers(): Promise<void> {
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(prefix))
  for (const name of folders) {
    const folder = join(tmpdir(), name)
    if (!(await isLocked(folder))) remove(folder)
  }
}

/** Whether the runner of `folder` lives; where that cannot be known, as of another user's, it is taken to. */
async function isLocked(folder: string): Promise<boolean> {
  const socket = connect(join(folder, 'lock'))
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    return !['ECONNREFUSED', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')
  } finally {
    socket.destroy()
  }
}

/** Ends the processes of a run, then removes its folder; without a pause for anything else, for this may be all the time there is. */
function remove(folder: string): void {
  const processes = [...recordedIn(folder), ...postmastersIn(folder)]
  for (const end of ['SIGKILL', 'SIGQUIT'] as const) {
    endAll(
      processes.filter((one) => one.end === end).map(({ pid }) => pid),
      end,
    )
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}

interface Recorded {
  pid: number
  end: End
}

/** The processes that were noted, and are still there: a pid that was given to another process began at another time. */
function recordedIn(folder: string): Recorded[] {
  return globSync(join(processesFolder, '*'), { cwd: folder }).flatMap((file) => {
    const [began, end] = readFileSync(join(folder, file), 'utf8').split(' ')
    const pid = Number(basename(file))
    return began !== undefined && began === startOf(pid) ? [{ pid, end: end === 'SIGQUIT' ? end : 'SIGKILL' }] : []
  })
}

/** PostgreSQL's own notes: one may have been started by a process that has not come to note it. Its arguments name its files. */
function postmastersIn(folder: string): Recorded[] {
  return globSync('**/postmaster.pid', { cwd: folder }).flatMap((file) => {
    const pid = Number(readFileSync(join(folder, file), 'utf8').split('\n')[0])
    return commandOf(pid).includes(dirname(join(folder, file))) ? [{ pid, end: 'SIGQUIT' }] : []
  })
}

/** Ends processes, and whatever they have started, by `end`; those that do not heed it within five seconds, by force. */
function endAll(pids: readonly number[], end: End): void {
  const all = pids.flatMap(withDescendants)
  signal(all, 'SIGCONT')
  signal(end === 'SIGKILL' ? all : pids, end)
  if (areGoneInTime(all)) return
  signal(all, 'SIGKILL')
  areGoneInTime(all)
}

function areGoneInTime(pids: readonly number[]): boolean {
  const deadline = performance.now() + 5000
  while (pids.some(isRunning)) {
    if (performance.now() > deadline) return false
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
  }
  return true
}
