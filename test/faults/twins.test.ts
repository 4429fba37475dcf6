import { afterAll, beforeAll, expect, test } from 'vitest'
import { processes } from '../../bench/processes.ts'
import { programs } from '../program.ts'
import type { Target } from './look.ts'
import { postgresFaults } from './of-postgres.ts'
import { redisFaults } from './of-redis.ts'
import { broken, type Promised, run } from './run.ts'
import { type Stand, type StandOptions, startStand } from './stand.ts'

/*
 * The same faults without the protection: each promise must then be broken, or the fault tests would prove nothing. Faults with the
 * same effect share one twin.
 */

const { configuration, ready } = programs('twins')
let stand: Stand
beforeAll(async () => {
  stand = await startStand()
})
afterAll(() => stand.stop())

const program = (over: Partial<StandOptions>) => async () => {
  const serving = await ready(['--config', configuration('twin.yaml', stand.configuration(over))])
  return { ...serving, log: serving.output, stop: async () => {} }
}

/** The cache without protection: see bare.ts. */
const bare = async () => {
  const { url, stop } = await processes().node('../test/faults/bare.ts', [
    String(stand.redis.proxy.port),
    String(stand.postgres.proxy.port),
  ])
  return { url, adminUrl: url, log: () => '', stop }
}

interface Twin {
  /** The protection that is missing. */
  without: string
  start(): Promise<Target & { stop(): Promise<void> }>
  fault: string
  breaks: Promised[]
}

const twins: Twin[] = [
  {
    // Stands for: frozen, slow, throttled, black hole, half-open.
    without: 'a short deadline',
    start: program({ redisTimeout: '5s' }),
    fault: 'Redis frozen (SIGSTOP)',
    breaks: ['no request waits longer than one deadline of Redis'],
  },
  {
    without: 'a circuit breaker of Redis',
    start: bare,
    fault: 'Redis slow, past the deadline (1 s)',
    breaks: ['no request waits longer than one deadline of Redis', 'most requests do not wait for a failing Redis'],
  },
  {
    // Stands for: killed, restarted, reset, cut off, full, a replica, another server.
    without: 'a way to continue when Redis refuses, and to reconnect',
    start: bare,
    fault: 'Redis requires a password',
    breaks: [
      'no request for a cached entry fails',
      'no request fails without need',
      'the program recovers by itself in time',
      'the degradation level is reported',
      'the log reports the fault',
    ],
  },
  {
    // Stands for: every fault that makes the database unavailable.
    without: 'stale-if-error',
    start: program({ staleIfError: '0s' }),
    fault: 'PostgreSQL resets connections',
    breaks: ['no request for a cached entry fails'],
  },
  {
    without: 'a circuit breaker of the database',
    start: bare,
    fault: 'PostgreSQL out of disk (53100)',
    breaks: ['the load on the database is limited', 'the breaker opens'],
  },
  {
    without: 'an error handler on idle connections',
    start: bare,
    fault: 'PostgreSQL ends idle connections',
    breaks: ['no request for a cached entry fails', 'the program recovers by itself in time'],
  },
  {
    without: 'timeouts and shares of the pool',
    start: bare,
    fault: 'A table locked',
    breaks: ['requests for one table do not wait for another'],
  },
]

const faults = new Map([...redisFaults, ...postgresFaults].map((fault) => [fault.name, fault]))

test.each(twins)('$fault, without $without, breaks: $breaks', async ({ fault: name, start, breaks }) => {
  const fault = faults.get(name)
  if (fault === undefined) throw new Error(`There is no fault named ${name}.`)
  const target = await start()
  try {
    const result = await run(fault, stand, target, 5000)
    expect(broken(fault, result), JSON.stringify(result, null, 2)).toEqual(expect.arrayContaining(breaks))
  } finally {
    await target.stop()
  }
})
