// Leases in Redis: one fill a key over all processes.
import { randomUUID } from 'node:crypto'
import type { Position } from '../coherence/ledger.ts'
import type { FailOpenTier } from './fail-open.ts'
import type { Key } from './key.ts'
import type { RedisClient } from './redis.ts'

/**
 * The lease of a key's fill. `led`: by this process; `held`: by another; `failed`: a fill has just failed, and no
 * process repeats it for a moment.
 */
export interface Lease {
  state: 'led' | 'held' | 'failed'
  /** Called by the leader with the outcome of the fill. Does not wait. */
  release(outcome: 'done' | 'failed'): void
}

export interface Leases {
  /**
   * Takes the lease of `key` for a fill stamped `stamp`. `leads` says whether this process can use the fill of another
   * holder. A fill that began before an invalidation does not serve a reader after it, so its lease is taken over.
   */
  take(key: Key, stamp: Position, leads: (holder: Position) => boolean): Promise<Lease>
  /** Whether taking a lease is worth a round trip. */
  readonly isUsable: boolean
}

/** How much longer than the statement timeout a lease lasts, in milliseconds. */
const graceMs = 250
/** How long other processes do not repeat a failed fill, in milliseconds. */
const failedMs = 1000
const failed = 'failed'

/** Deletes the lease, or marks it as failed, if the caller still has it: another process may have it by now. */
const release = `if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == 'failed' then return redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3]) end
return redis.call('del', KEYS[1])`

/** Takes over the lease, if its holder has not changed. */
const takeOver = `if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return 1`

/** Without Redis every process leads: one fill a process and key. */
export const noLeases: Leases = { take: async () => soleLeader, isUsable: false }
const soleLeader: Lease = { state: 'led', release() {} }

/**
 * Leases in Redis, for efficiency only: a lease that is lost, expired or taken twice costs a query, never a wrong
 * answer.
 *
 * A lease lasts a moment longer than the statement timeout. A live holder has filled, or given up, by then; the lease
 * of a dead one ends, and another process takes it. `server` is Redis behind its deadline and circuit breaker.
 */
export function redisLeases(
  client: RedisClient,
  keyPrefix: string,
  statementTimeoutMs: number,
  server: Pick<FailOpenTier, 'guard' | 'isFailing'>,
  sharing: { readonly isShared: boolean },
): Leases {
  const longestMs = statementTimeoutMs + graceMs
  const take = async (key: Key, { pos, id }: Position, leads: (holder: Position) => boolean): Promise<Lease> => {
    const name = `${keyPrefix}lease:${key}`
    const token = `${randomUUID()} ${pos} ${id}`
    // Pipelined: the second command returns the holder, if the first did not take the lease.
    const [taken, holder] = await Promise.all([client.set(name, token, 'PX', longestMs, 'NX'), client.get(name)])
    const end = (outcome: string) => client.eval(release, 1, name, token, outcome, failedMs).then(() => soleLeader)
    const led: Lease = { state: 'led', release: (outcome) => void server.guard(() => end(outcome), soleLeader) }
    if (taken === 'OK') return led
    if (holder === failed) return { state: 'failed', release() {} }
    const [, holderPos, holderId] = holder?.split(' ') ?? []
    if (holder === null || leads({ pos: Number(holderPos), id: holderId ?? '' })) return { state: 'held', release() {} }
    const isOurs = (await client.eval(takeOver, 1, name, holder, token, longestMs)) === 1
    return isOurs ? led : { state: 'held', release() {} }
  }
  return {
    take: (key, stamp, leads) => server.guard(() => take(key, stamp, leads), soleLeader),
    // While nothing is kept in Redis, there is no fill of another process to wait for.
    get isUsable() {
      return !server.isFailing && sharing.isShared
    },
  }
}
