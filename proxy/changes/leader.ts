// Follows what changes in the database: one process of a fleet leads.
import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { Refusal } from '../errors.ts'
import type { Observe } from '../observation.ts'
import { functionTag, type Sources, sourceTags, tableTags } from '../tags.ts'
import { type Capabilities, type FollowMode, findCapabilities, warningsOf } from './capabilities.ts'
import { type CatalogSnapshot, readCatalog } from './catalog.ts'
import { followByNotify } from './notify.ts'
import { type ChangeStream, followByReplication, type StreamListener } from './replication.ts'
import { type Client, connect, Ending, query } from './session.ts'
import type { AskVisible } from './visibility.ts'

/** Where what has changed in the database is handed on. Called in order; must not throw. */
export interface ChangeConsumer {
  /** What transactions that every new snapshot sees by now have changed. */
  changed(tags: readonly string[]): void
  /** Changes of these tags may have been missed: nobody followed for a while. */
  missed(tags: readonly string[]): void
  /**
   * Every change committed before `sinceMs` (this host's monotonic clock) has been handed on. `lagMs`: how long a heartbeat sent
   * then took to come back.
   */
  caughtUp(sinceMs: number, lagMs: number): void
}

export type FollowState = 'leading' | 'waiting' | 'lost' | 'off'

export interface Changes {
  /** How the database is followed, and in one sentence why so: what the server allows, and what to do to get better. */
  readonly mode: FollowMode
  readonly why: string
  /** leading: this process follows; waiting: another process of the fleet does; lost: nobody, as far as this process knows. */
  readonly state: FollowState
  /** What will not be noticed, a sentence each. */
  readonly warnings: readonly string[]
  /**
   * Follows these from now on, instead of what was followed. Resolves when they are, or cannot be for now (it goes on trying), after
   * two seconds in any case. Rejects with a Refusal when the server does not allow the mode that was asked for.
   */
  follow(sources: Sources): Promise<void>
  close(): Promise<void>
}

export interface DatabaseFollowerOptions {
  url: string
  mode: FollowMode | 'auto'
  /** Names the fleet: of its processes one follows, for all. Undefined: this process follows for itself alone. */
  fleet: string | undefined
  consumer: ChangeConsumer
  clock: Clock
  random(): number
  observe: Observe
  /**
   * What is followed is not known to be defined as it was when the routes were last looked at: they may read something else now. Called at the
   * start too, beside what is under way, one at a time, and again at the next look where it rejects. May call `follow`.
   */
  redefined(): Promise<void>
  /** For tests that must find violations: says of transactions that they are visible which are not. */
  visible?: AskVisible
}

const beatMs = 1000
const retryMs = 1000
/** Where nothing is allowed: how often it is looked whether somebody has run what was missing. */
const recheckMs = 30_000
const followMs = 2000
/** Each so many tries to lead: a look at how what is followed is defined. */
const waitingLooks = 5
/** The most that nothing comes back, while the server looks alive. A large transaction may hold heartbeats up for a while. */
const silentMs = 15_000

/** Follows what changes in the database, over connections of its own, and goes on trying for ever. */
export function followDatabase(options: DatabaseFollowerOptions): Changes {
  return new DatabaseFollower(options)
}

class DatabaseFollower implements Changes {
  mode: FollowMode = 'off'
  why = 'nothing is followed yet'
  state: FollowState = 'off'
  warnings: readonly string[] = []
  readonly #options: DatabaseFollowerOptions
  readonly #fleet: string
  #sources: Sources | undefined
  /** How what is followed was defined when the routes were last looked at. */
  #inspected: string | undefined
  #isInspecting = false
  #running: Promise<void> | undefined
  /** Ends the session under way. */
  #session = new AbortController()
  #isClosed = false
  #first: PromiseWithResolvers<void> = Promise.withResolvers()
  #told = ''

  constructor(options: DatabaseFollowerOptions) {
    this.#options = options
    this.#fleet = options.fleet ?? randomBytes(12).toString('hex')
  }

  async follow(sources: Sources): Promise<void> {
    const next = normal(sources)
    if (JSON.stringify(next) === JSON.stringify(this.#sources)) return
    this.#sources = next
    this.#first = Promise.withResolvers()
    const { promise } = this.#first
    this.#session.abort()
    this.#running ??= this.#run()
    const { clock } = this.#options
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const stop = clock.after(followMs, resolve)
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
      const first = this.#first
      try {
        await this.#follow(signal)
      } catch (error) {
        if (error instanceof Refusal) first.reject(error)
        if (!signal.aborted) this.#become('lost', error)
      }
      first.resolve()
      await this.#pause(this.state === 'off' ? recheckMs : retryMs, signal).catch(() => {}) // aborted: at once
    }
    this.state = 'off'
  }

  /** One session, from finding the means until something ends it; rejects with that. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { url, mode: wanted } = this.#options
    const sources = this.#sources as Sources
    if (wanted === 'off') {
      this.why = 'postgres.follow is off'
      this.#become('off')
      return
    }
    const control = await connect(url)
    const ending = new Ending()
    control.on('end', () => ending.end(new Error('the server has closed the connection')))
    signal.addEventListener('abort', () => ending.end(signal.reason))
    try {
      const means = await ending.unless(findCapabilities(control, wanted, sources))
      this.mode = means.mode
      this.why = means.why
      this.warnings = means.warnings
      this.#compare(means.seen)
      if (means.mode !== 'off') return await this.#lead(control, means, ending, signal)
      if (wanted !== 'auto') throw new Refusal(`postgres.follow is ${wanted}, but ${means.why}.`)
      this.#become('off')
    } finally {
      await hangUp(control, this.#options.clock)
    }
  }

  async #lead(control: Client, means: Capabilities, ending: Ending, signal: AbortSignal): Promise<void> {
    const { consumer, clock } = this.#options
    const sources = this.#sources as Sources
    const everything = sourceTags(sources)
    /** Heartbeats under way, and when each was sent. */
    const sent = new Map<number, number>()
    let lastBeatAt = clock.now()
    let isOver = false
    const listener: StreamListener = {
      changed: (tags) => isOver || consumer.changed(tags),
      missed: () => isOver || consumer.missed(everything),
      beat(number) {
        const sentAt = sent.get(number)
        if (isOver || sentAt === undefined) return
        for (const earlier of sent.keys()) if (earlier <= number) sent.delete(earlier)
        lastBeatAt = clock.now()
        consumer.caughtUp(sentAt, lastBeatAt - sentAt)
      },
      failed: (error) => ending.end(error),
    }
    const watch = new CatalogWatch(control, means, sources, listener)
    let following: ChangeStream | undefined
    try {
      for (let tries = 1; following === undefined; tries++) {
        following = await ending.unless(this.#open(control, means.mode, watch, listener, signal))
        if (following !== undefined) break
        this.#become('waiting')
        this.#first.resolve()
        await ending.unless(this.#pause(retryMs, signal))
        // Whoever leads tells what has changed, but what this process's routes read it does not know.
        if (tries % waitingLooks === 0) this.#compare(await ending.unless(readCatalog(control, sources)))
      }
      listener.missed()
      for (let number = 1; ; number++) {
        sent.set(number, clock.now())
        await ending.unless(following.beat(number))
        this.#become('leading')
        this.#first.resolve()
        await ending.unless(this.#pause(beatMs, signal))
        await ending.unless(watch.refresh())
        this.#compare(watch.seen)
        if (clock.now() - lastBeatAt <= silentMs) continue
        const hint = means.mode === 'notify' ? ': is a pooler in between?' : ''
        throw new Error(`no heartbeat has come back for ${silentMs / 1000} seconds${hint}`)
      }
    } finally {
      isOver = true
      await following?.close().catch(() => {}) // it may be what was lost
    }
  }

  /** Begins to follow, unless another process of the fleet does. */
  async #open(
    control: Client,
    mode: FollowMode,
    watch: CatalogWatch,
    listener: StreamListener,
    signal: AbortSignal,
  ): Promise<ChangeStream | undefined> {
    const { url, clock, visible } = this.#options
    const name = leaderName(this.#fleet, this.#sources as Sources)
    const sender = randomBytes(8).toString('hex')
    const seen = () => watch.seen
    if (mode === 'notify') {
      const [lock] = await query<{ mine: boolean }>(
        control,
        'select pg_try_advisory_lock(hashtextextended($1, 0)) as mine',
        [name],
      )
      if (lock?.mine !== true) return undefined
      await watch.refresh()
      return followByNotify({ control, sender, seen, listener })
    }
    const [slot] = await query<{ name: string; isTaken: boolean }>(
      control,
      `select name, exists (select from pg_replication_slots where slot_name = name) as "isTaken"
       from (select $1 || substr(md5(current_database()), 1, 8) as name) one`,
      [`${name}_`],
    )
    if (slot === undefined || slot.isTaken) return undefined
    await watch.refresh()
    const refresh = () => watch.refresh()
    return followByReplication({
      url,
      slot: slot.name,
      sender,
      control,
      seen,
      refresh,
      listener,
      clock,
      signal,
      visible,
    })
  }

  /** Has the routes looked at where something is not defined as it was when they last were. */
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
    const isNews = this.state !== state || this.#told !== `${state} ${mode} ${why}`
    this.state = state
    this.#told = `${state} ${mode} ${why}`
    if (isNews) this.#options.observe({ kind: 'changes', state, mode, why, error })
  }

  /** Waits about so long: processes that wait for the same thing should not all try in one moment. Rejects when `signal` aborts. */
  #pause(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    if (signal.aborted) return Promise.reject(signal.reason)
    const stop = this.#options.clock.after(ms * (0.8 + 0.4 * this.#options.random()), resolve)
    const abort = () => {
      stop()
      reject(signal.reason)
    }
    signal.addEventListener('abort', abort, { once: true })
    return promise.finally(() => signal.removeEventListener('abort', abort))
  }
}

/** Watches what no stream of changes shows: followed tables altered, dropped, made anew; views and functions defined anew; views refreshed. */
class CatalogWatch {
  seen: CatalogSnapshot
  readonly #control: Client
  readonly #means: Capabilities
  readonly #sources: Sources
  readonly #listener: StreamListener

  constructor(control: Client, means: Capabilities, sources: Sources, listener: StreamListener) {
    this.seen = means.seen
    this.#control = control
    this.#means = means
    this.#sources = sources
    this.#listener = listener
  }

  /** Looks again, and tells what has changed. Rejects when what can be followed is not what it was: then the means must be found anew. */
  async refresh(): Promise<void> {
    const before = this.seen
    this.seen = await readCatalog(this.#control, this.#sources)
    const { shapes, functions } = this.seen
    const tables = this.#sources.tables.filter(({ table }) => before.shapes.get(table) !== shapes.get(table))
    const defined = this.#sources.functions.filter((name) => before.functions.get(name) !== functions.get(name))
    if (tables.length + defined.length === 0) return
    this.#listener.changed([...tables.flatMap(tableTags), ...defined.map(functionTag)])
    if (JSON.stringify(warningsOf(this.seen, this.#means.mode)) !== JSON.stringify(this.#means.warnings))
      throw new Error('a followed table was made anew, or can be followed no longer')
  }
}

/** The same whatever order the routes are in. */
function normal({ tables, functions }: Sources): Sources {
  return {
    tables: tables
      .map(({ table, columns }) => ({ table, columns: [...new Set(columns)].sort() }))
      .sort((a, b) => (a.table < b.table ? -1 : 1)),
    functions: [...new Set(functions)].sort(),
  }
}

/**
 * What the leader is elected by. Processes that follow other tables, or tell rows by other columns (a new version is being rolled
 * out), have a leader of their own: one that does not know a column cannot speak for those that do.
 */
function leaderName(fleet: string, sources: Sources): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([fleet, sources]))
    .digest('hex')
  return `onramp_${digest.slice(0, 16)}`
}

/** Ends a session, politely if the other side still answers. */
async function hangUp(control: Client, clock: Clock): Promise<void> {
  const late = new Promise<void>((resolve) => void clock.after(200, resolve))
  await Promise.race([control.end(), late]).catch(() => {}) // it may be lost already
  control.connection.stream.destroy()
}
