import { afterAll, beforeAll, expect, test } from 'vitest'
import { processes } from '../../bench/processes.ts'
import { programs } from '../program.ts'
import type { Target } from './look.ts'
import { postgresFaults } from './of-postgres.ts'
import { redisFaults } from './of-redis.ts'
import { broken, type Promised, run } from './run.ts'
import { type Stand, type StandOptions, startStand } from './stand.ts'

/*
 * The same faults without what keeps the promises: each promise must then be found broken, or the faults would show nothing.
 * Faults that break in the same way have one twin.
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

/** A hand-written cache: see bare.ts. */
const bare = async () => {
  const { url, stop } = await processes().node('../test/faults/bare.ts', [
    String(stand.redis.proxy.port),
    String(stand.postgres.proxy.port),
  ])
  return { url, adminUrl: url, log: () => '', stop }
}

interface Twin {
  /** Without what. */
  without: string
  start(): Promise<Target & { stop(): Promise<void> }>
  fault: string
  breaks: Promised[]
}

const twins: Twin[] = [
  {
    // Frozen, slow, throttled, black hole, half-open.
    without: 'a short deadline',
    start: program({ redisTimeout: '5s' }),
    fault: 'Redis frozen (SIGSTOP)',
    breaks: ['nobody waits longer than one deadline of Redis'],
  },
  {
    without: 'passing by what does not answer',
    start: bare,
    fault: 'Redis slow, past the deadline (1 s)',
    breaks: ['nobody waits longer than one deadline of Redis', 'most wait for a failing Redis not at all'],
  },
  {
    // Killed, restarted, reset, cut off, full, a replica, something else.
    without: 'going on when Redis says no, and coming back to it',
    start: bare,
    fault: 'Redis wants a password',
    breaks: [
      'no request for what is held fails',
      'what need not fail does not',
      'it heals by itself in time',
      'the level is told',
      'the log tells',
    ],
  },
  {
    // Whatever takes the database away.
    without: 'anything kept for when the database fails',
    start: program({ staleIfError: '0s' }),
    fault: 'PostgreSQL resets connections',
    breaks: ['no request for what is held fails'],
  },
  {
    without: 'a breaker',
    start: bare,
    fault: 'PostgreSQL out of disk (53100)',
    breaks: ['the database is spared', 'the breaker opens'],
  },
  {
    without: 'a listener on idle connections',
    start: bare,
    fault: 'PostgreSQL ends idle connections',
    breaks: ['no request for what is held fails', 'it heals by itself in time'],
  },
  {
    without: 'timeouts and shares of the pool',
    start: bare,
    fault: 'A table locked',
    breaks: ['no table waits for another'],
  },
]

const faults = new Map([...redisFaults, ...postgresFaults].map((fault) => [fault.name, fault]))

test.each(twins)('$fault, without $without: $breaks', async ({ fault: name, start, breaks }) => {
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
