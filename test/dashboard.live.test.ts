import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, chromium, type Page as Tab } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { findProgram, freePort } from '../bench/servers/programs.ts'
import { type RedisServer, startRedis } from '../bench/servers/redis.ts'
import { until } from '../bench/until.ts'
import type { RouteStats, Stats } from '../proxy/ops/stats.ts'
import { type Running, startApp } from './live.ts'
import { programs } from './program.ts'

/* The dashboard in a real browser, against a live onramp. The tests come in the order of a day: quiet, busy, broken. */

const { ready } = programs('dashboard')
const token = 'a-token-for-the-dashboard'
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const words = await import(new URL('../proxy/ops/dashboard/words.js', import.meta.url).href)

let redis: RedisServer
let app: Running
let browser: Browser
let opened: Opened

interface Opened {
  tab: Tab
  /** Whatever the browser complains about. */
  complaints: string[]
  policy: string | undefined
}

beforeAll(async () => {
  redis = await startRedis()
  app = await startApp(inject('databaseUrl'), { REDIS_URL: redis.url, ADMIN_TOKEN: token })
  browser = await chromium.launch({
    executablePath: findProgram('chromium', 'chromium'),
    args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  })
  opened = await open(app.adminUrl)
})
afterAll(async () => {
  await browser?.close()
  await app?.stop()
  redis?.stop()
})

async function open(adminUrl: string, colorScheme: 'light' | 'dark' = 'light'): Promise<Opened> {
  const tab = await (await browser.newContext({ viewport: { width: 1600, height: 1000 }, colorScheme })).newPage()
  tab.setDefaultTimeout(60_000)
  const complaints: string[] = []
  tab.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
  tab.on('pageerror', (error) => complaints.push(String(error)))
  tab.on('dialog', (dialog) => complaints.push(dialog.message()))
  tab.on('request', (request) => {
    if (!request.url().startsWith(adminUrl)) complaints.push(`asks ${request.url()}`)
  })
  const answer = await tab.goto(`${adminUrl}/dashboard`)
  return { tab, complaints, policy: answer?.headers()['content-security-policy'] }
}

const textOf = (tab: Tab, selector: string) => tab.locator(selector).first().innerText()
const many = (points: number) => points > 20
const stats = async () => (await app.admin('/stats')).json() as Stats

/** Runs `script` in the page: as text, for here there is no document to name. */
const inPage = <T>(tab: Tab, script: string) => tab.evaluate<T>(script)

/** The cells of a route's row, by the head of their column. */
function rowOf(tab: Tab, route: string): Promise<Record<string, string>> {
  const script = `(() => {
    const table = document.querySelector('#routes')
    const row = [...table.tBodies[0].rows].find(({ cells }) => cells[0].textContent === ${JSON.stringify(route)})
    const heads = [...(table.tHead.rows[0]?.cells ?? [])].map((cell) => cell.textContent)
    return Object.fromEntries(heads.map((head, i) => [head, row?.cells[i].textContent ?? '']))
  })()`
  return inPage(tab, script)
}

/** How many points of a chart have the colour `name` of the style sheet. */
function painted(tab: Tab, chart: string, name: string): Promise<number> {
  const script = `(() => {
    const canvas = document.querySelector('#${chart} canvas')
    if (canvas === null) return 0
    const probe = document.body.appendChild(document.createElement('i'))
    probe.style.color = 'var(--${name})'
    const [red, green, blue] = getComputedStyle(probe).color.match(/\\d+/g).map(Number)
    probe.remove()
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true })
    copy.drawImage(canvas, 0, 0)
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height)
    let points = 0
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] === red && data[i + 1] === green && data[i + 2] === blue) points += 1
    }
    return points
  })()`
  return inPage(tab, script)
}

/** What axe finds wrong with `part` of the page, a sentence each. The script is put in from outside: the policy of the page would not have it. */
async function faultsOf(tab: Tab, part = 'html'): Promise<string[]> {
  await inPage(tab, `${axe}; undefined`)
  const sentence = `({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' | ')`
  return inPage(tab, `axe.run('${part}').then(({ violations }) => violations.map(${sentence}))`)
}

interface FirstLine {
  level: string
  since: string
  /** Of `since`, as an ISO time. */
  moment: string
  cause: string
  action: string
  effect: string
}

/** What the first line of the page shows; hidden rows are empty. */
function firstLineOf(tab: Tab): Promise<FirstLine> {
  return inPage(
    tab,
    `(() => {
      const text = (id) => document.getElementById(id).checkVisibility() ? document.getElementById(id).textContent : ''
      const [level, since, cause, action, effect] = ['level', 'since', 'cause', 'action', 'effect'].map(text)
      return { level, since, moment: document.getElementById('since').dateTime, cause, action, effect }
    })()`,
  )
}

/** Where the page is red: elements with text, background or border of that hue, and canvases with points of it. */
function redOf(tab: Tab): Promise<string[]> {
  const script = `(() => {
    const isRed = (r, g, b) => {
      const [high, low] = [Math.max(r, g, b), Math.min(r, g, b)]
      const hue = high !== r ? 180 : (60 * (g - b)) / Math.max(1, high - low)
      return high - low > 60 && Math.abs(hue) < 12
    }
    const isRedText = (text) => {
      const [r, g, b, alpha = 1] = (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number)
      return alpha > 0 && isRed(r, g, b)
    }
    const nameOf = (one) => one.id ? '#' + one.id : one.localName + '.' + one.className
    const red = []
    for (const one of document.querySelectorAll('body, body *')) {
      if (!one.checkVisibility()) continue
      if (one instanceof HTMLCanvasElement) {
        const { data } = one.getContext('2d').getImageData(0, 0, one.width, one.height)
        let points = 0
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 128 && isRed(data[i], data[i + 1], data[i + 2])) points += 1
        if (points > 3) red.push('canvas of #' + one.closest('.plot').id)
        continue
      }
      const style = getComputedStyle(one)
      const hasText = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '')
      const borders = ['top', 'right', 'bottom', 'left'].filter((side) => style.getPropertyValue('border-' + side + '-width') !== '0px')
      const colors = [
        ...(hasText ? [style.color] : []),
        style.backgroundColor,
        ...borders.map((side) => style.getPropertyValue('border-' + side + '-color')),
      ]
      if (colors.some(isRedText)) red.push(nameOf(one))
    }
    return red
  })()`
  return inPage(tab, script)
}

/** The elements whose content is wider than they are, but for what only screen readers see. */
function cutOff(tab: Tab): Promise<string[]> {
  const script = `[...document.querySelectorAll('html, body *')]
    .filter((one) => one.checkVisibility() && !one.closest('.hidden, .plot') && !['input', 'select', 'option'].includes(one.localName))
    .filter((one) => one.clientWidth > 0 && one.scrollWidth > one.clientWidth)
    .map((one) => one.localName + (one.className && '.' + one.className))`
  return inPage(tab, script)
}

/** A text on a canvas, and where it is, in pixels; with the size of its canvas. */
interface Label {
  chart: string
  text: string
  left: number
  right: number
  top: number
  bottom: number
  width: number
  height: number
}

/** Notes each text that is drawn on a canvas; clearing the canvas forgets its texts. */
const noteLabels = `{
  globalThis.labels = new Map()
  const { fillText, clearRect } = CanvasRenderingContext2D.prototype
  CanvasRenderingContext2D.prototype.clearRect = function (...args) {
    globalThis.labels.delete(this.canvas)
    return clearRect.apply(this, args)
  }
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    const { actualBoundingBoxLeft, actualBoundingBoxRight, actualBoundingBoxAscent, actualBoundingBoxDescent } = this.measureText(text)
    const { e, f } = this.getTransform()
    const box = {
      text,
      left: x + e - actualBoundingBoxLeft,
      right: x + e + actualBoundingBoxRight,
      top: y + f - actualBoundingBoxAscent,
      bottom: y + f + actualBoundingBoxDescent,
    }
    globalThis.labels.set(this.canvas, [...(globalThis.labels.get(this.canvas) ?? []), box])
    return fillText.call(this, text, x, y)
  }
}`

const labelsOf = (tab: Tab) =>
  inPage<Label[]>(
    tab,
    `[...globalThis.labels].flatMap(([{ width, height, parentElement }, labels]) => labels
      .filter(({ text }) => text !== '')
      .map((label) => ({ ...label, width, height, chart: parentElement.closest('.plot').id })))`,
  )

/** Labels of one chart that overlap, and labels that leave their canvas. */
function collisions(labels: Label[]): string[] {
  return labels.flatMap((one, i) => {
    const { chart, text, left, right, top, bottom } = one
    const isInside = left >= 0 && top >= 0 && right <= one.width && bottom <= one.height
    const hit = labels.slice(i + 1).filter((other) => {
      const isBeside = other.left >= right || other.right <= left || other.top >= bottom || other.bottom <= top
      return other.chart === chart && !isBeside
    })
    return [
      ...(isInside ? [] : [`${chart}: ${text} is cut off`]),
      ...hit.map((other) => `${chart}: ${text} on ${other.text}`),
    ]
  })
}

/** Opens a page that is shown the statistics as `change` leaves them; failures of the past too, where there are any now. */
async function changed(
  viewport: { width: number; height: number },
  colorScheme: 'light' | 'dark',
  change: (told: Stats) => void,
): Promise<Tab> {
  const tab = await (await browser.newContext({ viewport, colorScheme })).newPage()
  tab.setDefaultTimeout(60_000)
  await tab.addInitScript(noteLabels)
  let errors = 0
  await tab.route('**/events', async (route) => {
    const told = await stats()
    change(told)
    errors = told.total.now.errors
    await route.fulfill({ contentType: 'text/event-stream', body: `data: ${JSON.stringify(told)}\n\n` })
  })
  await tab.route('**/dashboard/history*', async (route) => {
    const past = await (await route.fetch()).json()
    past.columns.errors = past.columns.errors.map(() => errors)
    await route.fulfill({ json: past })
  })
  await tab.goto(`${app.adminUrl}/dashboard`)
  return tab
}

/** Gives every figure of every route its longest form. */
function widen(told: Stats): void {
  const times = { p50Seconds: 0.1234, p99Seconds: 0.3456 }
  const wide = {
    requests: 1234,
    errors: 12.34,
    shed: 12.34,
    collapsed: 12.34,
    queries: 1234,
    queriesSaved: 12_345,
    memory: 120.5,
    redis: 12.5,
    origin: 10.25,
    ageSeconds: 5340,
    ...times,
    sources: { memory: times, redis: times, origin: times },
  }
  for (const [name, counts] of Object.entries(told.routes)) {
    told.routes[name] = { ...counts, requests: 12_345_678, now: { ...told.total.now, ...wide } }
  }
  Object.assign(told.total.now, wide)
  Object.assign(told.total, { requests: 12_345_678, errors: 123_456, queries: 12_345_678, shed: 123_456 })
}

test('before the first request it is healthy, shows every route, and has dashes for figures without data', async () => {
  const { tab, policy } = opened
  await until(() => textOf(tab, '#level'), 'Healthy')
  await until(() => tab.locator('#routes tbody tr').count(), 14)
  expect(await textOf(tab, '#figure-hits')).toBe('–')
  expect(await textOf(tab, '#figure-p99')).toBe('–')
  expect(await textOf(tab, '#figure-requests')).toBe('0')
  expect(policy).toContain("default-src 'none'")
  await until(() => painted(tab, 'chart-requests', 'memory-area'), 0)
})

test('under load its numbers are those of /stats, and those that the clients have counted', async () => {
  const { tab } = opened
  const seen: Record<string, number> = { memory: 0, redis: 0, origin: 0 }
  const paths = ['/api/states', ...['51059', '51107', '12086'].map((fips) => `/api/counties/${fips}`)]
  for (let i = 0; i < 60; i += 1) {
    const answers = await Promise.all(paths.map((path) => app.get(path)))
    for (const { cacheStatus } of answers) (seen[/detail=(\w+)/.exec(cacheStatus ?? '')?.[1] ?? ''] as number) += 1
  }
  expect(seen).toEqual({ memory: 236, redis: 0, origin: 4 })
  await until(() => textOf(tab, '#figures > div:first-child .note'), '240 since start')
  await until(async () => (await rowOf(tab, 'county')).Requests, '180')
  const { total, routes } = await stats()
  expect(total).toMatchObject({ requests: 240, memory: 236, origin: 4, queries: 4, errors: 0 })
  expect(routes.county).toMatchObject({ requests: 180, memory: 177, origin: 3 })

  // Current figures change each second: within one second the page and /stats must agree.
  await until(async () => {
    const { total, routes } = await stats()
    const now = routes.county?.now
    if (now == null) return 'nothing yet'
    const wanted = {
      requests: words.number(total.now.requests),
      p50: words.seconds(total.now.p50Seconds),
      p99: words.seconds(total.now.p99Seconds),
      hits: words.percent(total.now.hitRatio),
      sent: words.number(total.now.queries),
      saved: words.number(total.now.queriesSaved),
      rate: words.number(now.requests),
      memory: words.percent(now.memoryRatio),
      slow: words.seconds(now.p99Seconds),
      age: words.span(now.ageSeconds),
    }
    const row = await rowOf(tab, 'county')
    const figure = (name: string) => textOf(tab, `#figure-${name}`)
    const [requests, p50, p99, hits, sent, saved] = await Promise.all(
      ['requests', 'p50', 'p99', 'hits', 'sent', 'saved'].map(figure),
    )
    const shown = {
      requests,
      p50,
      p99,
      hits,
      sent,
      saved,
      rate: row['Req/s'],
      memory: row['Memory hits'],
      slow: row.p99,
      age: row.Age,
    }
    return total.now.requests > 0 && JSON.stringify(shown) === JSON.stringify(wanted)
      ? 'as /stats'
      : JSON.stringify({ shown, wanted })
  }, 'as /stats')

  const { text } = await app.admin('/metrics')
  const scraped = [...text.matchAll(/^onramp_responses_total\{.*\} (\d+)$/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  )
  expect(scraped).toBe(240)
  const counted = [...text.matchAll(/^onramp_response_seconds_count\{.*\} (\d+)$/gm)].map(([, n]) => Number(n))
  expect(counted.reduce((sum, n) => sum + n, 0)).toBe(240)
})

test('its charts move, and a page opened late shows what was before', async () => {
  const { tab } = opened
  await until(() => painted(tab, 'chart-requests', 'memory-area'), many)
  const chart = () => inPage<string>(tab, `document.querySelector('#chart-requests canvas').toDataURL()`)
  const before = await chart()
  await until(chart, (seen) => seen !== before)
  const late = await open(app.adminUrl, 'dark')
  await until(() => painted(late.tab, 'chart-requests', 'memory-area'), many)
  expect(await faultsOf(late.tab)).toEqual([])
  expect(late.complaints).toEqual([])
  await late.tab.context().close()
})

test('a column is sorted from the keyboard, and says so', async () => {
  const { tab } = opened
  const names = () => tab.locator('#routes tbody th').allInnerTexts()
  const head = tab.getByRole('columnheader', { name: 'Route' })
  await head.getByRole('button').focus()
  await tab.keyboard.press('Enter')
  expect(await head.getAttribute('aria-sort')).toBe('ascending')
  const sorted = [...(await names())].sort()
  expect(await names()).toEqual(sorted)
  await tab.keyboard.press('Enter')
  expect(await head.getAttribute('aria-sort')).toBe('descending')
  expect(await names()).toEqual(sorted.reverse())
})

test('a tier that only the server knows is in the charts, the table and the words', async () => {
  const tab = await (await browser.newContext({ viewport: { width: 1600, height: 1000 } })).newPage()
  await tab.route('**/events', async (route) => {
    const told = await stats()
    const { total, routes } = told
    const county = routes.county as RouteStats
    const sources = [
      { name: 'memory', label: 'Memory', isHit: true },
      { name: 'disk', label: 'Disk', isHit: true },
      { name: 'origin', label: 'Database', isHit: false },
    ]
    Object.assign(total.now, { disk: 5 })
    Object.assign(county, { disk: 7 })
    Object.assign(county.now ?? {}, { memory: 1, disk: 3, origin: 0 })
    const body = `data: ${JSON.stringify({ ...told, sources })}\n\n`
    await route.fulfill({ contentType: 'text/event-stream', body })
  })
  await tab.route('**/dashboard/history*', async (route) => {
    const past = await (await route.fetch()).json()
    Object.assign(past.columns, { disk: past.columns.requests })
    await route.fulfill({ json: past })
  })
  await tab.goto(`${app.adminUrl}/dashboard`)
  await until(
    () => textOf(tab, '#charts figcaption'),
    (text) => /Memory [\d.]+\s+Disk 5\s+Database/.test(text),
  )
  await until(
    () => painted(tab, 'chart-requests', 'other-area'),
    (count) => count > 20,
  )
  const heads = await tab.locator('#routes thead th').allInnerTexts()
  expect(heads).toEqual(expect.arrayContaining(['Memory hits', 'Disk hits', 'Disk p99', 'Database p99']))
  expect(heads.join()).not.toContain('Redis')
  expect((await rowOf(tab, 'county'))['Disk hits']).toBe('75 %')
  await tab.getByRole('button', { name: 'county', exact: true }).click()
  await until(
    () => textOf(tab, '#facts'),
    (text) => /Memory \d+, Disk 7, Database \d+/.test(text),
  )
  await tab.context().close()
})

test('a purge needs the token, does what it says, and leaves the token nowhere', async () => {
  const { tab, complaints } = opened
  const source = async () => /detail=(\w+)/.exec((await app.get('/api/counties/51059')).cacheStatus ?? '')?.[1]
  await until(() => tab.locator('#purge-names option[value="table:counties"]').count(), 1)
  expect(await tab.locator('#purge-names option[value="county:"]').count()).toBe(1)
  await tab.locator('#purge-name').fill('county:51059')
  await tab.getByRole('button', { name: 'Purge', exact: true }).first().click()
  await until(
    () => textOf(tab, '#purged'),
    (text) => /^The token is missing/.test(text),
  )
  expect(await source()).toBe('memory')
  // The browser tells of a 401 by itself.
  expect(complaints.splice(0)).toEqual([expect.stringContaining('401')])

  await tab.locator('#token').fill(token)
  await tab.getByRole('button', { name: 'Purge', exact: true }).first().click()
  await until(() => textOf(tab, '#purged'), 'Purged county:51059 in memory and redis.')
  expect(await source()).toBe('origin')
  await until(
    () => textOf(tab, '#invalidations li'),
    (text) => text.includes('county:51059'),
  )
  const kept = await inPage(tab, '[location.href, document.cookie, { ...localStorage }, { ...sessionStorage }]')
  expect(JSON.stringify(kept)).not.toContain(token)
})

test('a route shows its charts, hot keys, slowest fills and SQL, and is purged from there', async () => {
  const { tab } = opened
  await tab.getByRole('button', { name: 'county', exact: true }).click()
  await until(
    () => textOf(tab, '#hot-keys'),
    (text) => /fips=51107\s+3\d\.?\d* %/.test(text),
  )
  expect(await textOf(tab, '#slowest')).toMatch(/fips=\d{5}\s+[\d.]+ (ms|µs|s)\s+\d/)
  expect(await textOf(tab, '#sql')).toMatch(/select/i)
  expect(await textOf(tab, '#facts')).toContain('county:{fips}')
  await until(() => painted(tab, 'chart-route-requests', 'memory-area'), many)
  expect(await faultsOf(tab)).toEqual([])
  await tab.locator('dialog').getByRole('button', { name: 'Soft purge' }).click()
  await until(() => textOf(tab, 'dialog p[role="status"]'), 'Soft purge of route:county.')
  expect((await app.get('/api/counties/51107')).cacheStatus).toMatch(/hit; ttl=-\d+; detail=memory/)
  await tab.keyboard.press('Escape')
  expect(await tab.locator('dialog').isVisible()).toBe(false)
})

test('what others send is shown as text', async () => {
  const { tab } = opened
  const evil = '<img src=x onerror="alert(1)">'
  await fetch(`${app.adminUrl}/purge`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify({ tags: [evil] }),
  })
  await until(
    () => textOf(tab, '#invalidations li'),
    (text) => text.includes(evil),
  )
  expect(await tab.locator('img').count()).toBe(0)
})

test('a Redis that is killed shows within two seconds', async () => {
  const { tab, complaints } = opened
  expect(await textOf(tab, '#level')).toBe('Healthy')
  // The page shows one message a second: the first may come too early, the second may not.
  const messages = await openEvents()
  await messages.next()
  void redis.stop()
  const levels = [(await messages.next()).value, (await messages.next()).value].map(
    (message) => message?.degradationLevel,
  )
  expect(levels).toContain('memory-only')
  await messages.return(undefined)
  await until(() => textOf(tab, '#level'), 'Degraded: memory-only')
  await until(async () => (await firstLineOf(tab)).cause !== '')
  const told = await stats()
  const line = await firstLineOf(tab)
  expect(Math.abs(Date.parse(line.moment) - (Date.now() - told.degradationSeconds * 1000))).toBeLessThan(2000)
  expect(line.since).toBe(words.clockTime(Date.parse(line.moment)))
  expect(line.cause.toLowerCase()).toBe(told.degradationReason?.toLowerCase())
  expect(line.action).toBe(told.degradationAction ?? '')
  expect(line.effect).toBe(
    'Requests are answered from memory and the database. This process has just started: its memory is still filling.',
  )
  expect(await textOf(tab, '#spoken')).toContain(`Degraded: memory-only since ${line.since}. ${line.cause}`)
  const change = told.recentEvents.changes.find(({ kind }) => kind === 'degradation')
  expect(await textOf(tab, '#changes')).toContain(change?.text)
  expect(await faultsOf(tab)).toEqual([])
  expect(complaints).toEqual([])
})

test('nothing is red while Redis is down and no request has failed', async () => {
  expect((await stats()).total.errors).toBe(0)
  expect(await redOf(opened.tab)).toEqual([])
  const dark = await open(app.adminUrl, 'dark')
  await until(() => textOf(dark.tab, '#level'), 'Degraded: memory-only')
  await until(() => painted(dark.tab, 'chart-requests', 'memory-area'), many)
  expect(await redOf(dark.tab)).toEqual([])
  expect(await faultsOf(dark.tab)).toEqual([])
  await dark.tab.context().close()
})

test('an action that the server gives is in the first line, and a failed request is red', async () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    const tab = await changed({ width: 1440, height: 900 }, colorScheme, (told) => {
      told.degradationReason = 'Redis: connect ECONNREFUSED 127.0.0.1:6379'
      told.degradationAction = 'Start Redis, or check redis.url.'
      Object.assign(told.total.now, { errors: 2, errorRatio: 0.1 })
    })
    await until(async () => (await firstLineOf(tab)).action, 'Start Redis, or check redis.url.')
    expect(await firstLineOf(tab)).toMatchObject({ cause: 'Redis: connect ECONNREFUSED 127.0.0.1:6379' })
    await until(() => painted(tab, 'chart-failures', 'bad'), many)
    expect(await redOf(tab)).toEqual(expect.arrayContaining(['#figure-errors', 'canvas of #chart-failures']))
    expect(await faultsOf(tab)).toEqual([])
    await tab.context().close()
  }
})

test('at 1,440 px and wider nothing is cut off and no axis labels overlap, with figures as wide as they get', async () => {
  await app.get('/api/counties/51059')
  const screens = [
    { width: 1440, height: 900 },
    { width: 1920, height: 1080 },
    { width: 390, height: 844 },
  ]
  for (const screen of screens) {
    const tab = await changed(screen, 'light', widen)
    await until(async () => (await rowOf(tab, 'county')).Requests, '12,345,678')
    await until(async () => (await labelsOf(tab)).length >= 7 * 4)
    expect(await cutOff(tab)).toEqual(screen.width === 390 ? ['div.scroll'] : [])
    expect(collisions(await labelsOf(tab))).toEqual([])
    if (screen.width === 1440) {
      // Without room the same look finds what is cut off.
      await tab.setViewportSize({ width: 1260, height: 900 })
      expect(await cutOff(tab)).toContain('div.scroll')
    }
    await tab.context().close()
  }
  // Two labels a pixel apart are none too close; two that share a pixel are.
  const label = { chart: 'c', text: 't', left: 0, right: 10, top: 0, bottom: 10, width: 100, height: 100 }
  expect(collisions([label, { ...label, left: 11, right: 21 }])).toEqual([])
  expect(collisions([label, { ...label, left: 9, right: 19 }])).toEqual(['c: t on t'])
  expect(collisions([{ ...label, right: 101 }])).toEqual(['c: t is cut off'])
})

/** What /events sends, message by message. */
async function openEvents(): Promise<AsyncGenerator<Record<string, unknown>>> {
  const events = await fetch(`${app.adminUrl}/events`)
  expect(events.headers.get('content-type')).toContain('text/event-stream')
  return messagesOf(events.body as ReadableStream<Uint8Array>)
}

async function* messagesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Record<string, unknown>> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true })
    const whole = text.lastIndexOf('\n') + 1
    for (const [, data = ''] of text.slice(0, whole).matchAll(/^data: (.*)$/gm)) yield JSON.parse(data)
    text = text.slice(whole)
  }
}

test('/events is /stats, once a second', async () => {
  const messages: Record<string, unknown>[] = []
  const began = performance.now()
  for await (const message of await openEvents()) {
    messages.push(message)
    if (messages.length >= 4) break
  }
  // The first comes at once, the second with the next full second.
  expect(performance.now() - began).toBeGreaterThan(1900)
  const shown = (await stats()) as unknown as Record<string, unknown>
  expect(messages.map((message) => Object.keys(message))).toEqual(messages.map(() => Object.keys(shown)))
})

test('an open page keeps nothing from ending; it says that it has lost contact, and reconnects when onramp is back', async () => {
  const port = String(await freePort())
  const first = await ready([], { ADMIN_PORT: port })
  const { tab } = await open(first.adminUrl)
  await until(() => textOf(tab, '#level'), 'Healthy')
  await fetch(`${first.url}/api/states`)
  await until(() => textOf(tab, '#figures > div:first-child .note'), '1 since start')
  first.child.kill('SIGTERM')
  expect(await first.ended).toBe(0)
  await until(() => textOf(tab, '#level'), 'No contact')
  const line = await firstLineOf(tab)
  expect(line.since).toBe(words.clockTime(Date.parse(line.moment)))
  expect(line.action).toContain('This page reconnects by itself.')
  await ready([], { ADMIN_PORT: port })
  await until(() => textOf(tab, '#level'), 'Healthy')
  await until(() => textOf(tab, '#figures > div:first-child .note'), '0 since start')
})
