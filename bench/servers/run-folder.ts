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
 * One folder holds all temporary files of a run of tests or benchmarks, and none of them outlives the run:
 *
 *     onramp-run-XXXXXX/lock            a socket on which the runner listens
 *     onramp-run-XXXXXX/processes/PID   of each started process: its start time, and the signal that ends it
 *     onramp-run-XXXXXX/...             data directories, configuration files, profiles of browsers
 *
 * A runner that ends, also by SIGINT, SIGTERM or SIGHUP, ends its processes and removes its folder. After SIGKILL it cannot. But its
 * socket dies with it: the kernel refuses a connection to the socket of a dead runner, and accepts one to that of a live runner. So the
 * next run finds the leftovers and removes them. (A pid file is not enough: another process may have that pid by then.)
 *
 * The folder becomes TMPDIR, so that libraries use it too.
 */

const prefix = 'onramp-run-'
/** Prefix of the folder until its lock exists. */
const unlocked = 'onramp-unlocked-'
const processesFolder = 'processes'

/** Makes this process a runner, unless it is part of a run already, and removes the leftovers of killed runners. */
export async function openRun(): Promise<void> {
  if (isPartOfRun()) return
  await removeLeftovers()
  const making = mkdtempSync(join(tmpdir(), unlocked))
  mkdirSync(join(making, processesFolder))
  chmodSync(making, 0o711) // PostgreSQL and pgbouncer refuse to run as root: their user needs to traverse the folder
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

/** Creates a folder inside the folder of this run. */
export function newFolder(name: string): string {
  return mkdtempSync(join(folderOfRun(), `${name}-`))
}

/** Records that `child` belongs to this run. */
export function recorded<Child extends ChildProcess>(child: Child): Child {
  if (child.pid !== undefined) recordProcess(child.pid)
  return child
}

/** PostgreSQL gets SIGQUIT: it then releases its shared memory and ends at once. */
type End = 'SIGKILL' | 'SIGQUIT'

/** Records that a process belongs to this run, and the signal that ends it. */
export function recordProcess(pid: number, end: End = 'SIGKILL'): void {
  writeFileSync(join(folderOfRun(), processesFolder, String(pid)), `${startOf(pid)} ${end}`)
}

function folderOfRun(): string {
  if (!isPartOfRun()) throw new Error('This process is not part of a run. Call openRun first.')
  return tmpdir()
}

async function removeLeftovers(): Promise<void> {
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(prefix))
  for (const name of folders) {
    const folder = join(tmpdir(), name)
    if (!(await isLocked(folder))) remove(folder)
  }
}

/** Whether the runner of `folder` is alive. True if that is unknown, for example for the folder of another user. */
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

/** Ends the processes of a run, then removes its folder. Synchronous, because it also runs in the `exit` event. */
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

/** Recorded processes that still exist. A pid that another process has by now has another start time. */
function recordedIn(folder: string): Recorded[] {
  return globSync(join(processesFolder, '*'), { cwd: folder }).flatMap((file) => {
    const [began, end] = readFileSync(join(folder, file), 'utf8').split(' ')
    const pid = Number(basename(file))
    return began !== undefined && began === startOf(pid) ? [{ pid, end: end === 'SIGQUIT' ? end : 'SIGKILL' }] : []
  })
}

/** PostgreSQL servers found by their pid files, since a starter may have ended before it recorded one. Their arguments name the folder. */
function postmastersIn(folder: string): Recorded[] {
  return globSync('**/postmaster.pid', { cwd: folder }).flatMap((file) => {
    const pid = Number(readFileSync(join(folder, file), 'utf8').split('\n')[0])
    return commandOf(pid).includes(dirname(join(folder, file))) ? [{ pid, end: 'SIGQUIT' }] : []
  })
}

/** Ends processes and their descendants with the signal `end`, and those left after five seconds with SIGKILL. */
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
