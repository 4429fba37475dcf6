import type { Fault as NetworkFault } from '../fault-proxy.ts'
import type { Fault } from './run.ts'
import type { Stand } from './stand.ts'

/** All promise this: no request fails or waits longer than one deadline, and the program recovers within two seconds. */
const promised = { unheld: 'answered', healthyWithin: 2 } as const
const gone = { ...promised, level: 'memory-only', log: /"event":"redis-disconnected"/ } as const
const silent = { ...promised, level: 'memory-only', log: /"event":"tier-circuit-open"/ } as const

/** The network between the program and Redis has `fault`. */
const network = (fault: NetworkFault) => (stand: Stand) => {
  stand.redis.proxy.set(fault)
  return () => stand.redis.proxy.set({ kind: 'none' })
}

export const redisFaults: Fault[] = [
  {
    name: 'Redis killed (kill -9), started again empty',
    ...gone,
    async inject({ redis }) {
      await redis.kill()
      return redis.start
    },
  },
  {
    name: 'Redis restarted at once',
    ...gone,
    async inject({ redis }) {
      await redis.kill()
      await redis.start()
      return () => {}
    },
  },
  {
    name: 'Redis frozen (SIGSTOP)',
    ...silent,
    inject({ redis }) {
      redis.freeze()
      return redis.thaw
    },
  },
  { name: 'Redis slow, within the deadline (20 ms)', ...promised, inject: network({ kind: 'latency', ms: 10 }) },
  { name: 'Redis slow, past the deadline (1 s)', ...silent, inject: network({ kind: 'latency', ms: 500 }) },
  {
    name: 'Redis limited to 500 bytes a second',
    ...silent,
    inject: network({ kind: 'throttle', bytesPerSecond: 500 }),
  },
  { name: 'Redis in a black hole', ...silent, inject: network({ kind: 'black-hole' }) },
  { name: 'Redis half-open: its replies are lost', ...silent, inject: network({ kind: 'half-open' }) },
  { name: 'Redis resets connections', ...gone, inject: network({ kind: 'reset' }) },
  { name: 'Redis cut off after 1,000 bytes', ...gone, inject: network({ kind: 'cut-after', bytes: 1000 }) },
  {
    name: 'Redis flushed (FLUSHALL) ten times a second',
    ...promised,
    inject({ redis }) {
      const flushing = setInterval(() => redis.command('FLUSHALL'), 100)
      return () => clearInterval(flushing)
    },
  },
  {
    name: 'Redis full (maxmemory, noeviction)',
    ...promised,
    log: /OOM command not allowed/,
    async inject({ redis }) {
      await redis.command('CONFIG', 'SET', 'maxmemory', '1')
      return () => redis.command('CONFIG', 'SET', 'maxmemory', '0')
    },
  },
  {
    name: 'Redis a read-only replica, then promoted',
    ...gone,
    log: /READONLY You can't write/,
    async inject({ redis }) {
      await redis.command('REPLICAOF', '127.0.0.1', '1')
      return () => redis.command('REPLICAOF', 'NO', 'ONE')
    },
  },
  {
    name: 'Redis requires a password',
    ...gone,
    async inject({ redis }) {
      const known = redis.client()
      await known.config('SET', 'requirepass', 'secret')
      redis.proxy.set({ kind: 'reset' })
      redis.proxy.set({ kind: 'none' })
      return async () => {
        await known.config('SET', 'requirepass', '')
        known.disconnect()
      }
    },
  },
  {
    name: 'Another server (PostgreSQL) on the port of Redis',
    ...gone,
    inject({ redis, postgres }) {
      redis.proxy.set({ kind: 'elsewhere', port: postgres.port })
      return () => redis.proxy.set({ kind: 'none' })
    },
  },
]
