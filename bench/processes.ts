import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { cpuSecondsOf, memoryBytesOf } from './proc.ts'
import { recorded } from './servers/run-folder.ts'

/** A running server process. */
export interface Served {
  url: string
  pid: number
  /** Its output so far, stdout and stderr. */
  printed(): string
  /** User and system CPU seconds so far. */
  cpuSeconds(): number
  /** Resident memory. */
  memoryBytes(): number
  /** Sends a signal and nothing else. */
  signal(name: NodeJS.Signals): void
  /** Sends SIGTERM, and SIGKILL after ten seconds. Resolves when the process has ended. */
  stop(): Promise<void>
  ended: Promise<void>
}

export interface Starting {
  environment?: Record<string, string>
  /** Matches the address in the output. */
  says?: RegExp
  /** Its address, for a program that does not print one: started when it answers there. */
  answersAt?: string
  /** Deadline of the start; a minute by default. */
  patienceMs?: number
  /** Pins it to this core, if the machine has several and `taskset` is installed. */
  core?: number | undefined
}

/** Starts processes, and stops all of them together. */
export interface Processes {
  /** Runs a file, relative to this folder, with this Node. */
  node(file: string, args?: string[], how?: Starting): Promise<Served>
  /** Runs any program. */
  program(command: string, args: string[], how: Starting): Promise<Served>
  stopAll(): Promise<void>
}

export function processes(): Processes {
  const running = new Set<Served>()
  async function program(command: string, args: string[], how: Starting): Promise<Served> {
    const pinned = how.core !== undefined && canPin() ? ['taskset', '-c', String(how.core), command] : [command]
    const served = await start([...pinned, ...args], how, (one) => {
      running.add(one)
      one.ended.then(() => running.delete(one))
    })
    return served
  }
  return {
    program,
    node: (file, args = [], how = {}) =>
      program(process.execPath, [fileURLToPath(new URL(file, import.meta.url)), ...args], how),
    async stopAll() {
      await Promise.all([...running].map((one) => one.stop()))
    },
  }
}

async function start(command: string[], how: Starting, begun: (served: Served) => void): Promise<Served> {
  const [file, ...args] = command as [string, ...string[]]
  const child = recorded(
    spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...how.environment } }),
  )
  let printed = ''
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  const served: Served = {
    url: how.answersAt ?? '',
    pid: child.pid as number,
    printed: () => printed,
    cpuSeconds: () => cpuSecondsOf(child.pid as number),
    memoryBytes: () => memoryBytesOf(child.pid as number),
    signal: (name) => void child.kill(name),
    stop: () => stop(child, ended),
    ended,
  }
  begun(served)
  const says = how.says ?? /(http:\/\/\S+)/
  const told = new Promise<void>((resolve) => {
    const read = (text: Buffer) => {
      if (printed.length < 100_000) printed += text
      const found = how.answersAt === undefined && says.exec(printed)?.[1]
      if (found) served.url = found
      if (found) resolve()
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    if (how.answersAt !== undefined) answers(how.answersAt, ended).then(resolve)
  })
  const outcome = await Promise.race([
    told.then(() => 'serves'),
    ended.then(() => 'ended'),
    after(how.patienceMs ?? 60_000),
  ])
  if (outcome === 'serves') return served
  await served.stop()
  throw new Error(`${command.join(' ')} did not start to serve. Its output:\n${printed}`)
}

async function answers(url: string, ended: Promise<void>): Promise<void> {
  let isOver = false
  ended.then(() => {
    isOver = true
  })
  while (!isOver) {
    const isThere = await fetch(url).then(
      (response) => response.arrayBuffer().then(() => true),
      () => false,
    )
    if (isThere) return
    await after(50)
  }
  return new Promise(() => {})
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  child.kill('SIGCONT')
  child.kill('SIGTERM')
  const kill = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(kill)
}

/** Resolves after `ms`. */
export function after(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** The path of a program, or undefined if it is not installed. */
export function which(name: string): string | undefined {
  for (const folder of [...(process.env.PATH ?? '').split(':'), '/usr/sbin']) {
    try {
      execFileSync('test', ['-x', `${folder}/${name}`])
      return `${folder}/${name}`
    } catch {
      // not in this folder
    }
  }
  return undefined
}

export function canPin(): boolean {
  return cpus().length > 1 && which('taskset') !== undefined
}

/** Pins this process, the load generator, to one core; undefined allows all cores again. */
export function pinThis(core: number | undefined): void {
  if (!canPin()) return
  const list = core === undefined ? `0-${cpus().length - 1}` : String(core)
  execFileSync('taskset', ['-a', '-c', '-p', list, String(process.pid)], { stdio: 'ignore' })
}
