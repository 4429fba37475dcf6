import { readdirSync, readFileSync } from 'node:fs'

/*
 * What Linux says of processes: proc(5).
 */

/** The fields of /proc/PID/stat from the third on; nothing where there is no such process. */
function fieldsOf(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
  } catch {
    return undefined
  }
}

/** Whether there is such a process, and it has not ended: one that nobody has waited for yet has. */
export function isRunning(pid: number): boolean {
  const [state] = fieldsOf(pid) ?? []
  return state !== undefined && state !== 'Z' && state !== 'X'
}

/** When a process began, in ticks since the machine did: with its pid, what tells it from all others. */
export function startOf(pid: number): string | undefined {
  return fieldsOf(pid)?.[19]
}

/** User and system time of a process and its children that have ended, in seconds; the kernel counts hundredths. */
export function cpuSecondsOf(pid: number): number {
  const fields = fieldsOf(pid) ?? []
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / 100
}

/** Resident memory. */
export function memoryBytesOf(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0 // it has ended
  }
}

/** What a process was started with: its command and arguments. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return '' // it has ended
  }
}

/** The processes whose parent is `pid`. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => Number(fieldsOf(other)?.[1]) === pid)
}

/** A process and all that it has started, and those have, that are still its own. */
export function withDescendants(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(withDescendants)]
}

/** Sends a signal to those of `pids` that are there. */
export function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name)
    } catch {
      // it has ended by itself
    }
  }
}
