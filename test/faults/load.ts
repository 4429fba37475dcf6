import { Agent, get } from 'node:http'

/**
 * The kinds of requests, and how many of each are sent a second. `fresh` and `stale` have a cached entry that is served at once; the
 * stale ones are refreshed in the background. `old` is past its `stale`: the request waits for the database, and gets the cached
 * entry if the database fails. `cold`, and `other` from another table, are new keys.
 */
export const lanes = { fresh: 20, stale: 10, old: 10, cold: 5, other: 5 } as const
export type Lane = keyof typeof lanes
const names = Object.keys(lanes) as Lane[]

const isOfHeld = (lane: Lane) => lane !== 'cold' && lane !== 'other'

export interface Sample {
  lane: Lane
  /** When the request was sent, by performance.now(). */
  at: number
  ms: number
  isFailed: boolean
}

/** Keys of each lane whose entries are cached. */
const hotKeys = 10
let latestId = 0
/** Returns an id that was not requested yet. */
export function newId(): number {
  latestId += 1
  return 1000 + latestId
}

/** An open-loop load: it sends the requests of `lanes` each second, whether or not the earlier ones are answered. */
export class Load {
  readonly samples: Sample[] = []
  readonly #url: string
  readonly #agent = new Agent({ keepAlive: true })
  readonly #underWay = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined

  constructor(url: string) {
    this.#url = url
  }

  /** Requests every key that has to be cached, one after the other. */
  async warm(): Promise<void> {
    for (const lane of names.filter(isOfHeld)) for (let id = 0; id < hotKeys; id += 1) await this.#ask(lane, id)
    this.samples.length = 0
  }

  start(): void {
    const began = performance.now()
    const sent = { fresh: 0, stale: 0, old: 0, cold: 0, other: 0 }
    this.#timer = setInterval(() => {
      const seconds = (performance.now() - began) / 1000
      for (const lane of names) {
        for (; sent[lane] < lanes[lane] * seconds; sent[lane] += 1) {
          const asked = this.#ask(lane, isOfHeld(lane) ? sent[lane] % hotKeys : newId())
          this.#underWay.add(asked)
          void asked.then(() => this.#underWay.delete(asked))
        }
      }
    }, 10)
  }

  /** Stops sending, and waits for the open requests. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#underWay)
    this.#agent.destroy()
  }

  async #ask(lane: Lane, id: number): Promise<void> {
    const at = performance.now()
    const status = await statusOf(`${this.#url}/${lane}/${id}`, this.#agent)
    this.samples.push({ lane, at, ms: performance.now() - at, isFailed: status !== 200 })
  }
}

/** Requests an idle server twenty times a second: its slowest answer is the noise of this machine. */
export class Control {
  worstMs = 0
  readonly #url: string
  readonly #agent = new Agent({ keepAlive: true })
  #timer: NodeJS.Timeout | undefined
  #latest: Promise<void> | undefined

  constructor(url: string) {
    this.#url = url
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#latest = this.#ask()
    }, 50)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#latest
    this.#agent.destroy()
  }

  async #ask(): Promise<void> {
    const at = performance.now()
    await statusOf(this.#url, this.#agent)
    this.worstMs = Math.max(this.worstMs, performance.now() - at)
  }
}

/** Resolves to the status of a complete response; to 0 if there is none. */
export function statusOf(url: string, agent?: Agent): Promise<number> {
  return new Promise((resolve) => {
    const asked = get(url, { ...(agent && { agent }), timeout: 8000 }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.complete ? (response.statusCode ?? 0) : 0))
      response.on('error', () => resolve(0))
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(0))
  })
}
