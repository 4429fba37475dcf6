import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { chromium, type Page } from 'playwright-core'
import { processes, type Served } from './processes.ts'
import { startPostgres } from './servers/postgres.ts'
import { findProgram } from './servers/programs.ts'
import { startRedis } from './servers/redis.ts'
import { newFolder, openRun } from './servers/run-folder.ts'
import { traffic } from './traffic.ts'

/*
 * Pictures of the dashboard, with real traffic, and real servers that are really stopped.
 *
 *     node bench/screenshot.ts [SECONDS]                   the picture of the README, bench/results/dashboard.png
 *     node bench/screenshot.ts --states FOLDER [SECONDS]   five states on a wall, a laptop and a phone, light and dark
 *
 * SECONDS is the time of traffic before the first picture with traffic: 120 by default, 20 for the states. Two processes share a
 * Redis and get requests; one of them is shown.
 */

const isStates = process.argv[2] === '--states'
const [folder = '', secondsText] = isStates ? process.argv.slice(3) : ['', process.argv[2]]
const seconds = Number(secondsText ?? (isStates ? 20 : 120))
if (!(seconds > 0) || (isStates && folder === '')) {
  process.stderr.write('usage: node bench/screenshot.ts [SECONDS] | --states FOLDER [SECONDS]\n')
  process.exit(2)
}

const screens = {
  wall: { width: 1920, height: 1080 },
  laptop: { width: 1440, height: 900 },
  phone: { width: 390, height: 844 },
}

await openRun()
const redis = await startRedis()
const database = await startPostgres()
const environment = { PORT: '0', ADMIN_PORT: '0', REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'error' }
const children = processes()
const start = (...args: string[]) =>
  children.node('../proxy/main.ts', args, { environment, says: /clients +(http:\S+)/ })
const adminOf = (served: Served) => /admin +(http:\S+)/.exec(served.printed())?.[1] as string
const [shown, neighbor] = [await start(), await start()] // the first one follows the database, and measures the lag of that
const browser = await chromium.launch({
  executablePath: findProgram('chromium', 'chromium'),
  args: ['--headless=new', '--no-sandbox', '--disable-gpu'],
})
const owner = new pg.Client(database.ownerUrl)
owner.on('error', () => {}) // the database is stopped for one of the states
await owner.connect()

/** A row changes now and then, as rows do. */
const sell = () => owner.query(`update counties set plan_selections = plan_selections + 1 where county_fips = '51107'`)
const purge = (body: object) =>
  fetch(`${adminOf(shown)}/purge`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })

/** Opens the dashboard of `served` and waits until it shows `level` and its charts. */
async function open(served: Served, level: string, screen: keyof typeof screens, colorScheme: 'light' | 'dark') {
  const page = await browser.newPage({ viewport: screens[screen], colorScheme })
  await page.goto(`${adminOf(served)}/dashboard`)
  await page.waitForSelector(`body[data-level=${level}] #chart-lag canvas`, { timeout: 60_000 })
  await pause(1500)
  return page
}

async function save(page: Page, file: string): Promise<void> {
  await page.screenshot({ path: file, fullPage: true })
  await page.close()
  execFileSync(findProgram('optipng', 'optipng'), ['-quiet', '-o2', file])
}

/** Six pictures of one state. */
async function saveState(name: string, served: Served, level: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  for (const screen of ['wall', 'laptop', 'phone'] as const) {
    for (const scheme of ['light', 'dark'] as const) {
      const page = await open(served, level, screen, scheme)
      await save(page, join(folder, `${name}-${screen}-${scheme}.png`))
    }
  }
  process.stdout.write(`${name}\n`)
}

/** Traffic for `seconds`, with changes of rows and three purges. Resolves to a function that stops it. */
async function visit(): Promise<() => void> {
  const visits = [traffic(neighbor.url, 40, Math.random), traffic(shown.url, 120, Math.random)]
  const selling = setInterval(() => void sell().catch(() => {}), (seconds * 1000) / 12)
  const purges = [
    { tags: ['county:51107'], soft: true },
    { tags: ['county:51059'] },
    { route: 'plan-search', soft: true },
  ]
  for (const body of purges) {
    await pause((seconds * 1000) / (purges.length + 1))
    await purge(body)
  }
  await pause((seconds * 1000) / (purges.length + 1))
  return () => {
    clearInterval(selling)
    for (const one of visits) one.stop()
  }
}

/** The configuration of a process with one connection and a short queue: more requests than those can serve are shed. */
function smallConfig(): string {
  const config = fileURLToPath(new URL('../config/', import.meta.url))
  const file = join(newFolder('config'), 'onramp.yaml')
  const text = readFileSync(join(config, 'onramp.yaml'), 'utf8')
    .replaceAll('file: marketplace', `file: ${config}marketplace`)
    .replace('\npostgres:\n', '\npostgres:\n  connections: 1\n')
    .replace('\n    path: /api/plans/search\n', '\n    path: /api/plans/search\n    share: { queue: 5 }\n')
  writeFileSync(file, text)
  return file
}

/** Searches that nobody has asked for before: each needs the database. */
function searches(url: string, perSecond: number): { stop(): void } {
  let n = 0
  const timer = setInterval(() => {
    for (let i = 0; i < perSecond / 50; i += 1) {
      n += 1
      const ages = [n % 100, Math.floor(n / 100) % 100].join()
      fetch(`${url}/api/plans/search?county=51059&ages=${ages}`)
        .then((response) => response.arrayBuffer())
        .catch(() => {}) // the page counts the failures
    }
  }, 20)
  return { stop: () => clearInterval(timer) }
}

async function saveStates(): Promise<void> {
  await saveState('empty', shown, 'healthy')
  const leave = await visit()
  await saveState('healthy', shown, 'healthy')

  const small = await start('--config', smallConfig())
  const visits = [traffic(small.url, 40, Math.random), searches(small.url, 250)]
  await pause(10_000)
  await saveState('overloaded', small, 'shedding')
  for (const one of visits) one.stop()
  await small.stop()

  await redis.stop()
  await pause(8000)
  await saveState('redis-down', shown, 'memory-only')

  const again = await startRedis([], redis.port)
  const page = await open(shown, 'healthy', 'laptop', 'light')
  await page.close()
  await database.kill()
  await pause(8000)
  await saveState('database-down', shown, 'stale-only')
  leave()
  await again.stop()
}

async function saveReadmePicture(): Promise<void> {
  const leave = await visit()
  const page = await browser.newPage({ viewport: screens.laptop, colorScheme: 'light' })
  await page.goto(`${adminOf(shown)}/dashboard`)
  await page.waitForSelector('body[data-level=healthy] #chart-lag canvas')
  await sell()
  await pause(3000)
  await save(page, fileURLToPath(new URL('results/dashboard.png', import.meta.url)))
  leave()
}

try {
  await (isStates ? saveStates() : saveReadmePicture())
} finally {
  await browser.close()
  await owner.end().catch(() => {}) // it went with the database
  await children.stopAll()
}
// What is left ends with the run.
process.exit()
