// The database follower: follows changes of the database, session after session, while the process lives.
import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { Refusal } from '../errors.ts'
import type { FollowState } from '../observation.ts'
import type { FollowedObjects } from '../tags.ts'
import { type Capabilities, findCapabilities } from './capabilities.ts'
import type { CatalogSnapshot } from './catalog.ts'
import type { Changes, DatabaseFollowerOptions, FollowMode } from './changes.ts'
import { LeaderSession } from './leader.ts'
import { pause } from './pause.ts'
import { type Client, connect, Ending } from './session.ts'

/** Pause after a failed session, in milliseconds. */
const retryMs = 1000
/** Pause where no mode is possible, in milliseconds. Then it checks again: somebody may have run the missing SQL. */
const recheckMs = 30_000
/** Longest wait of `follow`, in milliseconds. */
const followMs = 2000

/** Follows the changes of the database over connections of its own, and keeps trying forever. */
export class DatabaseFollower implements Changes {
  readonly #options: DatabaseFollowerOptions
  readonly #fleet: string
  #capabilities: Pick<Capabilities, 'mode' | 'why' | 'warnings'> = {
    mode: 'off',
    why: 'following has not started yet',
    warnings: [],
  }
  #state: FollowState = 'off'
  /** What was last observed: an unchanged state is not observed again. */
  #observed = ''
  #objects: FollowedObjects = { tables: [], functions: [] }
  /** Definitions of the followed objects when the routes were last inspected. */
  #inspected: string | undefined
  #isInspecting = false
  #running: Promise<void> | undefined
  /** Ends the session under way. */
  #session = new AbortController()
  /** Settled once the objects are followed, or cannot be for now. */
  #attempt = Promise.withResolvers<void>()
  #isClosed = false

  constructor(options: DatabaseFollowerOptions) {
    this.#options = options
    this.#fleet = options.fleet ?? randomBytes(12).toString('hex')
  }

  get mode(): FollowMode {
    return this.#capabilities.mode
  }

  get why(): string {
    return this.#capabilities.why
  }

  get warnings(): readonly string[] {
    return this.#capabilities.warnings
  }

  get state(): FollowState {
    return this.#state
  }

  async follow(objects: FollowedObjects): Promise<void> {
    const next = normalized(objects)
    if (this.#running !== undefined && JSON.stringify(next) === JSON.stringify(this.#objects)) return
    this.#objects = next
    this.#attempt = Promise.withResolvers()
    const { promise } = this.#attempt
    this.#session.abort()
    this.#running ??= this.#run()
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const stop = this.#options.clock.after(followMs, resolve)
    await Promise.race([promise, late]).finally(stop)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#session.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      this.#session = new AbortController()
      const { signal } = this.#session
      const attempt = this.#attempt
      try {
        await this.#runSession(signal, attempt.resolve)
      } catch (error) {
        if (error instanceof Refusal) attempt.reject(error)
        if (!signal.aborted) this.#become('lost', error)
      }
      attempt.resolve()
      const pauseMs = this.#state === 'off' ? recheckMs : retryMs
      await pause(pauseMs, signal, this.#options).catch(() => {}) // aborted: at once
    }
    this.#enter('off')
  }

  /**
   * Runs one session, from finding the capabilities until something ends it; rejects with the reason. Calls `followed`
   * once this or another process leads.
   */
  async #runSession(signal: AbortSignal, followed: () => void): Promise<void> {
    const { url, mode: wanted, clock } = this.#options
    const objects = this.#objects
    if (wanted === 'off') {
      this.#capabilities = { mode: 'off', why: 'postgres.follow is off', warnings: [] }
      this.#become('off')
      return
    }
    const control = await connect(url)
    const ending = new Ending()
    control.on('end', () => ending.end(new Error('the server closed the connection')))
    signal.addEventListener('abort', () => ending.end(signal.reason))
    try {
      const capabilities = await ending.unless(findCapabilities(control, wanted, objects))
      this.#capabilities = capabilities
      this.#compare(capabilities.catalog)
      if (capabilities.mode !== 'off') {
        const became = (state: FollowState) => {
          this.#become(state)
          followed()
        }
        const looked = (catalog: CatalogSnapshot) => this.#compare(catalog)
        const session = { control, capabilities, objects, ending, signal, became, looked }
        return await new LeaderSession({ ...this.#options, fleet: this.#fleet, ...session }).run()
      }
      if (wanted !== 'auto') throw new Refusal(`postgres.follow is ${wanted}, but ${capabilities.why}.`)
      this.#become('off')
    } finally {
      await hangUp(control, clock)
    }
  }

  /** Has the routes inspected if a definition has changed since the last inspection. */
  #compare({ definitions }: CatalogSnapshot): void {
    if (definitions === this.#inspected || this.#isInspecting) return
    this.#isInspecting = true
    const inspected = () => {
      this.#inspected = definitions
    }
    const over = () => {
      this.#isInspecting = false
    }
    void this.#options
      .redefined()
      .then(inspected, () => {})
      .finally(over)
  }

  #become(state: FollowState, error?: unknown): void {
    const { mode, why } = this
    const isNews = this.#state !== state || this.#observed !== `${state} ${mode} ${why}`
    this.#enter(state)
    this.#observed = `${state} ${mode} ${why}`
    if (isNews) this.#options.observe({ kind: 'changes', state, mode, why, error })
  }

  #enter(state: FollowState): void {
    const isFollowed = state !== 'off'
    const wasFollowed = this.#state !== 'off'
    this.#state = state
    if (isFollowed !== wasFollowed) this.#options.consumer.followed(isFollowed)
  }
}

/** The same objects in a fixed order, whatever order the routes are in. */
function normalized({ tables, functions }: FollowedObjects): FollowedObjects {
  return {
    tables: tables
      .map(({ table, columns }) => ({ table, columns: [...new Set(columns)].sort() }))
      .sort((a, b) => (a.table < b.table ? -1 : 1)),
    functions: [...new Set(functions)].sort(),
  }
}

/** Ends a session, in an orderly way if the server still answers. */
async function hangUp(control: Client, clock: Clock): Promise<void> {
  const late = new Promise<void>((resolve) => void clock.after(200, resolve))
  await Promise.race([control.end(), late]).catch(() => {}) // the connection may be lost already
  control.connection.stream.destroy()
}
