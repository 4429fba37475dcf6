// The program, running: what the process may ask of it until its end.
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
  /** Everything that was opened on the way here. */
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

  /** What the database, or Redis, could not show or do, in sentences. */
  get warnings(): readonly string[] {
    return this.#parts.warnings
  }

  /** The tiers, nearest first, and how they are, for people. */
  get tiers(): readonly string[] {
    return describeTiers(this.#parts)
  }

  /** From here on /ready says no; `signal` is what asked for it. */
  drain(signal: string): void {
    this.#parts.readiness.drain(signal)
    this.#parts.upstream?.drain()
  }

  /** Takes no more connections; those there are end with their answers, little by little. Resolves when all of them are to. */
  handOver(): Promise<void> {
    const { listener, config } = this.#parts
    return listener.handOver(config.limits.drainTimeout)
  }

  /** Cuts every connection, whatever is under way on it. */
  cut(): void {
    const { listener, admin, upstream } = this.#parts
    listener.cut()
    admin.server.closeAllConnections()
    void upstream?.close()
  }

  /** Ends what was opened, the last first; to be called when both listeners are closed. */
  close(): Promise<void> {
    return this.#parts.closing.disposeAsync()
  }
}

/** The names of the tiers, nearest first; beside that of Redis, that there is no connection to it. */
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
