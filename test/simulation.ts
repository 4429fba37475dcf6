import type { Redis } from 'ioredis'
import { FailOpenTier } from '../proxy/cache/fail-open.ts'
import type { Key } from '../proxy/cache/key.ts'
import { noLeases } from '../proxy/cache/lease.ts'
import { memoryTier } from '../proxy/cache/memory.ts'
import { ReadThrough } from '../proxy/cache/read-through.ts'
import { redisTier } from '../proxy/cache/redis.ts'
import { LogFollower } from '../proxy/coherence/follower.ts'
import { type Event, type Invalidation, Ledger, type Position } from '../proxy/coherence/ledger.ts'
import type { Log, LogHead } from '../proxy/coherence/log.ts'

/** A rule that is left out, to show that its absence is found. */
export type Broken = 'barrier after a gap' | 'look at the head' | 'publish when visible' | 'judging what Redis has'

const rows = [0, 1, 2]
/** How long faults happen, and how soon after that all must be well, in milliseconds. */
const faultsMs = 5000
const healedMs = 5000
/** The longest that a process which cannot verify may serve an entry, in milliseconds. */
const unverifiedMs = 5000

/** The writes and purges by row: a process that has applied one may not show anything older. */
interface Marks {
  version: readonly number[]
  /** When its publishing began. A read after that is a later read. */
  at: readonly number[]
}
const noMarks: Marks = { version: rows.map(() => 0), at: rows.map(() => 0) }

/** Virtual time: runs scheduled work in order. The same seed gives the same run. */
export class Scheduler {
  now = 0
  #seed: number
  readonly #queue: { at: number; run: (() => void) | undefined }[] = []

  constructor(seed: number) {
    this.#seed = seed * 0x9e3779b9
  }

  /** 0 to 1, evenly spread (mulberry32). */
  random = (): number => {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), this.#seed | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  between(from: number, to: number): number {
    return from + Math.floor(this.random() * (to - from))
  }

  chance(p: number): boolean {
    return this.random() < p
  }

  oneOf<T>(all: readonly T[]): T {
    return all[this.between(0, all.length)] as T
  }

  /** Calls `run` in `ms`, unless the returned function is called first. */
  after(ms: number, run: () => void): () => void {
    const event: { at: number; run: (() => void) | undefined } = { at: this.now + ms, run }
    const queue = this.#queue
    let [low, high] = [0, queue.length]
    while (low < high) {
      const middle = (low + high) >> 1
      // The soonest last; among those of the same time, the one scheduled first.
      if ((queue[middle] as typeof event).at > event.at) low = middle + 1
      else high = middle
    }
    queue.splice(low, 0, event)
    return () => {
      event.run = undefined
    }
  }

  /** Runs the next piece of work. Everything it makes ready must run before the one after that. */
  step(): void {
    let next = this.#queue.pop()
    while (next !== undefined && next.run === undefined) next = this.#queue.pop()
    if (next?.run === undefined) return
    this.now = next.at
    next.run()
  }
}

/** The server of the log and the entries, in the place of Redis. */
class Server {
  readonly #world: World
  readonly #maxEvents: number
  events: Event[]
  head: LogHead | undefined
  values: Map<string, { value: Buffer; until: number }[]>
  isDown = false
  #isFrozen = false
  #held: (() => void)[] = []
  #waiters: (() => void)[] = []

  constructor(world: World, maxEvents: number, events: Event[] = [], head?: LogHead, values = new Map()) {
    this.#world = world
    this.#maxEvents = maxEvents
    this.events = events
    this.head = head
    this.values = values
  }

  /** The state of a replica that lacks the last `lost` events, and has a random part of the values. */
  replica(lost: number): Server {
    const events = lost === 0 ? [...this.events] : this.events.slice(0, -lost)
    const last = events.at(-1)
    const head = lost === 0 ? this.head : last && { pos: last.pos, id: last.id, beat: undefined }
    const { time } = this.#world
    const values = [...this.values].map(([key, all]) => [
      key,
      time.chance(0.5) ? all : all.slice(0, time.between(0, all.length + 1)),
    ])
    return new Server(this.#world, this.#maxEvents, events, head, new Map(values as never))
  }

  freeze(ms: number): void {
    this.#isFrozen = true
    this.#world.time.after(ms, () => this.thaw())
  }

  thaw(): void {
    this.#isFrozen = false
    for (const run of this.#held.splice(0)) run()
  }

  arrive(run: () => void): void {
    if (this.#isFrozen) this.#held.push(run)
    else if (!this.isDown) run()
  }

  append(invalidation: Invalidation): Event {
    if (this.head === undefined) this.events = []
    const prev = this.head?.id ?? ''
    const pos = (this.head?.pos ?? 0) + 1
    const event = { pos, id: this.#world.nameFor(prev, invalidation), prev, ...invalidation }
    this.head = { pos, id: event.id, beat: this.head?.beat }
    this.events.push(event)
    if (this.events.length > this.#maxEvents) this.events.shift()
    for (const wake of this.#waiters.splice(0)) wake()
    return event
  }

  after(pos: number): Event[] {
    return this.events.filter((event) => event.pos > pos).slice(0, 5)
  }

  next(pos: number, reply: (events: Event[]) => void): void {
    let isOver = false
    const end = () => {
      if (!isOver) reply(this.after(pos))
      isOver = true
    }
    if (this.after(pos).length > 0) end()
    else this.#waiters.push(end)
    this.#world.time.after(1000, end)
  }

  get(key: string): Buffer | undefined {
    const last = this.values.get(key)?.at(-1)
    return last === undefined || last.until <= this.#world.time.now ? undefined : last.value
  }

  set(key: string, value: Buffer, ms: number): void {
    this.values.set(key, [...(this.values.get(key) ?? []), { value, until: this.#world.time.now + ms }])
  }
}

/** A connection: in order both ways, until it breaks. Data then under way may still arrive, late, or be lost. */
class Connection {
  readonly #world: World
  readonly #process: Process
  readonly #timeoutMs: number
  #server: Server
  #opened = 0
  #lastArrival = 0
  #lastReply = 0
  #pending = new Set<(error: Error) => void>()
  isReady = false
  isCut = false
  readonly onReady: (() => void)[] = []

  constructor(world: World, process: Process, timeoutMs: number) {
    this.#world = world
    this.#process = process
    this.#timeoutMs = timeoutMs
    this.#server = world.server
    this.#connect()
  }

  call<T>(run: (server: Server, reply: (value: T) => void) => void): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (!this.isReady) {
      reject(new Error('not connected'))
      return promise
    }
    const { time } = this.#world
    const opened = this.#opened
    const server = this.#server
    const fail = (error: Error) => {
      cancel()
      this.#pending.delete(fail)
      this.#process.run(() => reject(error))
    }
    this.#pending.add(fail)
    const cancel = time.after(this.#timeoutMs, () => fail(new Error('timeout')))
    const reply = (value: T) => {
      if (opened !== this.#opened || !this.#pending.has(fail)) return
      this.#lastReply = Math.max(this.#lastReply, time.now + this.#world.delay())
      time.after(this.#lastReply - time.now, () => {
        cancel()
        if (this.#pending.delete(fail)) this.#process.run(() => resolve(value))
      })
    }
    this.#lastArrival = Math.max(this.#lastArrival, time.now + this.#world.delay())
    time.after(this.#lastArrival - time.now, () => {
      if (opened === this.#opened) return server.arrive(() => run(server, reply))
      if (time.chance(0.5)) time.after(time.between(0, 1500), () => server.arrive(() => run(server, () => {})))
    })
    return promise
  }

  break(): void {
    this.isReady = false
    this.#opened += 1
    for (const fail of [...this.#pending]) fail(new Error('connection lost'))
    this.#connect()
  }

  #connect(): void {
    const { time } = this.#world
    const opened = this.#opened
    time.after(time.between(5, 300), () => {
      if (opened !== this.#opened || !this.#process.isAlive) return
      if (this.isCut || this.#world.server.isDown) return this.#connect()
      this.#server = this.#world.server
      this.#lastArrival = this.#lastReply = time.now
      this.isReady = true
      for (const reconnected of this.onReady) this.#process.run(reconnected)
    })
  }
}

/** One process of onramp: the real follower, ledger and read-through, over connections and a clock that obey the scheduler. */
class Process {
  readonly name: string
  readonly #world: World
  readonly commands: Connection
  readonly waiting: Connection
  readonly ledger: WatchedLedger
  readonly follower: LogFollower
  readonly cache: ReadThrough
  readonly #offset: number
  isAlive = true
  #isPaused = false
  #held: (() => void)[] = []
  /** The answers that readers have received, by row. */
  readonly answered = rows.map(() => 0)
  marks = noMarks
  /** The same without the events hidden by a gap, whose content no process knows. */
  applied = noMarks

  constructor(world: World, name: string) {
    this.name = name
    this.#world = world
    this.#offset = world.time.between(1, 1_000_000)
    this.commands = new Connection(world, this, 200)
    this.waiting = new Connection(world, this, 2000)
    this.ledger = new WatchedLedger(this, world)
    const { clock, ledger } = this
    const observe = (fact: { kind: string }) => world.say(() => `${name}: ${JSON.stringify(fact)}`)
    this.follower = new LogFollower({ log: this.#log(), ledger, clock, observe })
    const tier = redisTier(this.#client(), '', this.follower, clock, observe)
    const memory = memoryTier(1024 ** 2, observe)
    const parts = {
      memory,
      farther: [
        new FailOpenTier(
          tier,
          { deadlineMs: 100, failuresToOpen: 5, openMs: 1000, isLate: () => false },
          clock,
          observe,
        ),
      ],
      leases: noLeases,
      ledger,
      clock,
      observe,
      random: world.time.random,
      deadlineMs: 3000,
      softMs: 150,
      reached: (position: Position) => this.follower.reached(position, 50),
      mayRefresh: () => true,
      turn: () => (world.time.chance(0.3) ? this.#otherWork() : undefined),
    }
    this.cache = new ReadThrough(parts)
    void this.follower.start()
  }

  /** A step of this process: anything may happen before it continues. */
  #otherWork(): Promise<void> {
    return new Promise((resolve) => void this.clock.after(this.#world.delay(), resolve))
  }

  /** Its own monotonic clock. It runs while the process is paused, which the process does not notice. */
  readonly clock = {
    now: (): number => this.#world.time.now + this.#offset,
    after: (ms: number, run: () => void): (() => void) => {
      let isCancelled = false
      const cancel = this.#world.time.after(Math.max(0, ms), () => this.run(() => isCancelled || run()))
      return () => {
        isCancelled = true // even if the process is paused
        cancel()
      }
    },
  }

  /** Delivers something to the process: now, when it continues, or never. */
  run(what: () => void): void {
    if (!this.isAlive) return
    if (this.#isPaused) this.#held.push(what)
    else what()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    for (const what of this.#held.splice(0)) what()
  }

  cut(isCut: boolean): void {
    for (const connection of [this.commands, this.waiting]) {
      connection.isCut = isCut
      if (isCut) connection.break()
    }
  }

  hasSeen(marks: Marks): void {
    const before = this.marks
    this.marks = later(before, marks)
    for (const row of rows) if (this.marks.at[row] !== before.at[row]) this.answered[row] = 0
  }

  #log(): Log {
    const { commands, waiting } = this
    const world = this.#world
    const own = () => ({ ...this.ledger.position, beat: undefined })
    return {
      isShared: true,
      get isReachable() {
        return commands.isReady
      },
      append: (invalidation) =>
        commands.call((server, reply) => {
          const isSkipped = world.broken === 'barrier after a gap' && invalidation.cause === 'barrier'
          reply(isSkipped && server.head ? { ...server.head, ...invalidation, prev: '' } : server.append(invalidation))
        }),
      head: () =>
        world.broken === 'look at the head' && this.ledger.isSynchronized
          ? commands.call((_server, reply) => reply(own()))
          : commands.call((server, reply) => reply(server.head)),
      read: (pos) => commands.call((server, reply) => reply(server.after(pos))),
      next: (pos) => waiting.call((server, reply) => server.next(pos, reply)),
      beat: async () => {},
      onReconnect: (reconnected) => void commands.onReady.push(reconnected),
      close() {},
    }
  }

  /** The part of a Redis client that the tier uses. */
  #client(): Redis {
    const { commands } = this
    const client = {
      on: (_ready: string, reconnected: () => void) => commands.onReady.push(reconnected),
      time: () =>
        commands.call<[number, number]>((_server, reply) => {
          const now = this.#world.time.now
          reply([Math.floor(now / 1000), Math.floor((now % 1000) * 1000)])
        }),
      getBuffer: (key: string) => commands.call<Buffer | null>((server, reply) => reply(server.get(key) ?? null)),
      set: (key: string, value: Buffer, _px: 'PX', ms: number) =>
        commands.call<void>((server, reply) => reply(server.set(key, value, ms))),
    }
    return client as unknown as Redis
  }
}

/** The real ledger. It reports applied events to its process. */
class WatchedLedger extends Ledger {
  readonly #process: Process
  readonly #world: World

  constructor(process: Process, world: World) {
    super(50, 20)
    this.#process = process
    this.#world = world
  }

  override apply(event: Event, now: number) {
    const outcome = super.apply(event, now)
    if (outcome === 'applied') {
      this.#process.hasSeen(this.#world.marksAt(event.id))
      this.#process.applied = later(this.#process.applied, marksOf(event))
      this.#world.say(() => `${this.#process.name}: applied ${event.pos}:${event.id} ${event.tags}`)
    }
    return outcome
  }

  override applyHere(invalidation: Invalidation, now: number): void {
    super.applyHere(invalidation, now)
    this.#process.hasSeen(marksOf(invalidation))
    this.#process.applied = later(this.#process.applied, marksOf(invalidation))
    this.#world.say(() => `${this.#process.name}: applied here ${invalidation.tags}`)
  }

  override join(position: Position): void {
    super.join(position)
    this.#process.answered.fill(0) // no entry of this process is trusted any more
    this.#process.hasSeen(this.#world.marksAt(position.id))
    this.#world.say(() => `${this.#process.name}: joined at ${position.pos}:${position.id}`)
  }

  override verdictShared(...asked: Parameters<Ledger['verdictShared']>) {
    return this.#world.broken === 'judging what Redis has' ? 'current' : super.verdictShared(...asked)
  }
}

/** A hard event names its content in a tag of its own, which touches no entry. */
function marksOf({ tags, soft }: Invalidation): Marks {
  if (soft) return noMarks
  let marks = noMarks
  for (const tag of tags) {
    const [, row, version, at] = /^mark:(\d+):(\d+):([\d.]+)$/.exec(tag) ?? []
    if (row === undefined) continue
    marks = later(marks, {
      version: noMarks.version.with(Number(row), Number(version)),
      at: noMarks.at.with(Number(row), Number(at)),
    })
  }
  return marks
}

const later = (a: Marks, b: Marks): Marks => ({
  version: a.version.map((version, row) => Math.max(version, b.version[row] as number)),
  at: a.at.map((at, row) => Math.max(at, b.at[row] as number)),
})

type Read = Parameters<ReadThrough['read']>[0]
type Answer = Awaited<ReturnType<ReadThrough['read']>>

/** A database, a server and a few processes, their faults, and the violations found in their answers. */
export class World {
  readonly time: Scheduler
  readonly broken: Broken | undefined
  readonly trace: string[] | undefined
  server: Server
  readonly #processes: Process[]
  readonly #versions = rows.map(() => 0)
  readonly #locked = new Set<number>()
  #isDatabaseDown = false
  readonly #marks = new Map<string, Marks>()
  readonly #lifetime: Read['lifetime']
  #ids = 0
  reads = 0
  violation: string | undefined
  isOver = false

  constructor(seed: number, broken?: Broken, trace?: string[]) {
    this.time = new Scheduler(seed)
    this.broken = broken
    this.trace = trace
    const { time } = this
    this.server = new Server(this, time.chance(0.2) ? 4 : 100)
    const fresh = time.chance(0.3) ? 1500 : 60_000
    const afterInvalidation = time.chance(0.2)
    this.#lifetime = { fresh, stale: fresh, staleIfError: 120_000, negative: 1000, afterInvalidation }
    this.#processes = Array.from({ length: time.between(2, 5) }, (_, i) => new Process(this, `p${i}`))
    for (const i of this.#processes.keys()) this.#readOn(i)
    this.#writeOn()
    this.#goWrong(time.chance(0.05) ? 40_000 : faultsMs)
  }

  say(text: () => string): void {
    this.trace?.push(`${this.time.now.toFixed(1)} ${text()}`)
  }

  delay(): number {
    return this.time.chance(0.02) ? this.time.between(20, 150) : this.time.random() * 3
  }

  nameFor(prev: string, invalidation: Invalidation): string {
    this.#ids += 1
    const id = `e${this.#ids}`
    this.#marks.set(id, later(this.marksAt(prev), marksOf(invalidation)))
    return id
  }

  /** The marks of all events in the log up to `id`. */
  marksAt(id: string): Marks {
    return this.#marks.get(id) ?? noMarks
  }

  #fail(what: string): void {
    this.say(() => `VIOLATION ${what}`)
    this.violation ??= what
    this.isOver = true
  }

  #alive(): Process[] {
    return this.#processes.filter(({ isAlive }) => isAlive)
  }

  #publish(process: Process, about: readonly number[], soft = false): void {
    const { time } = this
    const marks = about.map((row) => `mark:${row}:${this.#versions[row]}:${time.now}`)
    const invalidation = { tags: [...about.map((row) => `row:${row}`), ...marks], soft, cause: 'change' } as const
    process.run(() => {
      void process.follower.publish(invalidation).then((position) => {
        process.hasSeen(marksOf(invalidation))
        this.say(() => `${process.name}: published ${position?.id} ${invalidation.tags}`)
      })
    })
  }

  #writeOn(): void {
    const { time } = this
    time.after(time.between(50, 700), () => {
      if (time.now < this.#faultsUntil) this.#writeOn()
      const row = time.oneOf(rows)
      const process = this.#alive()[0] && time.oneOf(this.#alive())
      if (process === undefined || this.#locked.has(row)) return
      if (time.chance(0.15)) return this.#publish(process, [row], time.chance(0.3)) // a purge
      this.#locked.add(row) // until it is visible: then the row's lock is released
      const version = (this.#versions[row] as number) + 1
      this.say(() => `row ${row} version ${version} is flushed`)
      const isEarly = this.broken === 'publish when visible'
      if (isEarly) {
        this.#versions[row] = version
        this.#publish(process, [row])
        this.#versions[row] = version - 1
      }
      time.after(time.chance(0.3) ? time.between(0, 60) : 0, () => {
        this.#versions[row] = version
        this.#locked.delete(row)
        this.say(() => `row ${row} version ${version} is visible`)
        if (isEarly) return
        time.after(time.between(0, 20), () => (process.isAlive ? this.#publish(process, [row]) : this.#publishAll()))
      })
    })
  }

  /** Another process takes over from a publisher that is gone, and reports that all may have changed. */
  #publishAll(): void {
    const [any] = this.#alive()
    if (any === undefined) this.time.after(50, () => this.#publishAll())
    else this.#publish(this.time.oneOf(this.#alive()), rows)
  }

  #readOn(i: number): void {
    const { time } = this
    time.after(time.between(10, 400), () => {
      const process = this.#processes[i]
      if (!this.isOver) this.#readOn(i)
      process?.run(() => this.#read(process, time.oneOf(rows), time.chance(0.05) ? time.between(0, 500) : undefined))
    })
  }

  #read(process: Process, row: number, maxAgeMs?: number): Promise<void> {
    const { marks, applied } = process
    const before = process.answered[row] as number
    const asked = this.time.now
    const isVerified = () => process.clock.now() <= process.ledger.verifiedUntil
    const wasVerified = isVerified()
    const read = {
      key: `rows@1?row=${row}` as Key,
      route: 'rows',
      tags: () => [`row:${row}`, 'route:rows'],
      lifetime: this.#lifetime,
      maxAgeMs,
      load: (sent: () => void) => this.#load(process, row, sent),
    }
    const check = (answer: Answer) => {
      this.reads += 1
      const [version, at] = JSON.parse(answer.entry.body.toString()) as [number, number]
      const { source, state, forwarded } = answer
      const told = () =>
        `${process.name} answers row ${row} version ${version} read at ${at.toFixed(1)} from ${source}, ${state} ${forwarded ?? ''}`
      this.say(told)
      // The route allows an entry that is known to have changed if the origin fails, and it is labelled so.
      if (state === 'stale' && this.#lifetime.afterInvalidation) return
      // A fallback because the origin failed, labelled so. It may be older than missed events, never older than applied ones.
      const needs = answer.fallbackReason === undefined ? marks : applied
      if (version < (needs.version[row] as number) || at < (needs.at[row] as number))
        this.#fail(`${told()}: it had applied version ${needs.version[row]} of ${needs.at[row]}`)
      if (version < before) this.#fail(`${told()}: it had answered version ${before}`)
      // The answer of a joined flight is as old as its statement; it is older than the limit only in a process that stood still.
      const isKept = source !== 'origin' && state !== 'stale'
      // A reader that asked just before the log was applied again may get an entry found current meanwhile, because the
      // origin failed.
      const isUnverified = !wasVerified && !isVerified()
      if (isUnverified && isKept && asked - at > unverifiedMs) this.#fail(`${told()}: unverified`)
      // An entry invalidated meanwhile may come back from Redis, judged current by a process that has applied less.
      if (process.marks.at[row] === needs.at[row])
        process.answered[row] = Math.max(process.answered[row] as number, version)
    }
    return process.cache.read(read).then(check, () => {}) // no answer is not a wrong one
  }

  #load(process: Process, row: number, sent: () => void): Promise<{ json: string; rows: number }> {
    const { time } = this
    return new Promise((resolve, reject) => {
      const send = () => {
        sent()
        time.after(this.delay(), () => {
          const isDown = this.#isDatabaseDown
          const json = JSON.stringify([this.#versions[row], time.now])
          time.after(time.chance(0.1) ? time.between(10, 300) : this.delay(), () =>
            process.run(() => (isDown ? reject(new Error('the database is down')) : resolve({ json, rows: 1 }))),
          )
        })
      }
      if (time.chance(0.3)) process.clock.after(time.between(0, 50), send)
      else send()
    })
  }

  #faultsUntil = faultsMs

  #goWrong(untilMs: number): void {
    this.#faultsUntil = untilMs
    const faults = [
      () => this.#failover(),
      () => this.#restartServer(),
      () => this.server.freeze(this.#span()),
      () => this.#breakOne(),
      () => this.#cutOne(),
      () => this.#pauseOne(),
      () => this.#crashOne(),
      () => this.#databaseFails(),
    ]
    const { time } = this
    // A few of all possible faults in one world.
    const likely = faults.filter(() => time.chance(0.4))
    const goOn = () => {
      if (time.now >= untilMs) return this.#heal()
      if (likely.length > 0) time.oneOf(likely)()
      time.after(time.between(100, 2000), goOn)
    }
    time.after(time.between(500, 2000), goOn)
  }

  #span(): number {
    const { time } = this
    if (this.#faultsUntil > faultsMs && time.chance(0.5)) return 33_000
    return time.chance(0.3) ? time.between(2000, 5000) : time.between(50, 1500)
  }

  /** A replica that has not applied everything takes over. Clients of the old master notice later. */
  #failover(): void {
    const { time } = this
    const lost = time.chance(0.1) ? this.server.events.length : time.between(0, 4)
    this.say(() => `failover: ${lost} events are lost`)
    this.server = this.server.replica(lost)
    for (const process of this.#processes)
      for (const connection of [process.commands, process.waiting])
        time.after(time.between(0, 400), () => connection.break())
  }

  /** The server comes back with its last saved state. */
  #restartServer(): void {
    const { time } = this
    this.say(() => 'the server goes down')
    const { server } = this
    server.isDown = true
    for (const process of this.#processes) for (const c of [process.commands, process.waiting]) c.break()
    time.after(this.#span(), () => {
      if (this.server !== server) return
      this.server = server.replica(time.chance(0.5) ? 0 : time.between(0, 8))
      this.say(() => `the server comes back at ${this.server.head?.id}`)
    })
  }

  #breakOne(): void {
    const process = this.time.oneOf(this.#processes)
    this.say(() => `${process.name}: a connection breaks`)
    ;(this.time.chance(0.5) ? process.commands : process.waiting).break()
  }

  #cutOne(): void {
    const process = this.time.oneOf(this.#processes)
    this.say(() => `${process.name}: cut off`)
    process.cut(true)
    this.time.after(this.#span(), () => process.cut(false))
  }

  #pauseOne(): void {
    const process = this.time.oneOf(this.#processes)
    this.say(() => `${process.name}: paused`)
    process.pause()
    this.time.after(this.#span(), () => process.resume())
  }

  #crashOne(): void {
    const { time } = this
    const i = time.between(0, this.#processes.length)
    const process = this.#processes[i] as Process
    if (!process.isAlive) return
    this.say(() => `${process.name}: crashes`)
    process.isAlive = false
    time.after(time.between(10, 100), () => this.#publishAll())
    time.after(time.between(100, 1500), () => this.#begin(i))
  }

  #begin(i: number): void {
    if (this.#processes[i]?.isAlive) return
    this.#processes[i] = new Process(this, `p${i}'`)
  }

  #databaseFails(): void {
    this.#isDatabaseDown = true
    this.time.after(this.#span(), () => {
      this.#isDatabaseDown = false
    })
  }

  #heal(): void {
    const { time } = this
    this.say(() => 'all is well again')
    this.#isDatabaseDown = false
    if (this.server.isDown) this.server = this.server.replica(0)
    this.server.thaw()
    for (const process of this.#processes) {
      process.cut(false)
      process.resume()
    }
    for (const i of this.#processes.keys()) this.#begin(i)
    time.after(healedMs, () => this.#checkAll())
  }

  /** All processes are synchronized, and answer the latest version. */
  #checkAll(): void {
    let waitsFor = this.#processes.length * rows.length
    for (const process of this.#processes) {
      const { state } = process.follower.state
      if (state !== 'synchronized') this.#fail(`${process.name} is ${state} ${healedMs} ms after the last fault`)
      for (const row of rows) {
        const version = this.#versions[row] as number
        process.marks = later(process.marks, { ...noMarks, version: noMarks.version.with(row, version) })
        void this.#read(process, row).then(() => {
          waitsFor -= 1
          if (waitsFor === 0) this.isOver = true
        })
      }
    }
    this.time.after(2000, () => {
      if (waitsFor > 0) this.#fail('somebody got no answer')
    })
  }
}

export interface Outcome {
  seed: number
  reads: number
  violation: string | undefined
}

/** How many worlds run side by side. They are independent, and share the cost of letting all ready work run. */
const atOnce = 50

/** Runs the worlds of `seeds` to their ends. */
export async function simulate(seeds: readonly number[], broken?: Broken, trace?: string[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const waiting = [...seeds]
  let worlds: { seed: number; world: World }[] = []
  while (waiting.length > 0 || worlds.length > 0) {
    while (worlds.length < atOnce && waiting.length > 0) {
      const seed = waiting.shift() as number
      worlds.push({ seed, world: new World(seed, broken, trace) })
    }
    for (const { world } of worlds) world.time.step()
    await new Promise((resolve) => setImmediate(resolve))
    for (const { seed, world } of worlds)
      if (world.isOver) outcomes.push({ seed, reads: world.reads, violation: world.violation })
    worlds = worlds.filter(({ world }) => !world.isOver)
  }
  return outcomes.sort((a, b) => a.seed - b.seed)
}
