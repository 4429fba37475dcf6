import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { bestHits } from '../bench/belady.ts'
import { page } from '../bench/page.ts'
import { random, weighted } from '../bench/random.ts'
import { median, percentileOf, Recording, sourcesOf } from '../bench/recording.ts'
import { inShort, type Results, resultsTable, summaryTable, targetsOf, verdict } from '../bench/report.ts'
import { holds, times } from '../bench/scenario.ts'
import { bindings } from '../bench/servers/statement.ts'
import { shoppers } from '../bench/shoppers.ts'
import { compare, interleaved } from '../bench/variants.ts'

describe('a recording', () => {
  test('of a known distribution has its percentiles and its mean', () => {
    const recording = new Recording()
    // 1 to 10,000, in another order: 7,919 and 10,000 have no common factor.
    for (let i = 0; i < 10_000; i += 1) recording.add(i / 1000, ((i * 7919) % 10_000) + 1, 200)
    expect([0.5, 0.9, 0.99, 0.999, 1].map((share) => recording.percentile(share))).toEqual([
      5000, 9000, 9900, 9990, 10_000,
    ])
    expect(recording.mean).toBe(5000.5)
    expect(recording.count).toBe(10_000)
  })

  test('of one answer has its wait at every percentile; without answers it has no percentile', () => {
    expect([0.01, 0.5, 1].map((share) => percentileOf([7], share))).toEqual([7, 7, 7])
    expect(percentileOf([], 0.5)).toBeNaN()
  })

  test('counts as failed each answer other than 2xx and 304, and each request without an answer', () => {
    const recording = new Recording()
    for (const status of [200, 204, 304, 301, 404, 503, 0]) recording.add(0, 1, status)
    expect(recording.failed).toBe(4)
  })

  test('is cut by time; an answer at a bound belongs to the later part', () => {
    const recording = new Recording()
    recording.seconds = 3
    for (const [at, ms, source] of [
      [0, 1, 'memory'],
      [0.999, 3, 'memory'],
      [1, 10, 'origin'],
      [2.5, 20, 'file'],
    ] as const)
      recording.add(at, ms, 200, source)
    expect(recording.between(0, 1).count).toBe(2)
    expect(recording.between(1, 3).sorted()).toEqual(Float64Array.of(10, 20))
    expect(recording.overTime().map(({ at, answers, mean, sources }) => [at, answers, mean, sources])).toEqual([
      [0, 2, 2, { memory: 2 }],
      [1, 1, 10, { origin: 1 }],
      [2, 1, 20, { file: 1 }],
    ])
    const joined = new Recording()
    joined.add(0, 1, 0)
    joined.join(recording, 1)
    expect(joined.sources).toEqual({ none: 1, memory: 2, origin: 1, file: 1 })
    expect(sourcesOf([joined])).toEqual(['memory', 'file', 'origin', 'none'])
  })
})

describe('random draws', () => {
  test('the same seed gives the same numbers, another seed others; the numbers are evenly distributed', () => {
    const draw = (seed: number) => Array.from({ length: 10_000 }, random(seed))
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)[0]).not.toBe(draw(2)[0])
    const tenths = new Array(10).fill(0)
    for (const value of draw(3)) tenths[Math.floor(value * 10)] += 1
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150)
  })

  test('values are drawn in proportion to their weights, and never with weight zero', () => {
    const next = random(1)
    const draw = weighted(['none', 'one', 'three'], (value) => ({ none: 0, one: 1, three: 3 })[value] as number)
    const drawn: Record<string, number> = { none: 0, one: 0, three: 0 }
    for (let i = 0; i < 20_000; i += 1) {
      const value = draw(next())
      drawn[value] = (drawn[value] as number) + 1
    }
    expect(drawn.none).toBe(0)
    expect((drawn.three as number) / (drawn.one as number)).toBeGreaterThan(2.6)
    expect((drawn.three as number) / (drawn.one as number)).toBeLessThan(3.4)
    expect([0, 0.2499, 0.25, 0.9999].map(draw)).toEqual(['one', 'one', 'three', 'three'])
  })

  test('the same seed draws the same shoppers; the popular county has its share of them', () => {
    const counties = [
      { fips: '51059', selections: 9, plans: ['a'] },
      { fips: '01001', selections: 1, plans: ['b'] },
    ]
    const draw = () => Array.from({ length: 3000 }, shoppers({ counties }, 5).next)
    expect(draw()).toEqual(draw())
    const popular = draw().filter(({ county }) => county === '51059').length / 3000
    expect(popular).toBeGreaterThan(0.87)
    expect(popular).toBeLessThan(0.93)
    for (const { ages } of draw())
      expect(ages.every((age) => age >= 0 && age <= 64) && (ages[0] as number) >= 18).toBe(true)
  })
})

describe('the best possible hits', () => {
  const asked = (keys: string, bytes = 1) => [...keys].map((key) => ({ key, bytes }))

  test('are those of the textbook example for three page frames (Belady)', () => {
    // 7 0 1 2 0 3 0 4 2 3 0 3 2 1 2 0 1 7 0 1 has nine faults with three frames, if every page must be loaded. Here an entry need not be
    // stored, which saves one fault at most.
    const hits = bestHits(asked('70120304230321201701'), 3)
    expect([20 - 9, 20 - 8]).toContain(hits)
  })

  test('are all requests but the first of each key, if everything fits', () => {
    expect(bestHits(asked('abcabcabc'), 3)).toBe(6)
  })

  test('of a cycle larger than the cache are some, where least-recently-used has none', () => {
    const circle = asked('abcd'.repeat(25))
    expect(bestHits(circle, 3)).toBeGreaterThanOrEqual(64)
    const lru: string[] = []
    let hits = 0
    for (const { key } of circle) {
      if (lru.includes(key)) hits += 1
      lru.unshift(...[key, ...lru.splice(0).filter((other) => other !== key)].slice(0, 3))
    }
    expect(hits).toBe(0)
  })

  test('never include an entry larger than the cache', () => {
    expect(bestHits(asked('aaaa', 5), 4)).toBe(0)
  })
})

test('variants take turns, and each round starts with another one', async () => {
  const order: string[] = []
  await interleaved(['a', 'b', 'c'], 3, async (name) => void order.push(name))
  expect(order.join('')).toBe('abcbcacab')
})

test('a ratio is the median of the ratios of the rounds, so that one bad round does not decide; its rounds show it', () => {
  expect(compare([2, 2, 2, 2, 200], [1, 1, 1, 1, 1], (one) => one)).toEqual({ value: 2, rounds: [2, 200] })
  expect(compare([Number.NaN, 3], [1, 1], (one) => one)).toEqual({ value: 3, rounds: [3, 3] })
  expect(median([3, 1, 2, 10])).toBe(2.5)
  expect(median([Number.NaN, 4])).toBe(4)
})

test('a claim holds up to its bound and not beyond it; without a bound it has no verdict', () => {
  const claim = { id: '', measure: '', measured: '' }
  expect([0.85, 0.849].map((value) => holds({ ...claim, value, atLeast: 0.85 }))).toEqual([true, false])
  expect([1.5, 1.51].map((value) => holds({ ...claim, value, atMost: 1.5 }))).toEqual([true, false])
  expect(holds({ ...claim, value: Number.NaN, atMost: 1 })).toBe(false)
  expect(holds({ ...claim, value: 1 })).toBeUndefined()
})

test('a ratio is shown with its lowest and its highest round, if there were several', () => {
  expect(times({ value: 1.1, rounds: [0.95, 1.2] }, ' its throughput')).toBe('1.1 times its throughput (0.95 to 1.2)')
  expect(times({ value: 1.1, rounds: [1.1, 1.1] })).toBe('1.1 times')
})

test('a verdict is within the noise if a round is on the other side of the target', () => {
  const claim = { id: '', measure: '', measured: '', value: 1, atMost: 1.2 }
  expect(verdict({ ...claim, rounds: [0.9, 1.2] })).toBe('holds')
  expect(verdict({ ...claim, rounds: [0.9, 1.21] })).toBe('holds, within the noise')
  expect(verdict({ ...claim, value: 1.3, rounds: [1.2, 1.4] })).toBe('does not hold, within the noise')
  expect(verdict({ ...claim, value: 1.3, rounds: [1.21, 1.4] })).toBe('does not hold')
  expect(verdict({ id: '', measure: '', measured: '', value: 1, rounds: [0, 9] })).toBe('')
})

test('the names in a statement are bound; casts are not names', () => {
  const { text, values } = bindings('-- :none\nselect :ages::int[], :county::text, :ages::int[] limit :limit::int')
  expect(text).toBe('\nselect $1::int[], $2::text, $1::int[] limit $3::int')
  expect(values({ county: '51059', ages: '34,5' })).toEqual([[34, 5], '51059', 10])
})

describe('the text of a run', () => {
  const kept = JSON.parse(readFileSync(new URL('../bench/results/latest.json', import.meta.url), 'utf8')) as Results
  const results: Results = {
    date: '2014-12-23',
    commit: 'abc',
    node: 'v26',
    kernel: 'Linux',
    processor: 'one <b>',
    cores: 2,
    memory: '1 GiB',
    loadBefore: 0,
    quick: false,
    seconds: 60,
    scenarios: [
      {
        name: 'one',
        question: 'Is <it> so?',
        seconds: 1,
        claims: [
          { id: 'a', measure: 'a|b', measured: '2', value: 2, atMost: 1, target: 'at most 1', cause: 'slow' },
          { id: 'c', measure: 'c', measured: '3', value: 3, better: 'less' },
        ],
        tables: [{ title: 'T', head: ['x'], rows: [['<y>']] }],
        charts: [
          {
            title: 'L',
            kind: 'lines',
            x: 's',
            y: 'ms',
            isLog: true,
            series: [
              {
                name: 'p50',
                points: [
                  [0, 8000],
                  [1, 0.5],
                ],
              },
            ],
          },
          {
            title: 'S',
            kind: 'stack',
            x: 's',
            y: 'n',
            series: [
              {
                name: 'memory',
                points: [
                  [0, 1],
                  [1, 2],
                ],
              },
            ],
          },
          {
            title: 'B',
            kind: 'bars',
            x: '',
            y: 'n',
            series: [{ name: 'a', points: [[0, 3]] }],
            marks: [{ x: 0, label: 'g' }],
          },
        ],
        notes: [],
      },
    ],
  }

  test('names each target that does not hold, with its cause', () => {
    expect(resultsTable(results)).toContain(
      '| **one** | a\\|b | 2 | at most 1 | **does not hold**: slow |\n|  | c | 3 | none; less is better |  |',
    )
    expect(summaryTable(results)).toContain(`0 of 1 targets hold. 1 do not, in \`one\`.\n\n| measure |`)
    expect(page(results)).toMatch(/<li class="bad"><b>does not hold<\/b><span>a\|b: .*<small>slow<\/small>/)
  })

  test('names the scenarios without a target', () => {
    const [one] = results.scenarios as [Results['scenarios'][number]]
    const free = { ...one, name: 'two', claims: one.claims.slice(1) }
    expect(resultsTable({ ...results, scenarios: [one, free] })).toMatch(/Scenarios without a target: two\.$/)
  })

  test('has the headline rows, the number of targets that hold, and the scenarios of those that do not', () => {
    const summary = summaryTable(kept)
    const rows = summary.split('\n').filter((line) => line.startsWith('|'))
    const { held, missed } = targetsOf(kept)
    for (const { scenario } of missed) expect(summary).toContain(`\`${scenario}\``)
    expect(summary).toContain(`\n${held.length} of ${held.length + missed.length} targets hold.`)
    expect(rows).toHaveLength(2 + 7) // below the head and its rule
  })

  test('has the gain, the cost and the limits in a few sentences; those without their figures are left out', () => {
    expect(inShort(kept)).toHaveLength(5)
    for (const text of inShort(kept)) expect(text).not.toMatch(/[{}]/)
    expect(inShort(results)).toEqual([])
  })

  test('is a page that escapes all texts, loads nothing from other hosts, and never shows a missing figure', () => {
    const html = page(results)
    expect(html).toContain('Is &lt;it&gt; so?')
    expect(html).toContain('&lt;y&gt;')
    expect(html).not.toMatch(/https?:|src=|@import|url\(|NaN|undefined|Infinity/)
    expect(html.match(/<svg /g)).toHaveLength(3)
  })
})
