// The running program: draining, handing over connections, closing.
import type { FastifyInstance } from 'fastify'
import { redisTierNames } from './cache/redis.ts'
import type { Config } from './config/schema.ts'
import type { PublicListener } from './http/listener.ts'
import type { Passthrough } from './http/upstream/passthrough.ts'
import type { Readiness } from './ops/readiness.ts'

export interface RunningParts {
  config: Config
  listener: PublicListener
  admin: FastifyInstance
  upstream: Passthrough | undefined
  readiness: Readiness
  memory: { readonly name: string }
  /** The tiers behind memory, nearest first. */
  farther: readonly { readonly name: string }[]
  redis: { readonly isConnected: boolean } | undefined
  warnings: readonly string[]
  /** Everything opened during startup. */
  closing: AsyncDisposableStack
}

export class RunningApp {
  readonly #parts: RunningParts

  constructor(parts: RunningParts) {
    this.#parts = parts
  }

  get public(): PublicListener {
    return this.#parts.listener
  }

  get admin(): FastifyInstance {
    return this.#parts.admin
  }

  /** Warnings about features that the database or Redis lacks, as sentences. */
  get warnings(): readonly string[] {
    return this.#parts.warnings
  }

  /** The tiers, nearest first, with their state, for display. */
  get tiers(): readonly string[] {
    return describeTiers(this.#parts)
  }

  /** Makes /ready report draining from now on. `signal` is the reason. */
  drain(signal: string): void {
    this.#parts.readiness.drain(signal)
    this.#parts.upstream?.drain()
  }

  /**
   * Accepts no new connections, and closes the open ones gradually, each after its current response. Resolves when all
   * are told to close.
   */
  handOver(): Promise<void> {
    const { listener, config } = this.#parts
    return listener.handOver(config.limits.drainTimeout)
  }

  /** Cuts every connection, including those with requests in flight. */
  cut(): void {
    const { listener, admin, upstream } = this.#parts
    listener.cut()
    admin.server.closeAllConnections()
    void upstream?.close()
  }

  /** Closes everything that was opened, last first. Call it after both listeners are closed. */
  close(): Promise<void> {
    return this.#parts.closing.disposeAsync()
  }
}

/** The names of the tiers, nearest first. The name of Redis includes a note when there is no connection to it. */
export function describeTiers({
  memory,
  farther,
  redis,
}: Pick<RunningParts, 'memory' | 'farther' | 'redis'>): string[] {
  const isAway = redis !== undefined && !redis.isConnected
  return [memory, ...farther].map(({ name }) =>
    name === redisTierNames.name && isAway ? `${name} (not reachable now)` : name,
  )
}
