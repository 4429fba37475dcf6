import { existsSync, readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type Running, startApp } from './live.ts'
import { type County, evenly, exact, FirstYear, metals, type Plan, type Search } from './marketplace-2014.ts'

// The published files are not part of this repository; a checkout may have them beside it.
const folder = new URL('../../shared/marketplace-2014/', import.meta.url)

if (existsSync(folder)) describe('the real first year', theRealFirstYear)
else
  test('the real first year is not beside this checkout; marketplace.live.test.ts checks the generated one', () => {
    expect(existsSync(folder)).toBe(false)
  })

function theRealFirstYear() {
  const database = 'marketplace_2014'
  let year: FirstYear
  let app: Running

  beforeAll(async () => {
    year = new FirstYear(folder)
    await onServer(`drop database if exists ${database} with (force)`, `create database ${database}`)
    await connected(urlOf(inject('superuserUrl')), async (client) => {
      await client.query(readFileSync(new URL('../config/marketplace/schema.sql', import.meta.url), 'utf8'))
      await year.load(client)
      await client.query(aYearLater)
      await client.query(
        'grant select on all tables in schema public to public; revoke all on applications from public',
      )
    })
    app = await startApp(urlOf(inject('databaseUrl')))
  })
  afterAll(async () => {
    await app?.stop()
    await onServer(`drop database if exists ${database} with (force)`)
  })

  function urlOf(marketplace: string): string {
    const url = new URL(marketplace)
    url.pathname = database
    return url.href
  }

  async function answerTo(path: string): Promise<unknown> {
    const { status, text } = await app.get(path)
    expect(status, path).toBe(200)
    return exact(text)
  }

  /** Some forty counties: those with the most plans, the fewest and none, and one with rates of another year. */
  function someCounties(): County[] {
    const all = year.marketplaceCounties
    const bySupply = all.toSorted((a, b) => year.sold(a.county_fips).length - year.sold(b.county_fips).length)
    const without = [...year.counties.values()].filter(({ county_fips }) => year.sold(county_fips).length === 0)
    const fairfax = all.filter(({ county_fips }) => county_fips === '51059')
    return [...evenly(all, 42), ...evenly(bySupply, 2), ...without.slice(0, 1), ...fairfax]
  }

  function statesWithCounties(): string[] {
    return [...new Set([...year.counties.values()].flatMap(({ state }) => state ?? []))]
  }

  const searchPath = ({ county, ages, ...others }: Search) =>
    `/api/plans/search?${new URLSearchParams({ county, ages: ages.join(), ...asTexts(others) })}`
  const comparePath = (ids: string[], county: string, ages: number[]) =>
    `/api/plans/compare?ids=${ids}&county=${county}&ages=${ages}`

  test('has the row counts of its README', () => {
    expect(year.plans.size).toBe(2890)
    expect(year.issuers.size).toBe(191)
    expect(year.counties.size).toBe(3237)
    const supply = year.marketplaceCounties
      .map(({ county_fips }) => year.sold(county_fips).length)
      .sort((a, b) => a - b)
    expect([supply.length, supply[0], supply[1294], supply.at(-1)]).toEqual([2589, 2, 29, 169])
    expect(supply.reduce((sum, plans) => sum + plans)).toBe(81_013)
  })

  test('states: every state, its plans, issuers and counties', async () => {
    const states = await answerTo('/api/states')
    expect(states).toHaveLength(36)
    expect(states).toEqual(year.states())
    expect(await answerTo('/api/states?year=2016')).toEqual([])
  })

  test('metal-levels: all of them, in order', async () => {
    expect(await answerTo('/api/reference/metal-levels')).toEqual(metals)
  })

  test('poverty-guidelines: those of each year, and none for a year without', async () => {
    expect(await answerTo('/api/reference/poverty-guidelines')).toEqual(year.povertyGuidelines(2014))
    expect(await answerTo('/api/reference/poverty-guidelines?year=2013')).toEqual(year.povertyGuidelines(2013))
    expect(await answerTo('/api/reference/poverty-guidelines?year=2015')).toEqual([])
  })

  test('counties-by-zip: the counties of a ZIP, also of those in the most counties, and none for an unknown ZIP', async () => {
    const zips = [...year.zips.keys()]
    const crowded = zips.filter((zip) => year.zips.get(zip)?.length === 6)
    expect(crowded.length).toBeGreaterThan(0)
    expect(year.zips.has('00000')).toBe(false)
    await each([...evenly(zips, 300), ...crowded, '00000'], async (zip) => {
      expect(await answerTo(`/api/counties/by/zip/${zip}`), zip).toEqual(year.countiesByZip(zip))
    })
  })

  test('county: in the marketplace or not, without a population, without a state; 404 for an unknown one', async () => {
    const all = [...year.counties.values()]
    const odd = all.filter(({ state, population }) => state === null || population === null)
    expect(odd.length).toBeGreaterThan(0)
    await each([...evenly(all, 200), ...odd, ...someCounties()], async (county) => {
      expect(await answerTo(`/api/counties/${county.county_fips}`)).toEqual(county)
    })
    expect((await app.get('/api/counties/00000')).status).toBe(404)
  })

  test('issuers: of every state, and none where the marketplace does not sell', async () => {
    await each(statesWithCounties(), async (state) => {
      expect(await answerTo(`/api/states/${state}/issuers`), state).toEqual(year.issuersOf(state))
    })
    expect(year.issuersOf('KY')).toEqual([])
  })

  const households: [who: string, ages: number[]][] = [
    ['a single infant', [0]],
    ['one adult', [40]],
    ['two adults of one age', [33, 33]],
    ['a couple with a child', [34, 32, 5]],
    ['five children, three of them charged', [1, 4, 9, 16, 20]],
    ['a family with five children, two of them twins', [45, 43, 7, 7, 3, 12, 18]],
    ['people over 64, priced as at 64', [64, 65, 71, 120]],
    ['twelve people', [21, 20, 20, 19, 18, 22, 27, 30, 50, 60, 63, 90]],
  ]
  test.for(households)('plan-search: every plan of many counties, priced for %s', async ([, ages]) => {
    await each(someCounties(), async ({ county_fips: county }) => {
      const search = { county, ages, limit: 200 }
      expect(await answerTo(searchPath(search)), searchPath(search)).toEqual(year.search(search))
    })
  })

  test('plan-search: children get no plan for adults only, and adults none for children only', () => {
    const offered = (ages: number[]) =>
      year.marketplaceCounties.flatMap(({ county_fips }) =>
        year.search({ county: county_fips, ages, limit: 200 }).map((plan) => plan.child_only_offering),
      )
    expect(new Set(offered([34]))).toEqual(new Set(['Allows Adult and Child-Only', 'Allows Adult-Only']))
    expect(new Set(offered([5]))).toEqual(new Set(['Allows Adult and Child-Only', 'Allows Child-Only']))
    expect(new Set(offered([34, 5]))).toEqual(new Set(['Allows Adult and Child-Only']))
  })

  test('plan-search: every metal in every order', async () => {
    const metalNames = [undefined, ...metals.map(({ metal_level }) => metal_level)]
    const searches = someCounties().flatMap(({ county_fips: county }) =>
      metalNames.flatMap((metal) =>
        (['premium', 'name', 'metal'] as const).map((sort) => {
          return { county, ages: [29, 31, 2], sort, limit: 200, ...(metal && { metal }) }
        }),
      ),
    )
    await each(searches, async (search) => {
      expect(await answerTo(searchPath(search)), searchPath(search)).toEqual(year.search(search))
    })
  })

  test('plan-search: the pages of a search add up to all of it, and a page past its end is empty', async () => {
    const most = someCounties().toSorted((a, b) => year.sold(b.county_fips).length - year.sold(a.county_fips).length)
    for (const { county_fips: county } of most.slice(0, 3)) {
      const whole = year.search({ county, ages: [50], sort: 'name', limit: 200 })
      const pages: unknown[] = []
      for (let offset = 0; offset < whole.length; offset += 7) {
        const page = await answerTo(searchPath({ county, ages: [50], sort: 'name', limit: 7, offset }))
        pages.push(...(page as unknown[]))
      }
      expect(pages).toEqual(whole)
      expect(await answerTo(searchPath({ county, ages: [50], offset: whole.length }))).toEqual([])
    }
  })

  test('plan-search: by default ten plans, the cheapest first', async () => {
    expect(await answerTo('/api/plans/search?county=12117&ages=40')).toEqual(
      year.search({ county: '12117', ages: [40] }),
    )
    expect(year.search({ county: '12117', ages: [40] })).toHaveLength(10)
  })

  test('plan-search: the same household in another order, or by POST, hits the same entry', async () => {
    const first = await app.get('/api/plans/search?county=39049&ages=44,41,9,9&metal=Gold&limit=5', plain)
    const reordered = await app.get('/api/plans/search?ages=9,44,9,41&limit=5&county=39049&metal=Gold', plain)
    const body = { county: '39049', ages: [9, 9, 41, 44], metal: 'Gold', limit: 5 }
    const posted = await app.post('/api/plans/search', body, plain)
    expect(exact(first.text)).toEqual(year.search(body))
    for (const again of [reordered, posted]) {
      expect(again.cacheStatus).toMatch(fromMemory)
      expect(again.text).toBe(first.text)
    }
    const oneTwin = await app.get('/api/plans/search?county=39049&ages=44,41,9&metal=Gold&limit=5')
    expect(exact(oneTwin.text)).toEqual(year.search({ ...body, ages: [44, 41, 9] }))
    expect(exact(oneTwin.text)).not.toEqual(exact(first.text))
  })

  test('plan: with all its benefits, also for odd names and ids', async () => {
    const all = [...year.plans.values()]
    const isOdd = ({ plan_id, plan_name }: Plan) => /[a-z]/.test(plan_id) || /["\n]|[^ -~]/.test(plan_name)
    const odd = all.filter(isOdd)
    expect(odd.some(({ plan_name }) => plan_name.includes('\n'))).toBe(true)
    expect(odd.some(({ plan_id }) => plan_id === '71837tx0010001')).toBe(true)
    await each([...evenly(all, 300), ...odd], async ({ plan_id }) => {
      expect(await answerTo(`/api/plans/${plan_id}`)).toEqual(year.plan(plan_id))
    })
    expect((await app.get('/api/plans/71837TX0010001')).status).toBe(404)
    expect((await app.get('/api/plans/10191NJ0030001?year=2015')).status).toBe(404)
  })

  test('plan-compare: side by side, without a premium if a plan is not sold there or has no rate for a member', async () => {
    const elsewhere = ['10191NJ0030001', '71837tx0010001']
    const forSome = [...year.plans.values()].filter(({ child_only_offering }) => /Only$/.test(child_only_offering))
    const seen = { premium: 0, none: 0 }
    await each(someCounties(), async ({ county_fips, state }) => {
      const sold = year.sold(county_fips).map(({ plan_id }) => plan_id)
      const picky = forSome.filter(
        (plan) => plan.state === state && plan.child_only_offering !== 'Allows Adult and Child-Only',
      )
      const ids = [...new Set([...evenly(sold, 6), ...picky.slice(0, 2).map(({ plan_id }) => plan_id), ...elsewhere])]
      for (const ages of [[34], [6], [38, 36, 1, 3, 5, 7], [70]]) {
        const path = comparePath(ids.filter(Boolean), county_fips, ages)
        const rows = await answerTo(path)
        expect(rows, path).toEqual(year.compare(ids, county_fips, ages))
        for (const { premium } of rows as { premium: string | null }[]) seen[premium === null ? 'none' : 'premium'] += 1
      }
    })
    expect(seen.premium).toBeGreaterThan(500)
    expect(seen.none).toBeGreaterThan(300)
  })

  test('plan-compare: ids in another order or repeated hit the same entry, and an unknown id adds no row', async () => {
    const [a, b] = year.sold('51059').map(({ plan_id }) => plan_id) as [string, string]
    const path = comparePath([a, b, '99999VA9999999'], '51059', [34, 5])
    const first = await app.get(path, plain)
    expect(exact(first.text)).toEqual(year.compare([a, b], '51059', [34, 5]))
    const again = await app.get(comparePath([b, '99999VA9999999', a, b, b], '51059', [5, 34]), plain)
    expect(again.cacheStatus).toMatch(fromMemory)
    expect(again.text).toBe(first.text)
  })

  test('county-benchmark: in every county; the only silver plan if there is just one', async () => {
    const onlyOne = year.marketplaceCounties.filter(
      ({ county_fips }) => year.sold(county_fips).filter(({ metal_level }) => metal_level === 'Silver').length === 1,
    )
    expect(onlyOne.length).toBeGreaterThan(0)
    await each(year.marketplaceCounties, async ({ county_fips }) => {
      const benchmark = await answerTo(`/api/counties/${county_fips}/benchmark?age=40`)
      expect(benchmark).toEqual(year.benchmark(county_fips, 40))
    })
  })

  test('county-benchmark: at every kind of age; 404 without a silver plan, and for an unknown county', async () => {
    const asked = someCounties().flatMap(({ county_fips }) =>
      [0, 20, 21, 45, 64, 65, 120].map((age) => [county_fips, age] as const),
    )
    await each(asked, async ([fips, age]) => {
      const path = `/api/counties/${fips}/benchmark?age=${age}`
      const expected = year.benchmark(fips, age)
      if (expected === undefined) expect((await app.get(path)).status, path).toBe(404)
      else expect(await answerTo(path)).toEqual(expected)
    })
    expect(asked.some(([fips, age]) => year.benchmark(fips, age) === undefined)).toBe(true)
    expect((await app.get('/api/counties/00000/benchmark?age=40')).status).toBe(404)
  })

  test('county-stats: the prices of every metal, with the median of an even number of plans', async () => {
    const asked = someCounties().flatMap(({ county_fips }) =>
      [3, 21, 40, 60, 99].map((age) => [county_fips, age] as const),
    )
    await each(asked, async ([fips, age]) => {
      const path = `/api/counties/${fips}/stats?age=${age}`
      expect(await answerTo(path), path).toEqual(year.stats(fips, age))
    })
    expect(await answerTo('/api/counties/00000/stats?age=40')).toEqual([])
  })

  test.for([5, 40, 65])('state-lowest: every county of every state, at age %i', async (age) => {
    await each(statesWithCounties(), async (state) => {
      const path = `/api/states/${state}/lowest?age=${age}`
      expect(await answerTo(path), path).toEqual(year.stateLowest(state, age))
    })
  })

  test('national-benchmark: the average of every state, at every kind of age', async () => {
    await each([0, 5, 20, 21, 27, 33, 40, 59, 64, 65, 120], async (age) => {
      const states = await answerTo(`/api/benchmarks?age=${age}`)
      expect(states, `age ${age}`).toHaveLength(36)
      expect(states, `age ${age}`).toEqual(year.nationalBenchmark(age))
    })
  })

  test('another year has its own plans and prices; the only silver plan of an area is its benchmark; half a cent rounds up', async () => {
    const silver = year.sold('51059').flatMap(({ plan_id, metal_level }) => (metal_level === 'Silver' ? plan_id : []))
    const compared = await answerTo(comparePath(silver.sort().slice(0, 3), '51059', [40]))
    expect(compared).toEqual(year.compare(silver.slice(0, 3), '51059', [40]))
    const virginia = year.states().find(({ state }) => state === 'VA')
    expect(await answerTo('/api/states?year=2015')).toEqual([virginia])
    const benchmark = [{ state: 'VA', rating_areas: 2, benchmark: '175.51' }]
    expect(await answerTo('/api/benchmarks?age=40&year=2015')).toEqual(benchmark)
    expect(await answerTo('/api/benchmarks?age=41&year=2015')).toEqual([])
    const { plan_id } = year.sold('51059')[0] as Plan
    const plan = await answerTo(`/api/plans/${plan_id}?year=2015`)
    expect(plan).toEqual({ ...year.plan(plan_id), plan_year: 2015, benefits: { standard: { specialist: '$2,015' } } })
  })

  test('plan-names: any part of a name, in any case, across a line break; at most twenty names', async () => {
    const parts = [
      'silver',
      'GOLD',
      'healthy1engage',
      'Foursight \n3500',
      'plan\n',
      ', a Multi',
      's« p',
      '($',
      '.*',
      "'s",
      ' 80',
      'zzzz',
    ]
    const answers = new Map<string, unknown[]>()
    await each(parts, async (q) => {
      const names = await answerTo(`/api/plans/names?${new URLSearchParams({ q })}`)
      expect(names, JSON.stringify(q)).toEqual(year.planNames(q))
      answers.set(q, names as unknown[])
    })
    expect(parts.map((q) => answers.get(q)?.length)).toEqual([20, 20, 20, 1, 1, 20, 4, 0, 0, 5, 20, 0])
  })

  test('every route answers a second request from memory, byte for byte, without the origin', async () => {
    const compared = year
      .sold('47037')
      .slice(0, 4)
      .map(({ plan_id }) => plan_id)
    const paths = {
      states: '/api/states',
      'metal-levels': '/api/reference/metal-levels',
      'poverty-guidelines': '/api/reference/poverty-guidelines?year=2013',
      'counties-by-zip': '/api/counties/by/zip/37201',
      county: '/api/counties/47037',
      issuers: '/api/states/TN/issuers',
      'plan-search': '/api/plans/search?county=47037&ages=34,32,5',
      plan: `/api/plans/${compared[0]}`,
      'plan-compare': comparePath(compared, '47037', [34]),
      'county-benchmark': '/api/counties/47037/benchmark?age=41',
      'county-stats': '/api/counties/47037/stats?age=41',
      'state-lowest': '/api/states/TN/lowest?age=41',
      'national-benchmark': '/api/benchmarks?age=41',
      'plan-names': '/api/plans/names?q=tennessee',
    }
    expect((await app.purge({ all: true })).status).toBe(200)
    const first = await Promise.all(Object.values(paths).map((path) => app.get(path, plain)))
    for (const { cacheStatus } of first) expect(cacheStatus).toBe('onramp; fwd=uri-miss; stored; detail=origin')
    const asked = await originQueries(app)
    expect([...asked.keys()].sort()).toEqual(Object.keys(paths).sort())
    for (const [i, path] of Object.values(paths).entries()) {
      const again = await app.get(path, plain)
      expect(again.cacheStatus, path).toMatch(fromMemory)
      expect([again.status, again.text], path).toEqual([200, first[i]?.text])
      expect(again.headers.get('etag'), path).toBe(first[i]?.headers.get('etag'))
    }
    expect(await originQueries(app)).toEqual(asked)
  })
}

/**
 * Copies the plans of Virginia to the next year, under the same ids, with four rates and one benefit each. No answer about 2014 may
 * show a trace of them.
 */
const aYearLater = `
  insert into plans (plan_id, plan_year, state, issuer_id, plan_name, metal_level, plan_type, child_only_offering,
      network_url, brochure_url, sbc_url, formulary_url)
    select plan_id, 2015, state, issuer_id, plan_name, metal_level, plan_type, child_only_offering,
      network_url, brochure_url, sbc_url, formulary_url
    from plans where state = 'VA';
  insert into plan_county (plan_id, plan_year, county_fips)
    select plan_id, 2015, county_fips from plan_county join plans using (plan_id, plan_year) where state = 'VA';
  insert into plan_benefits (plan_id, plan_year, variant, benefit, cost_text)
    select plan_id, 2015, 'standard', 'specialist', '$2,015' from plans where plan_year = 2015;
  insert into rates (plan_id, plan_year, age, rating_area, premium)
    select plan_id, 2015, 40, rating_area, premium
    from (
      select plan_id, row_number() over (order by plan_id) as place
      from plans where plan_year = 2015 and metal_level = 'Silver'
    ) silver
    join (values (1, 10, 300), (2, 10, 100), (3, 10, 200), (4, 2, 151.01)) prices (place, rating_area, premium) using (place);`

const fromMemory = /^onramp; hit; ttl=\d+; detail=memory$/
/** Answers are compared uncompressed. */
const plain = { 'Accept-Encoding': 'identity' }

/** Resolves to the number of statements, by route. */
async function originQueries({ admin }: Running): Promise<Map<string, number>> {
  const { text } = await admin('/metrics')
  const lines = text.matchAll(/^onramp_origin_queries_total\{(?=.*\broute="([^"]+)").*\} (\d+)$/gm)
  return new Map([...lines].map(([, route, count]) => [route as string, Number(count)]))
}

/** Runs `check` on all items, four at a time. */
async function each<T>(all: readonly T[], check: (one: T) => Promise<void>): Promise<void> {
  const waiting = all.values()
  const worker = async () => {
    for (const one of waiting) await check(one)
  }
  await Promise.all([worker(), worker(), worker(), worker()])
}

function asTexts(values: object): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)]))
}

function onServer(...statements: string[]): Promise<void> {
  return connected(inject('superuserUrl'), async (client) => {
    for (const statement of statements) await client.query(statement)
  })
}

async function connected(url: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
