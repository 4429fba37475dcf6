// One fill a key over all processes.
import { randomUUID } from 'node:crypto'
import type { Position } from '../coherence/ledger.ts'
import type { FailOpenTier } from './fail-open.ts'
import type { Key } from './key.ts'
import type { RedisClient } from './redis.ts'

/**
 * Who leads the fill of a key, over all processes: this one (`led`), or another (`held`), or nobody for a moment, since a fill
 * has just failed (`failed`).
 */
export interface Lease {
  state: 'led' | 'held' | 'failed'
  /** To be called by whoever leads, with what became of the fill. Waits for nothing. */
  release(outcome: 'done' | 'failed'): void
}

export interface Leases {
  /**
   * Takes the lease of `key` for a fill stamped `stamp`. `leads` says of another's whether what it will bring can be used here: a fill that
   * began before an invalidation leads nobody who comes after it, and its lease is taken over.
   */
  take(key: Key, stamp: Position, leads: (holder: Position) => boolean): Promise<Lease>
  /** Whether there is anything to be had by asking. */
  readonly isUsable: boolean
}

/** How much longer than a statement a lease lasts, in milliseconds. */
const graceMs = 250
/** For how long a failed fill is not tried again by others. */
const failedMs = 1000
const failed = 'failed'

/** Deletes, or marks as failed, the lease that still is the caller's: another may have it by now. */
const release = `if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == 'failed' then return redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3]) end
return redis.call('del', KEYS[1])`

/** Takes over the lease that still is what it was. */
const takeOver = `if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return 1`

/** Without Redis everybody leads: one fill a process and key. */
export const noLeases: Leases = { take: async () => soleLeader, isUsable: false }
const soleLeader: Lease = { state: 'led', release() {} }

/**
 * Leases kept in Redis, for efficiency only: a lease lost, expired or taken twice costs a query and never an answer.
 *
 * One is held for a moment longer than a statement may take: a holder that is alive has filled, or given up, by then; one that dies leaves it to the next. `server`
 * is Redis under its limits.
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
    // In one write: what is there if it is not ours now.
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
    // Where nothing is kept in Redis there would be nothing to wait for.
    get isUsable() {
      return !server.isFailing && sharing.isShared
    },
  }
}
