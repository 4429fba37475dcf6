// The latest changes of state, invalidations and slow fills.
import type { Clock } from '../clock.ts'
import { type Cause, type FactKind, type FactOf, lookUpFact, type Observe } from '../observation.ts'
import { tagInWords } from '../tags.ts'
import { eventsByFact } from './event-of-fact.ts'
import { events } from './events.ts'

/** Entries kept of each list. */
const most = 50
const mostTags = 20
const mostSlowest = 10
/** A fill counts among the slowest for this time. */
const slowestForMs = 3_600_000

/** A change of state. */
export interface RecentEvent {
  agoSeconds: number
  kind: FactKind
  /** Whether it is for the worse. */
  isBad: boolean
  text: string
}

export interface RecentInvalidation {
  agoSeconds: number
  cause: Cause
  /** In words for people (tags.ts). */
  tags: readonly string[]
  /** Only if this process asked for it. */
  lagSeconds?: number | undefined
}

export interface SlowFill {
  agoSeconds: number
  key: string
  seconds: number
}

/** An item of a list: `at` is a time of the clock. */
type Kept<T extends { agoSeconds: number }> = Omit<T, 'agoSeconds'> & { at: number }

/** The kinds of facts that are changes of state. */
const changesOfState: ReadonlySet<FactKind> = new Set([
  ...(['degradation', 'breaker', 'redis-connection', 'tier-bypassed', 'tier-back', 'log-gap', 'coherence'] as const),
  ...(['changes', 'config-reloaded', 'config-refused', 'redefined', 'certificate'] as const),
])

/** Keeps the latest changes of state, the latest invalidations and the slowest fills of each route, all bounded. */
export class RecentEvents {
  readonly #clock: Clock
  readonly #changes: Kept<RecentEvent>[] = []
  readonly #invalidations: Kept<RecentInvalidation>[] = []
  readonly #slowest = new Map<string, Kept<SlowFill>[]>()
  readonly #openBreakers = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  readonly observe: Observe = (fact) => {
    if (fact.kind === 'response') return
    if (fact.kind === 'filled') return this.#noteFill(fact)
    if (fact.kind === 'invalidated') return this.#noteInvalidation(fact)
    if (fact.kind === 'breaker' && !this.#isNews(fact)) return
    if (!changesOfState.has(fact.kind)) return
    const event = lookUpFact(eventsByFact, fact)
    if (event === undefined) return
    const { level, sentence } = events[event.event]
    const text = event.about === undefined ? sentence : `${sentence.slice(0, -1)} (${event.about}).`
    keepLast(this.#changes, {
      at: this.#clock.now(),
      kind: fact.kind,
      isBad: level === 'warn' || level === 'error',
      text,
    })
  }

  /** Latest first. */
  changes(): RecentEvent[] {
    return this.#changes.map(({ at, ...event }) => ({ agoSeconds: this.#secondsSince(at), ...event })).reverse()
  }

  /** Latest first, each with at most twenty tags. */
  invalidations(): RecentInvalidation[] {
    return this.#invalidations.map(({ at, ...one }) => ({ agoSeconds: this.#secondsSince(at), ...one })).reverse()
  }

  /** The slowest fills of `route` in the last hour, slowest first. */
  slowest(route: string): SlowFill[] {
    return this.#current(route).map(({ at, ...fill }) => ({ agoSeconds: this.#secondsSince(at), ...fill }))
  }

  /** A circuit breaker that opens again after a failed trial has not changed state: it would push out older events. */
  #isNews({ name, state }: FactOf<'breaker'>): boolean {
    const wasOpen = this.#openBreakers.has(name)
    if (state === 'open') this.#openBreakers.add(name)
    if (state === 'closed') this.#openBreakers.delete(name)
    return state === 'half-open' ? false : (state === 'open') !== wasOpen
  }

  #secondsSince(at: number): number {
    return Math.round((this.#clock.now() - at) / 100) / 10
  }

  #noteInvalidation({ cause, tags, lagSeconds }: FactOf<'invalidated'>): void {
    if (cause === 'barrier') return // invalidates nothing
    const shown = tags.slice(0, mostTags).map(tagInWords)
    keepLast(this.#invalidations, { at: this.#clock.now(), cause, lagSeconds, tags: shown })
  }

  #current(route: string): Kept<SlowFill>[] {
    const since = this.#clock.now() - slowestForMs
    return (this.#slowest.get(route) ?? []).filter(({ at }) => at >= since)
  }

  #noteFill({ route, key, seconds }: FactOf<'filled'>): void {
    const fills = this.#current(route)
    const least = fills.length < mostSlowest ? undefined : fills.at(-1)
    if (least !== undefined && seconds <= least.seconds) return
    // A key is listed once, with its slowest fill.
    const same = fills.find((fill) => fill.key === key)
    if (same !== undefined && same.seconds >= seconds) return
    const others = fills.filter((fill) => fill !== same)
    others.push({ at: this.#clock.now(), key, seconds })
    others.sort((a, b) => b.seconds - a.seconds)
    this.#slowest.set(route, others.slice(0, mostSlowest))
  }
}

function keepLast<T>(list: T[], one: T): void {
  list.push(one)
  if (list.length > most) list.shift()
}
