// The latest events, invalidations and slow fills.
import type { Clock } from '../clock.ts'
import type { Observation, Observe } from '../observation.ts'

/** How many are kept of each. */
const most = 50
const mostSlowest = 10
/** A fill is among the slowest for this long. */
const slowestForMs = 3_600_000

interface Change {
  at: number
  kind: Observation['kind']
  /** Whether it is for the worse. */
  isBad: boolean
  text: string
}

interface Invalidation {
  at: number
  cause: string
  tags: readonly string[]
  /** Where it was asked for by this process. */
  lagSeconds?: number | undefined
}

interface Fill {
  at: number
  key: string
  seconds: number
}

/** Remembers what changed lately, what was invalidated, and which fills were the slowest: the last of them, bounded. */
export class RecentEvents {
  readonly #clock: Clock
  readonly #changes: Change[] = []
  readonly #invalidations: Invalidation[] = []
  readonly #slowest = new Map<string, Fill[]>()
  readonly #openBreakers = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  readonly observe: Observe = (fact) => {
    if (fact.kind === 'response') return
    if (fact.kind === 'filled') return this.#noteFill(fact)
    const at = this.#clock.now()
    if (fact.kind === 'invalidated') {
      const { cause, tags, lagSeconds } = fact
      if (cause === 'barrier') return // touches nothing
      keepLast(this.#invalidations, { at, cause, lagSeconds, tags: tags.slice(0, 20) })
      return
    }
    if (fact.kind === 'breaker' && !this.#isNews(fact)) return
    const change = changeOf(fact)
    if (change !== undefined) keepLast(this.#changes, { at, kind: fact.kind, ...change })
  }

  /** Latest first. */
  changes() {
    return this.#changes.map((change) => this.#aged(change)).reverse()
  }

  /** Latest first; of many tags the first twenty. */
  invalidations() {
    return this.#invalidations.map((one) => this.#aged(one)).reverse()
  }

  /** The slowest fills of `route` in the last hour, slowest first. */
  slowest(route: string) {
    return this.#current(route).map((fill) => this.#aged(fill))
  }

  /** A breaker that opens again after a try has not changed: it would push out what happened before. */
  #isNews({ name, state }: Extract<Observation, { kind: 'breaker' }>): boolean {
    const wasOpen = this.#openBreakers.has(name)
    if (state === 'open') this.#openBreakers.add(name)
    if (state === 'closed') this.#openBreakers.delete(name)
    return state === 'half-open' ? false : (state === 'open') !== wasOpen
  }

  #aged<T extends { at: number }>({ at, ...rest }: T) {
    return { agoSeconds: Math.round((this.#clock.now() - at) / 100) / 10, ...rest }
  }

  #current(route: string): Fill[] {
    const since = this.#clock.now() - slowestForMs
    return (this.#slowest.get(route) ?? []).filter(({ at }) => at >= since)
  }

  #noteFill({ route, key, seconds }: Extract<Observation, { kind: 'filled' }>): void {
    const fills = this.#current(route)
    const least = fills.length < mostSlowest ? undefined : fills.at(-1)
    if (least !== undefined && seconds <= least.seconds) return
    // A key is there once, with its slowest.
    const same = fills.findIndex((fill) => fill.key === key)
    if (same >= 0 && (fills[same] as Fill).seconds >= seconds) return
    if (same >= 0) fills.splice(same, 1)
    fills.push({ at: this.#clock.now(), key, seconds })
    fills.sort((a, b) => b.seconds - a.seconds)
    this.#slowest.set(route, fills.slice(0, mostSlowest))
  }
}

function keepLast<T>(list: T[], one: T): void {
  list.push(one)
  if (list.length > most) list.shift()
}

const tierNames = { memory: 'Memory', redis: 'Redis' }

/** A change of state in words, without anything that an error says: that is for the log. */
function changeOf(fact: Observation): { isBad: boolean; text: string } | undefined {
  switch (fact.kind) {
    case 'degradation':
      return { isBad: fact.level !== 'healthy', text: `From ${fact.before} to ${fact.level}` }
    case 'breaker':
      return fact.state === 'open'
        ? { isBad: true, text: `The breaker of ${fact.name} opened` }
        : { isBad: false, text: `The breaker of ${fact.name} closed` }
    case 'redis-connection':
      return fact.state === 'lost'
        ? { isBad: true, text: 'The connection to Redis was lost' }
        : { isBad: false, text: 'Connected to Redis' }
    case 'tier-bypassed':
      return { isBad: true, text: `${tierNames[fact.tier]} does not answer` }
    case 'tier-back':
      return { isBad: false, text: `${tierNames[fact.tier]} answers again` }
    case 'log-gap':
      return { isBad: true, text: 'Invalidations may have been missed: what was held is not believed any more' }
    case 'coherence':
      return fact.state === 'degraded'
        ? { isBad: true, text: 'Invalidations cannot be followed: entries live a few seconds' }
        : { isBad: false, text: 'Invalidations are followed' }
    case 'changes':
      return fact.state === 'lost'
        ? { isBad: true, text: 'The database is not followed for now' }
        : {
            isBad: false,
            text: fact.state === 'off' ? 'The database is not followed' : `The database is followed by ${fact.mode}`,
          }
    case 'config-reloaded': {
      const { changed } = fact
      const what = changed.length === 0 ? 'no route changed' : `changed: ${changed.slice(0, 10).join(', ')}`
      return { isBad: false, text: `The configuration was reloaded, ${what}${changed.length > 10 ? ' …' : ''}` }
    }
    case 'config-refused':
      return { isBad: true, text: 'The new configuration was refused; the log says why' }
    case 'redefined':
      return fact.error === undefined
        ? { isBad: false, text: 'What the routes read was defined anew' }
        : {
            isBad: true,
            text: 'What the routes read was defined anew, so that a start would refuse it; the log says why',
          }
    case 'certificate':
      return fact.outcome === 'taken'
        ? { isBad: false, text: 'The certificate was read anew' }
        : { isBad: true, text: 'The new certificate was refused; the log says why' }
    default:
      return undefined
  }
}
