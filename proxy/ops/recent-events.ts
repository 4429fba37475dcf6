// The latest events, invalidations and slow fills.
import type { Clock } from '../clock.ts'
import { type Cause, type FactKind, type FactOf, type FactTable, lookUpFact, type Observe } from '../observation.ts'
import { tagInWords } from '../tags.ts'

/** How many are kept of each. */
const most = 50
const mostTags = 20
const mostSlowest = 10
/** A fill is among the slowest for this long. */
const slowestForMs = 3_600_000

interface EventInWords {
  /** Whether it is for the worse. */
  isBad: boolean
  text: string
}

/** A change of state. */
export interface RecentEvent extends EventInWords {
  agoSeconds: number
  kind: FactKind
}

export interface RecentInvalidation {
  agoSeconds: number
  cause: Cause
  /** As people read them. */
  tags: readonly string[]
  /** Where it was asked for by this process. */
  lagSeconds?: number | undefined
}

export interface SlowFill {
  agoSeconds: number
  key: string
  seconds: number
}

/** Something as it is kept: `at` is on the clock. */
type Kept<T extends { agoSeconds: number }> = Omit<T, 'agoSeconds'> & { at: number }

const better = (text: string): EventInWords => ({ isBad: false, text })
const worse = (text: string): EventInWords => ({ isBad: true, text })

/** A change of state in words, without anything that an error says: that is for the log. */
const eventsInWords = {
  degradation: ({ level, before }) => ({ isBad: level !== 'healthy', text: `From ${before} to ${level}` }),
  breaker: ({ name, state }) =>
    state === 'open' ? worse(`The breaker of ${name} opened`) : better(`The breaker of ${name} closed`),
  'redis-connection': ({ state }) =>
    state === 'lost' ? worse('The connection to Redis was lost') : better('Connected to Redis'),
  'tier-bypassed': ({ label }) => worse(`${label} does not answer`),
  'tier-back': ({ label }) => better(`${label} answers again`),
  'log-gap': () => worse('Invalidations may have been missed: what was held is not believed any more'),
  coherence: ({ state }) =>
    state === 'degraded'
      ? worse('Invalidations cannot be followed: entries live a few seconds')
      : better('Invalidations are followed'),
  changes: ({ state, mode }) => {
    if (state === 'lost') return worse('The database is not followed for now')
    return better(state === 'off' ? 'The database is not followed' : `The database is followed by ${mode}`)
  },
  'config-reloaded': ({ changed }) => {
    const what = changed.length === 0 ? 'no route changed' : `changed: ${changed.slice(0, 10).join(', ')}`
    return better(`The configuration was reloaded, ${what}${changed.length > 10 ? ' …' : ''}`)
  },
  'config-refused': () => worse('The new configuration was refused; the log says why'),
  redefined: ({ error }) =>
    error === undefined
      ? better('What the routes read was defined anew')
      : worse('What the routes read was defined anew, so that a start would refuse it; the log says why'),
  certificate: ({ outcome }) =>
    outcome === 'taken'
      ? better('The certificate was read anew')
      : worse('The new certificate was refused; the log says why'),
} satisfies FactTable<EventInWords>

/** Remembers the latest changes of state, the latest invalidations, and which fills were the slowest: bounded. */
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
    const event = lookUpFact(eventsInWords, fact)
    if (event !== undefined) keepLast(this.#changes, { at: this.#clock.now(), kind: fact.kind, ...event })
  }

  /** Latest first. */
  changes(): RecentEvent[] {
    return this.#changes.map(({ at, ...event }) => ({ agoSeconds: this.#secondsSince(at), ...event })).reverse()
  }

  /** Latest first; of many tags the first twenty. */
  invalidations(): RecentInvalidation[] {
    return this.#invalidations.map(({ at, ...one }) => ({ agoSeconds: this.#secondsSince(at), ...one })).reverse()
  }

  /** The slowest fills of `route` in the last hour, slowest first. */
  slowest(route: string): SlowFill[] {
    return this.#current(route).map(({ at, ...fill }) => ({ agoSeconds: this.#secondsSince(at), ...fill }))
  }

  /** A breaker that opens again after a try has not changed: it would push out what happened before. */
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
    if (cause === 'barrier') return // touches nothing
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
    // A key is there once, with its slowest.
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
