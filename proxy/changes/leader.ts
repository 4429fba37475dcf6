// A session of following: one process of a fleet is elected leader, and follows for all.
import { createHash, randomBytes } from 'node:crypto'
import { type FollowedObjects, objectTags } from '../tags.ts'
import type { Capabilities } from './capabilities.ts'
import { type CatalogSnapshot, readCatalog } from './catalog.ts'
import { CatalogWatch } from './catalog-watch.ts'
import type { DatabaseFollowerOptions } from './changes.ts'
import { followByNotify } from './notify.ts'
import { pause } from './pause.ts'
import { ReplicationStream } from './replication.ts'
import { type Client, type Ending, query } from './session.ts'
import type { ChangeStream, StreamListener } from './stream.ts'

const heartbeatMs = 1000
/** Interval at which a waiting process tries to lead, in milliseconds. */
const retryMs = 1000
/** A waiting process reads the catalog once in this many tries. */
const waitingLooks = 5
/**
 * Longest time without a returned heartbeat, while the server looks alive. A large transaction may delay heartbeats for
 * a while.
 */
const silentMs = 15_000

export interface LeaderSessionOptions
  extends Pick<DatabaseFollowerOptions, 'url' | 'consumer' | 'clock' | 'random' | 'visible'> {
  /** Name of the fleet: one of its processes leads. */
  fleet: string
  control: Client
  capabilities: Capabilities
  objects: FollowedObjects
  /** Ends with `control`, and when `signal` aborts. */
  ending: Ending
  signal: AbortSignal
  /** Called again and again: another process leads, or this one does. */
  became(state: 'waiting' | 'leading'): void
  /** Called with each reading of the catalog. */
  looked(catalog: CatalogSnapshot): void
}

/** Waits until no other process of the fleet leads. Then hands on changes, with a heartbeat each second. */
export class LeaderSession implements StreamListener {
  readonly #options: LeaderSessionOptions
  readonly #watch: CatalogWatch
  /** Heartbeats under way: when each number was sent. */
  readonly #sentAt = new Map<number, number>()
  #returnedAt: number
  #isOver = false

  constructor(options: LeaderSessionOptions) {
    const { control, capabilities, objects, clock } = options
    this.#options = options
    this.#watch = new CatalogWatch(control, capabilities, objects, (tags) => this.changed(tags))
    this.#returnedAt = clock.now()
  }

  /** Runs until something ends the session; rejects with the reason. */
  async run(): Promise<never> {
    let stream: ChangeStream | undefined
    try {
      stream = await this.#untilElected()
      this.missed()
      return await this.#lead(stream)
    } finally {
      this.#isOver = true
      await stream?.close().catch(() => {}) // the stream itself may have failed
    }
  }

  changed(tags: readonly string[]): void {
    if (!this.#isOver) this.#options.consumer.changed(tags)
  }

  missed(): void {
    if (!this.#isOver) this.#options.consumer.missed(objectTags(this.#options.objects))
  }

  heartbeatReturned(number: number): void {
    const sentAt = this.#sentAt.get(number)
    if (this.#isOver || sentAt === undefined) return
    for (const earlier of this.#sentAt.keys()) if (earlier <= number) this.#sentAt.delete(earlier)
    this.#returnedAt = this.#options.clock.now()
    this.#options.consumer.caughtUp(sentAt)
  }

  failed(error: unknown): void {
    this.#options.ending.end(error)
  }

  async #untilElected(): Promise<ChangeStream> {
    const { control, objects, ending, signal, became, looked } = this.#options
    for (let tries = 1; ; tries++) {
      const stream = await ending.unless(this.#open())
      if (stream !== undefined) return stream
      became('waiting')
      await ending.unless(pause(retryMs, signal, this.#options))
      // The leader reports changes, but does not know which tables the routes of this process read.
      if (tries % waitingLooks === 0) looked(await ending.unless(readCatalog(control, objects)))
    }
  }

  async #lead(stream: ChangeStream): Promise<never> {
    const { capabilities, clock, ending, signal, became, looked } = this.#options
    for (let number = 1; ; number++) {
      this.#sentAt.set(number, clock.now())
      await ending.unless(stream.sendHeartbeat(number))
      became('leading')
      await ending.unless(pause(heartbeatMs, signal, this.#options))
      await ending.unless(this.#watch.refresh())
      looked(this.#watch.catalog)
      if (clock.now() - this.#returnedAt <= silentMs) continue
      const hint = capabilities.mode === 'notify' ? '; is a connection pooler between onramp and PostgreSQL?' : ''
      throw new Error(`no heartbeat has returned for ${silentMs / 1000} seconds${hint}`)
    }
  }

  /** Begins to follow, unless another process of the fleet does. */
  async #open(): Promise<ChangeStream | undefined> {
    const { capabilities, fleet, objects } = this.#options
    const name = leaderName(fleet, objects)
    const stream = await (capabilities.mode === 'notify' ? this.#openByLock(name) : this.#openBySlot(name))
    if (this.#isOver) await stream?.close() // the session has ended meanwhile
    return stream
  }

  async #openByLock(name: string): Promise<ChangeStream | undefined> {
    const { control } = this.#options
    const [lock] = await query<{ mine: boolean }>(
      control,
      'select pg_try_advisory_lock(hashtextextended($1, 0)) as mine',
      [name],
    )
    if (lock?.mine !== true) return undefined
    await this.#watch.refresh()
    return followByNotify({ control, sender: randomSender(), watch: this.#watch, listener: this })
  }

  async #openBySlot(name: string): Promise<ChangeStream | undefined> {
    const { url, control, clock, signal, visible } = this.#options
    const [slot] = await query<{ name: string; isTaken: boolean }>(
      control,
      `select name, exists (select from pg_replication_slots where slot_name = name) as "isTaken"
       from (select $1 || substr(md5(current_database()), 1, 8) as name) one`,
      [`${name}_`],
    )
    if (slot === undefined || slot.isTaken) return undefined
    await this.#watch.refresh()
    return ReplicationStream.open({
      url,
      slot: slot.name,
      sender: randomSender(),
      control,
      watch: this.#watch,
      listener: this,
      clock,
      signal,
      visible,
    })
  }
}

/** Distinguishes the heartbeats of one stream from all others. */
const randomSender = (): string => randomBytes(8).toString('hex')

/**
 * The name by which the leader is elected. Processes with other tables, or with other columns that identify rows, have
 * a leader of their own (a new version is being rolled out). A leader that does not know a column cannot report its
 * changes.
 */
function leaderName(fleet: string, objects: FollowedObjects): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([fleet, objects]))
    .digest('hex')
  return `onramp_${digest.slice(0, 16)}`
}
