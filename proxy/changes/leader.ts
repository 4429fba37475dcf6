// A session of following: one process of a fleet is elected, and leads.
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
/** How often a process that waits tries to lead. */
const retryMs = 1000
/** Each so many tries to lead: a look at how what is followed is defined. */
const waitingLooks = 5
/** The most that nothing comes back, while the server looks alive. A large transaction may hold heartbeats up for a while. */
const silentMs = 15_000

export interface LeaderSessionOptions
  extends Pick<DatabaseFollowerOptions, 'url' | 'consumer' | 'clock' | 'random' | 'visible'> {
  /** Names the processes of which one leads. */
  fleet: string
  control: Client
  capabilities: Capabilities
  objects: FollowedObjects
  /** Ends with `control`, and when `signal` aborts. */
  ending: Ending
  signal: AbortSignal
  /** Another process leads, or this one does: told again and again. */
  became(state: 'waiting' | 'leading'): void
  /** Given each look at the catalog. */
  looked(catalog: CatalogSnapshot): void
}

/** Waits until no other process of the fleet leads; then hands on what changes, with a heartbeat each second. */
export class LeaderSession implements StreamListener {
  readonly #options: LeaderSessionOptions
  readonly #watch: CatalogWatch
  /** Heartbeats under way, by number, and when each was sent. */
  readonly #sentAt = new Map<number, number>()
  #returnedAt: number
  #isOver = false

  constructor(options: LeaderSessionOptions) {
    const { control, capabilities, objects, clock } = options
    this.#options = options
    this.#watch = new CatalogWatch(control, capabilities, objects, (tags) => this.changed(tags))
    this.#returnedAt = clock.now()
  }

  /** Goes on until something ends the session; rejects with that. */
  async run(): Promise<never> {
    let stream: ChangeStream | undefined
    try {
      stream = await this.#untilElected()
      this.missed()
      return await this.#lead(stream)
    } finally {
      this.#isOver = true
      await stream?.close().catch(() => {}) // it may be what was lost
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
      // Whoever leads tells what has changed, but what this process's routes read it does not know.
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
      const hint = capabilities.mode === 'notify' ? ': is a pooler in between?' : ''
      throw new Error(`no heartbeat has come back for ${silentMs / 1000} seconds${hint}`)
    }
  }

  /** Begins to follow, unless another process of the fleet does. */
  async #open(): Promise<ChangeStream | undefined> {
    const { capabilities, fleet, objects } = this.#options
    const name = leaderName(fleet, objects)
    const stream = await (capabilities.mode === 'notify' ? this.#openByLock(name) : this.#openBySlot(name))
    if (this.#isOver) await stream?.close() // nobody waits for it any more
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

/** Tells the heartbeats of a stream from those of all others. */
const randomSender = (): string => randomBytes(8).toString('hex')

/**
 * What the leader is elected by. Processes that follow other tables, or tell rows by other columns (a new version is being rolled
 * out), have a leader of their own: one that does not know a column cannot speak for those that do.
 */
function leaderName(fleet: string, objects: FollowedObjects): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([fleet, objects]))
    .digest('hex')
  return `onramp_${digest.slice(0, 16)}`
}
