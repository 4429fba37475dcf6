import { execFileSync } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { chromium } from 'playwright-core'
import { processes } from './processes.ts'
import { startPostgres } from './servers/postgres.ts'
import { findProgram } from './servers/programs.ts'
import { startRedis } from './servers/redis.ts'
import { openRun } from './servers/run-folder.ts'
import { traffic } from './traffic.ts'

/*
 * `node bench/screenshot.ts [SECONDS]`: the dashboard of the README, bench/results/dashboard.png. Two processes share a Redis and
 * are visited for that long; the second is the one that is shown. Nothing on the picture is made up.
 */

const seconds = Number(process.argv[2] ?? 240)
const file = fileURLToPath(new URL('results/dashboard.png', import.meta.url))
await openRun()
const redis = await startRedis()
const database = await startPostgres()
const environment = { PORT: '0', ADMIN_PORT: '0', REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'error' }
const children = processes()
const start = () => children.node('../proxy/main.ts', [], { environment, says: /clients +(http:\S+)/ })
const [neighbour, shown] = [await start(), await start()]
const admin = /admin +(http:\S+)/.exec(shown.printed())?.[1] as string
const browser = await chromium.launch({
  executablePath: findProgram('chromium', 'chromium'),
  args: ['--headless=new', '--no-sandbox', '--disable-gpu'],
})
const visits = [traffic(neighbour.url, 40, Math.random), traffic(shown.url, 120, Math.random)]

/** A row changes now and then, as rows do, and somebody purges something. */
const owner = new pg.Client(database.ownerUrl)
await owner.connect()
const sell = () => owner.query(`update counties set plan_selections = plan_selections + 1 where county_fips = '51107'`)
const selling = setInterval(sell, (seconds * 1000) / 12)
const purge = (body: object) =>
  fetch(`${admin}/purge`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })

try {
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
  const page = await browser.newPage({ viewport: { width: 1600, height: 900 }, colorScheme: 'light' })
  await page.goto(`${admin}/dashboard`)
  await page.waitForSelector('body[data-level=healthy] #chart-requests canvas')
  await sell()
  await pause(3000)
  await page.screenshot({ path: file })
  execFileSync(findProgram('optipng', 'optipng'), ['-quiet', '-o2', file])
} finally {
  clearInterval(selling)
  for (const visit of visits) visit.stop()
  await owner.end()
  await browser.close()
  await Promise.all([neighbour.stop(), shown.stop()])
}
// What is left ends with the run.
process.exit()
