import { readdirSync, readFileSync } from 'node:fs'

/* Facts about processes from /proc: proc(5). */

/** The fields of /proc/PID/stat from the third on; undefined without such a process. */
function fieldsOf(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
  } catch {
    return undefined
  }
}

/** Whether a process exists and has not ended. A zombie has ended. */
export function isRunning(pid: number): boolean {
  const [state] = fieldsOf(pid) ?? []
  return state !== undefined && state !== 'Z' && state !== 'X'
}

/** The start of a process, in ticks since boot. Together with the pid it identifies a process. */
export function startOf(pid: number): string | undefined {
  return fieldsOf(pid)?.[19]
}

/** User and system CPU seconds of a process, without its children, in steps of 0.01. */
export function cpuSecondsOf(pid: number): number {
  const fields = fieldsOf(pid) ?? []
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100
}

/** Resident memory of a process. */
export function memoryBytesOf(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0 // it has ended
  }
}

/** The command line of a process. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return '' // it has ended
  }
}

/** The pids of the children of `pid`. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => Number(fieldsOf(other)?.[1]) === pid)
}

/** The pids of a process and all its descendants. */
export function withDescendants(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(withDescendants)]
}

/** Sends a signal to those of `pids` that still exist. */
export function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name)
    } catch {
      // it has ended
    }
  }
}
