import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import pg from 'pg'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { bringCrowd, waitOf } from '../bench/crowd.ts'
import { load } from '../bench/load.ts'
import { openLoop } from '../bench/open-loop.ts'
import { findProgram } from '../bench/servers/programs.ts'
import { bindings } from '../bench/servers/statement.ts'
import { popularity, shoppers } from '../bench/shoppers.ts'

// In a thread of its own, so that its pauses do not stop the load generator.
const program = `
  const { createServer } = require('node:http')
  const { parentPort } = require('node:worker_threads')
  createServer((request, response) => {
    const answer = () => {
      const tier = request.url === '/file' ? 'second-file' : 'memory'
      response.writeHead(200, { 'Content-Length': 2, 'Cache-Status': 'onramp; hit; ttl=1; detail=' + tier })
      response.end('ok')
    }
    if (request.url === '/never') return
    if (request.url === '/freeze') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
    if (request.url === '/slow') setTimeout(answer, 100)
    else if (request.url === '/fault') response.writeHead(503, { 'Content-Length': 0 }).end()
    else answer()
  }).listen(0, '127.0.0.1', function () { parentPort.postMessage(this.address().port) })
`
let worker: Worker
let port: number
let url: string
beforeAll(async () => {
  worker = new Worker(program, { eval: true })
  ;[port] = (await once(worker, 'message')) as [number]
  url = `http://127.0.0.1:${port}`
})
afterAll(() => worker?.terminate())

test('a server that takes 100 ms is measured to take 100 ms, by both loops', async () => {
  const closed = await load(url, { connections: 5, seconds: 2, paths: () => ['/slow'] })
  const open = await openLoop(url, { seconds: 2, rate: () => 50, path: () => '/slow', seed: 1 })
  for (const seen of [closed, open]) {
    expect(seen.percentile(0.01)).toBeGreaterThan(97)
    expect(seen.percentile(0.5)).toBeLessThan(200)
    expect(seen.failed).toBe(0)
  }
  // Five connections in a closed loop, 100 ms each: at most fifty answers per second.
  expect(closed.perSecond).toBeLessThan(52)
})

test('connections without any answer are counted, since the mean of the answers leaves them out', async () => {
  const paths = (connection: number) => [connection === 0 ? '/never' : '/slow']
  const seen = await load(url, { connections: 3, seconds: 1, paths })
  expect([seen.unanswered, seen.failed]).toEqual([1, 0])
  expect(seen.mean).toBeLessThan(200)
})

test('an open loop sends at the given rate, and records the source of each answer, whatever the tiers are', async () => {
  let asked = 0
  const path = () => (asked++ % 2 === 0 ? '/' : '/file')
  const seen = await openLoop(url, { seconds: 4, rate: () => 250, path, seed: 1 })
  expect(seen.count).toBeGreaterThan(880) // 1,000, within four standard deviations of a Poisson process
  expect(seen.count).toBeLessThan(1120)
  expect(seen.sources).toEqual({ memory: Math.ceil(asked / 2), 'second-file': Math.floor(asked / 2) })
})

test('both loops count error statuses as failed, and the open loop a refused connection', async () => {
  const closed = await load(url, { connections: 1, seconds: 1, paths: () => ['/', '/fault'] })
  const [even, odd] = [Math.floor(closed.count / 2), Math.ceil(closed.count / 2)]
  expect([even, odd]).toContain(closed.failed)
  const open = await openLoop(url, { seconds: 1, rate: () => 50, path: () => '/fault', seed: 1 })
  expect(open.failed).toBe(open.count)
  const nobody = await openLoop('http://127.0.0.1:1', { seconds: 1, rate: () => 50, path: () => '/', seed: 1 })
  expect(nobody.statuses).toEqual({ 0: nobody.count })
})

test('the open loop shows that a server stood still for a second; its twin, the closed loop, leaves out the requests of that second', async () => {
  const freezing = () => {
    let asked = 0
    return () => {
      asked += 1
      return asked === 200 ? '/freeze' : '/'
    }
  }
  const open = await openLoop(url, { seconds: 4, rate: () => 200, path: freezing(), seed: 1 })
  // The same in a closed loop of four: after 199 quick answers one connection causes the freeze, and each waits once.
  const paths = [...new Array(199).fill('/'), '/freeze', ...new Array(20_000).fill('/')]
  const closed = await load(url, {
    connections: 4,
    seconds: 4,
    paths: (connection) => (connection === 0 ? paths : ['/']),
  })
  for (const seen of [open, closed]) expect(seen.percentile(1)).toBeGreaterThan(900)
  // One request in four arrived during the freeze. Their mean wait is half a second.
  expect(open.percentile(0.9)).toBeGreaterThan(300)
  expect(closed.percentile(0.9)).toBeLessThan(100)
})

test('a crowd opens its connections, keeps them open, and sends its requests at the interval', async () => {
  const crowd = { host: '127.0.0.1', port, people: 300, openSeconds: 1, holdSeconds: 3, everySeconds: 1, paths: ['/'] }
  let wasHeld = false
  const seen = await bringCrowd(crowd, () => {
    wasHeld = true
  })
  expect(wasHeld).toBe(true)
  expect([seen.opened, seen.refused, seen.closedEarly, seen.failed]).toEqual([300, 0, 0, 0])
  expect(seen.asked).toBeGreaterThan(800)
  expect(seen.asked).toBeLessThan(1000)
  expect(waitOf(seen, 0.5)).toBeLessThan(200)
})

test('the slow statement returns the same rows as the shipped one', async () => {
  const read = (path: string) => bindings(readFileSync(new URL(path, import.meta.url), 'utf8'))
  const plain = read('../bench/servers/plain-search.sql')
  const shipped = read('../config/marketplace/queries/plan-search.sql')
  const client = new pg.Client({ connectionString: inject('databaseUrl') })
  await client.connect()
  try {
    const { next } = shoppers(await popularity(inject('databaseUrl')), 7)
    const households = [
      ...Array.from({ length: 12 }, next),
      { county: '51059', ages: [70, 20, 12, 12, 3, 1], plans: [] },
    ]
    for (const { county, ages } of households) {
      const asked = { county, ages: ages.join(','), limit: '200' }
      const [one, other] = [
        await client.query(plain.text, plain.values(asked)),
        await client.query(shipped.text, shipped.values(asked)),
      ]
      expect(one.rows.length).toBeGreaterThan(0)
      expect(one.rows).toEqual(other.rows)
    }
  } finally {
    await client.end()
  }
})

/** An expression for the page: elements wider than their box, such as text that is cut off, or a label outside of its chart. */
const overflows = `[...document.body.querySelectorAll('*')].filter((element) => {
  const isOutside = (box) => {
    const [inner, outer] = [element.getBoundingClientRect(), box.getBoundingClientRect()]
    return inner.width > 0 && (inner.left < outer.left - 1 || inner.right > outer.right + 1)
  }
  if (element.ownerSVGElement) return isOutside(element.ownerSVGElement)
  return (element.clientWidth > 0 && element.scrollWidth > element.clientWidth) || isOutside(element.parentElement)
}).map((element) => element.tagName + ': ' + element.textContent.slice(0, 60))`

test('nothing in the benchmark report is cut off at 1,440 pixels, and the page of a phone does not scroll sideways', async () => {
  const browser = await chromium.launch({
    executablePath: findProgram('chromium', 'chromium'),
    args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  })
  try {
    const tab = await browser.newPage({ viewport: { width: 1440, height: 900 } })
    await tab.goto(new URL('../bench/results/report.html', import.meta.url).href)
    expect(await tab.locator('svg').count()).toBeGreaterThan(0)
    expect(await tab.evaluate(overflows)).toEqual([])
    await tab.setViewportSize({ width: 390, height: 800 })
    expect(await tab.evaluate('document.documentElement.scrollWidth')).toBe(390)
    // The twins: a table too wide for its box, and a label that reaches out of its chart.
    await tab.setViewportSize({ width: 1440, height: 900 })
    await tab.evaluate(`document.querySelector('td').style.minWidth = '1400px'`)
    await tab.evaluate(`document.querySelector('svg text').setAttribute('x', '9999')`)
    const found = await tab.evaluate<string[]>(overflows)
    expect(found.some((one) => one.startsWith('DIV: '))).toBe(true)
    expect(found.some((one) => one.startsWith('text: '))).toBe(true)
  } finally {
    await browser.close()
  }
})
