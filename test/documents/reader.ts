import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { newFolder, recorded } from '../../bench/servers/run-folder.ts'
import { until } from '../../bench/until.ts'
import { isShown, type ShownCommand, type Step } from './document.ts'

const checkout = fileURLToPath(new URL('../../', import.meta.url))

/** The surroundings in which a document is read. */
export interface Stage {
  environment: Record<string, string>
  /** A text of the document, with the addresses of this stage. */
  here(text: string): string
}

interface Result {
  code: number | null
  output: string
  errors: string
}

/** Does what a document says, as its reader would: in a folder that looks like the checkout, and may be written to. */
export class Reader {
  readonly folder = newFolder('reader')
  readonly #stage: Stage
  /** Processes in the background, by job number; as in a shell, a new job has the number after the highest. */
  readonly #jobs = new Map<number, ChildProcess>()

  constructor(stage: Stage) {
    this.#stage = stage
    for (const name of readdirSync(checkout))
      if (name !== '.git' && name !== '.data') symlinkSync(join(checkout, name), join(this.folder, name))
  }

  /** Throws, with the line of the document, where it does not exit with 0 or prints something else. */
  async follow(step: Step): Promise<void> {
    const { here } = this.#stage
    if (step.kind === 'file') {
      const file = join(this.folder, step.path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, here(step.text))
      return
    }
    const job = /^kill %(\d+)$/.exec(step.command)?.[1]
    if (job !== undefined) return this.#end(Number(job))
    if (step.command.endsWith(' &')) return this.#startInBackground(step)
    await this.#run(step)
  }

  /** Ends everything that runs in the background. */
  async leave(): Promise<void> {
    for (const job of [...this.#jobs.keys()]) await this.#end(job)
  }

  async #run(shown: ShownCommand): Promise<void> {
    const run = () => resultOf(this.#spawn(shown.command))
    const isAsShown = (seen: Result) => seen.code === 0 && this.#isShown(seen.output, shown)
    const result = mayNeedTime(shown) ? await until(run, isAsShown, 10_000).catch(run) : await run()
    if (!isAsShown(result)) throw this.#fault(shown, result)
  }

  /** Starts a command, and waits until it has printed what is shown; where nothing is shown, anything. */
  async #startInBackground(shown: ShownCommand): Promise<void> {
    const child = this.#spawn(shown.command.slice(0, -2))
    this.#jobs.set(Math.max(0, ...this.#jobs.keys()) + 1, child)
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += text))
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null
    const isReady = () => (shown.printed.length === 0 ? output !== '' : this.#isShown(output, shown))
    await until(() => hasEnded() || isReady(), true, 30_000).catch(() => {}) // told below
    if (hasEnded() || !isReady()) throw this.#fault(shown, { code: child.exitCode, output, errors: '' })
  }

  /** Ends a job as `kill %1` does: all its processes are told. */
  async #end(job: number): Promise<void> {
    const child = this.#jobs.get(job)
    if (child?.pid === undefined) throw new Error(`There is no job ${job}.`)
    this.#jobs.delete(job)
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'close')
    process.kill(-child.pid, 'SIGTERM')
    await ended
  }

  #isShown(output: string, { printed }: ShownCommand): boolean {
    return printed.length === 0 || isShown(output, printed.map(this.#stage.here))
  }

  #spawn(command: string): ChildProcess {
    const env = { ...process.env, ...this.#stage.environment }
    // Detached, so that it leads a group of its own, as a job of a shell does.
    const run = ['-c', this.#stage.here(command)]
    return recorded(spawn('sh', run, { cwd: this.folder, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] }))
  }

  #fault({ line, command, printed }: ShownCommand, { code, output, errors }: Result): Error {
    const wanted = printed.length === 0 ? '' : `\nIt was to print:\n${printed.join('\n')}`
    return new Error(`Line ${line}: ${command}\nIt ended with ${code}, and printed:\n${output}${errors}${wanted}`)
  }
}

/** A changed row is seen once the change has arrived: at once for people, who type. How an answer was found is never waited for. */
function mayNeedTime({ command, printed }: ShownCommand): boolean {
  return /^curl -s \S+( \||$)/.test(command) && !/cache-status/i.test(command + printed.join())
}

async function resultOf(child: ChildProcess): Promise<Result> {
  const result: Result = { code: null, output: '', errors: '' }
  child.stdout?.on('data', (text) => (result.output += text))
  child.stderr?.on('data', (text) => (result.errors += text))
  const [code] = await once(child, 'close')
  return { ...result, code }
}
