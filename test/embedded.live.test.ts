import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { isRunning, withDescendants } from '../bench/proc.ts'
import { newFolder, recorded } from '../bench/servers/run-folder.ts'
import { until } from '../bench/until.ts'
import { startServer, stopServer } from '../proxy/example/cluster.ts'
import { type Embedded, startEmbedded } from '../proxy/example/embedded.ts'
import { stepsOf } from '../proxy/example/marketplace.ts'
import { findTools } from '../proxy/example/tools.ts'
import { startApp } from './live.ts'

/* The life of the embedded database, with a marketplace of three rows. */

// As mktemp creates it: only its owner may enter.
const folder = newFolder('embedded, with a space')
chmodSync(folder, 0o700)
const marketplaceDir = join(folder, 'marketplace')
const dataDir = join(folder, 'data')
const cluster = join(dataDir, 'postgres')
const running: Embedded[] = []

function marketplace(rows: number): void {
  mkdirSync(marketplaceDir, { recursive: true })
  writeFileSync(
    join(marketplaceDir, 'schema.sql'),
    'create table plans (id int primary key); create table applications (id int);',
  )
  writeFileSync(
    join(marketplaceDir, 'seed.sql'),
    `-- step: first\ninsert into plans select generate_series(1, ${rows - 1});\n-- step: second\ninsert into plans values (${rows});\n`,
  )
}

async function start(progress: (step: string) => void = () => {}): Promise<Embedded> {
  const embedded = await startEmbedded({ dataDir, marketplaceDir, progress })
  running.push(embedded)
  return embedded
}

async function count(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query('select count(*)::int as n from plans')).rows[0].n
  } finally {
    await client.end()
  }
}

const postmaster = () => Number(readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n')[0])

afterEach(async () => {
  await Promise.all(running.splice(0).map((embedded) => embedded.stop()))
})

marketplace(3)

test('is created, loaded step by step, and kept for the next start', async () => {
  const steps: string[] = []
  const first = await start((step) => steps.push(step))
  expect(steps).toEqual(['creating the database files', 'schema', 'first', 'second', 'vacuum'])
  expect(await count(first.url)).toBe(3)
  await running.pop()?.stop()
  const again: string[] = []
  expect(await count((await start((step) => again.push(step))).url)).toBe(3)
  expect(again).toEqual([])
})

test('finds another port when another process takes the chosen one first', async () => {
  await (await start()).stop()
  running.pop()
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const [inUse, free] = [taken, other].map((server) => (server.address() as AddressInfo).port)
  await new Promise((resolve) => other.close(resolve))
  const ports = [inUse, free]
  const tools = await findTools()
  expect(await startServer({ path: cluster, tools }, [], 0, async () => Number(ports.shift()))).toBe(free)
  await stopServer({ path: cluster, tools })
  const always = startServer({ path: cluster, tools }, [], 0, async () => Number(inUse))
  await expect(always).rejects.toThrow('could not create any TCP/IP sockets')
  taken.close()
})

test('gives onramp a role that can neither write nor read the private table, and people a role that can change rows', async () => {
  const { url, ownerUrl, superuserUrl } = await start()
  const reader = new pg.Client({ connectionString: url })
  const owner = new pg.Client({ connectionString: ownerUrl })
  await Promise.all([reader.connect(), owner.connect()])
  await expect(reader.query('insert into plans values (9)')).rejects.toThrow('permission denied')
  await expect(reader.query('select * from applications')).rejects.toThrow('permission denied')
  expect((await owner.query('update plans set id = id')).rowCount).toBe(3)
  await Promise.all([reader.end(), owner.end()])
  const nosy = new pg.Client({ connectionString: superuserUrl.replace(/:[^:@/]+@/, ':guessed@') })
  await expect(nosy.connect()).rejects.toThrow('password authentication failed')
})

test('a second onramp on the same files is refused in one sentence, and the first continues', async () => {
  const { url } = await start()
  await expect(start()).rejects.toThrow(
    /^The data directory .* is in use by another onramp\. Stop that onramp, or set DATABASE_URL\.$/,
  )
  expect(await count(url)).toBe(3)
})

test('of two concurrent first starts one wins, and the other reports that in a sentence', async () => {
  rmSync(dataDir, { recursive: true, force: true })
  const outcomes = await Promise.allSettled([start(), start()])
  const refused = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason.message as string] : [],
  )
  expect(refused).toHaveLength(1)
  expect(refused[0]).toMatch(
    /^The data directory .* is in use by another onramp\. Stop that onramp, or set DATABASE_URL\.$/,
  )
  expect(await count((running[0] as Embedded).url)).toBe(3)
  expect(readdirSync(dataDir)).toEqual(['postgres'])
  await running.pop()?.stop()
  const left = join(dataDir, 'unfinished-by-a-crash')
  mkdirSync(left)
  utimesSync(left, 0, 0)
  await start()
  expect(readdirSync(dataDir)).toEqual(['postgres'])
})

test('a data directory that cannot be created is reported in a sentence', async () => {
  const place = { dataDir: join(marketplaceDir, 'schema.sql', 'data'), marketplaceDir, progress: () => {} }
  await expect(startEmbedded(place)).rejects.toThrow(/^The embedded database cannot be started: ENOTDIR: .*$/)
})

test('is reloaded when its SQL has changed', async () => {
  marketplace(5)
  expect(await count((await start()).url)).toBe(5)
  marketplace(3)
  await running.pop()?.stop()
  expect(await count((await start()).url)).toBe(3)
})

const embeddedModule = new URL('../proxy/example/embedded.ts', import.meta.url).pathname

/** Starts it in a process of its own, and kills that process without cleanup once it has reported `step`. */
function crashAt(step: string): Promise<void> {
  const script = `
    import { startEmbedded } from ${JSON.stringify(embeddedModule)}
    const progress = (step) => console.log(step)
    await startEmbedded({ dataDir: ${JSON.stringify(dataDir)}, marketplaceDir: ${JSON.stringify(marketplaceDir)}, progress })
    console.log('ready')
    setInterval(() => {}, 1000)`
  const args = ['--input-type=module', '-e', script]
  const child = recorded(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] }))
  return new Promise((resolve, reject) => {
    let said = ''
    child.stdout.on('data', (text) => {
      said += text
      if (said.split('\n').includes(step)) child.kill('SIGKILL')
    })
    child.on('exit', (_code, signal) =>
      signal === 'SIGKILL' ? resolve() : reject(new Error(`it ended by itself: ${said}`)),
    )
  })
}

test.each(['ready', 'second', 'creating the database files'])(
  'a crash at "%s" leaves nothing that blocks the next start',
  async (step) => {
    if (step === 'second') marketplace(4)
    if (step === 'creating the database files') rmSync(dataDir, { recursive: true, force: true })
    await crashAt(step)
    expect(await count((await start()).url)).toBe(step === 'ready' ? 3 : 4)
  },
)

test('a server left by a crash is taken over, not started twice', async () => {
  await crashAt('ready')
  const left = postmaster()
  await start()
  expect(postmaster()).toBe(left)
})

test('neither a killed server nor a pid file of another process prevents a start', async () => {
  await start()
  const server = withDescendants(postmaster())
  process.kill(postmaster(), 'SIGKILL')
  await until(() => server.some(isRunning), false) // its children end too
  running.length = 0
  expect(await count((await start()).url)).toBe(4)
  await running.pop()?.stop()
  writeFileSync(join(cluster, 'postmaster.pid'), `${process.pid}\n${cluster}\n0\n1\n\n127.0.0.1\n`)
  expect(await count((await start()).url)).toBe(4)
})

test('data files of another version are reported in a sentence', async () => {
  await running.pop()?.stop()
  const version = join(cluster, 'PG_VERSION')
  cpSync(version, join(folder, 'kept'))
  writeFileSync(version, '12\n')
  await expect(start()).rejects.toThrow(
    /^The embedded database does not start: .*(PG_VERSION|version|incompatible).*\(see [^)]*server\.log\)$/s,
  )
  cpSync(join(folder, 'kept'), version)
})

test('PostgreSQL down: cached answers continue, other requests get 503 with Retry-After, and it recovers by itself', async () => {
  const embedded = await start()
  const app = await startApp(embedded.url, {}, (config) => ({
    ...config,
    postgres: { ...config.postgres, privateTables: [], statementTimeout: 500 },
    routes: config.routes.slice(0, 1).map((route) => ({
      ...route,
      path: '/plans',
      parameters: { n: { type: 'integer', min: 0, max: 9, default: undefined } },
      sql: 'select id from plans where id <> :n',
      lifetime: { fresh: 1, stale: 0, staleIfError: 60_000, negative: 1000 },
    })),
  }))
  try {
    expect((await app.get('/plans?n=0')).status).toBe(200)
    const server = withDescendants(postmaster())
    process.kill(postmaster(), 'SIGQUIT') // immediate shutdown: every session is cut off
    await until(() => server.some(isRunning), false)
    const held = await app.get('/plans?n=0')
    expect([held.status, held.cacheStatus]).toEqual([
      200,
      expect.stringMatching(/^onramp; fwd=stale; ttl=-\d+; detail=(stale-only|soft-timeout)$/),
    ])
    const missing = await app.get('/plans?n=1')
    expect([missing.status, missing.headers.get('content-type'), missing.headers.get('cache-control')]).toEqual([
      503,
      'application/problem+json',
      'no-store',
    ])
    expect(Number(missing.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    const port = Number(new URL(embedded.url).port)
    running.length = 0
    const revived = await start()
    expect(Number(new URL(revived.url).port)).toBe(port)
    // The breaker lets one trial through: after half a second, or after one or two if a trial came too early.
    const healed = await until(
      () => app.get('/plans?n=1'),
      ({ status }) => status !== 503,
    )
    expect(healed.status).toBe(200)
    const { total, degradationLevel } = (await app.admin('/stats')).json() as {
      total: { errors: number }
      degradationLevel: string
    }
    expect([total.errors > 0, degradationLevel]).toEqual([true, 'healthy'])
  } finally {
    await app.stop()
  }
})

test('a seed is split at its steps, and keeps the SQL before the first step', () => {
  expect(stepsOf('select 1;\n-- step: two words\nselect 2;\n')).toEqual([
    ['preparations', 'select 1;\n'],
    ['two words', '\nselect 2;\n'],
  ])
})
