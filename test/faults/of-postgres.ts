import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import type { Fault as NetworkFault } from '../fault-proxy.ts'
import type { Fault } from './run.ts'
import type { Stand } from './stand.ts'

/** Cached entries are served, the circuit breaker opens, and closes within its longest open time (five seconds) after the fault. */
const gone = {
  unheld: 'may fail',
  level: 'stale-only',
  breaker: 'origin',
  log: /"circuitBreaker":"origin"/,
  healthyWithin: 6,
  mostSql: 15,
} as const
const there = { unheld: 'answered', healthyWithin: 2 } as const

/** The network between the program and PostgreSQL has `fault`. */
const network = (fault: NetworkFault) => (stand: Stand) => {
  stand.postgres.proxy.set(fault)
  return () => stand.postgres.proxy.set({ kind: 'none' })
}

/** Every statement fails with an SQLSTATE, or sleeps for some seconds. */
const trouble = (kind: 'error' | 'sleep', value: string) => async (stand: Stand) => {
  await stand.postgres.sql('insert into trouble values ($1, $2)', [kind, value])
  return () => stand.postgres.sql('truncate trouble')
}

const terminate = `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'onramp'`

export const postgresFaults: Fault[] = [
  {
    name: 'PostgreSQL killed (kill -9), started again',
    ...gone,
    async inject({ postgres }) {
      await postgres.kill()
      return postgres.start
    },
  },
  {
    name: 'PostgreSQL stopped, started again',
    ...gone,
    async inject({ postgres }) {
      await postgres.stop()
      return postgres.start
    },
  },
  {
    name: 'PostgreSQL frozen (SIGSTOP)',
    ...gone,
    inject({ postgres }) {
      postgres.freeze()
      return postgres.thaw
    },
  },
  { name: 'PostgreSQL slow (100 ms)', ...there, inject: network({ kind: 'latency', ms: 50 }) },
  {
    name: 'PostgreSQL limited to 200 bytes a second',
    ...gone,
    inject: network({ kind: 'throttle', bytesPerSecond: 200 }),
  },
  { name: 'PostgreSQL in a black hole', ...gone, inject: network({ kind: 'black-hole' }) },
  { name: 'PostgreSQL half-open: its replies are lost', ...gone, inject: network({ kind: 'half-open' }) },
  { name: 'PostgreSQL resets connections', ...gone, inject: network({ kind: 'reset' }) },
  { name: 'PostgreSQL cut off after 100 bytes', ...gone, inject: network({ kind: 'cut-after', bytes: 100 }) },
  {
    name: 'Another server (Redis) on the port of PostgreSQL',
    ...gone,
    inject({ postgres, redis }) {
      postgres.proxy.set({ kind: 'elsewhere', port: redis.port })
      return () => postgres.proxy.set({ kind: 'none' })
    },
  },
  {
    name: 'PostgreSQL refuses every login',
    ...gone,
    async inject({ postgres }) {
      await postgres.sql('alter role onramp nologin')
      await postgres.sql(terminate)
      return () => postgres.sql('alter role onramp login')
    },
  },
  {
    name: 'PostgreSQL out of connections',
    ...gone,
    async inject({ postgres }) {
      await postgres.sql('alter role onramp connection limit 0')
      await postgres.sql(terminate)
      // Another application leaks connections.
      const url = `postgres://dba@127.0.0.1:${postgres.port}/marketplace`
      const taken = Array.from({ length: 60 }, () => new pg.Client({ connectionString: url }))
      for (const client of taken) client.on('error', () => {})
      const connected = await Promise.allSettled(taken.map((client) => client.connect()))
      if (!connected.some(({ status }) => status === 'rejected')) throw new Error('There is room for more connections.')
      await postgres.sql('alter role onramp connection limit -1')
      return () => Promise.all(taken.map((client) => client.end().catch(() => {})))
    },
  },
  {
    name: 'PostgreSQL ends idle connections',
    unheld: 'may fail',
    healthyWithin: 5,
    log: /"event":"postgres-connection-lost"/,
    async inject({ postgres }) {
      await postgres.sql(`${terminate} and state = 'idle'`)
      return () => {}
    },
  },
  {
    name: 'PostgreSQL ends connections during statements',
    ...gone,
    async inject({ postgres }) {
      const heal = await trouble('sleep', '0.2')({ postgres } as Stand)
      const client = await postgres.superuser()
      let isOver = false
      const ending = (async () => {
        while (!isOver) {
          await client.query(`${terminate} and state = 'active'`)
          await pause(50) // the pace of the fault
        }
      })()
      return async () => {
        isOver = true
        await ending
        await client.end()
        await heal()
      }
    },
  },
  {
    name: 'A table locked',
    unheld: 'other answered',
    healthyWithin: 5,
    log: /"queryOutcome":"timeout"/,
    async inject({ postgres }) {
      const client = await postgres.superuser()
      await client.query('begin; lock table items in access exclusive mode')
      return () => client.end()
    },
  },
  { name: 'PostgreSQL out of disk (53100)', ...gone, inject: trouble('error', '53100') },
  {
    name: 'PostgreSQL read-only, as a standby is',
    ...there,
    async inject({ postgres }) {
      await postgres.sql('alter system set default_transaction_read_only = on')
      await postgres.sql('select pg_reload_conf()')
      return async () => {
        const client = await postgres.superuser()
        await client.query('set default_transaction_read_only = off')
        await client.query('alter system reset default_transaction_read_only')
        await client.query('select pg_reload_conf()')
        await client.end()
      }
    },
  },
  {
    name: 'PostgreSQL and Redis both killed',
    ...gone,
    async inject({ postgres, redis }) {
      await Promise.all([postgres.kill(), redis.kill()])
      return () => Promise.all([postgres.start(), redis.start()])
    },
  },
]
