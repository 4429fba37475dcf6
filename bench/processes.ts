import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A program of its own, which has said where it serves. */
export interface Served {
  url: string
  /** What it has printed. */
  printed(): string
  /** Seconds of CPU used so far. */
  cpuSeconds(): number
  stop(): Promise<void>
}

/** Runs a file of this repository with this Node, until it prints an address; `says` finds it in what is printed. */
export async function serve(
  file: string,
  args: string[] = [],
  environment: Record<string, string> = {},
  says = /(http:\/\/\S+)/,
): Promise<Served> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = spawn(process.execPath, [path, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  })
  let printed = ''
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (text) => {
      printed += text
      const found = says.exec(printed)?.[1]
      if (found !== undefined) resolve(found)
    })
    child.on('exit', () => reject(new Error(`${file} ended before it served: ${printed}`)))
  })
  return { url, printed: () => printed, cpuSeconds: () => cpuOf(child), stop: () => stop(child) }
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  child.kill('SIGTERM')
  return ended
}

/** User and system time of a process, in seconds: fields 14 and 15 of /proc/PID/stat, in hundredths (proc(5)). */
function cpuOf({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
