import { readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { readConfig } from '../proxy/config/load.ts'
import { stepsOf } from '../proxy/example/marketplace.ts'
import { type Running, startApp } from './live.ts'
import { charged, dollars, exact } from './marketplace-2014.ts'

// The expected numbers are those of the real first year, from its published files. The seed says which of them it copies exactly,
// and which only in shape.

let app: Running
let database: pg.Client
beforeAll(async () => {
  database = await connect(inject('superuserUrl'))
  app = await startApp(inject('databaseUrl'))
})
afterAll(async () => {
  await app?.stop()
  await database?.end()
})

test('the marketplace has the size of the first year', async () => {
  const size = await one(`
    select (select count(distinct state)::int from plans) as states,
      (select count(*)::int from plans) as plans,
      (select count(*)::int from plan_county) as sold,
      (select count(distinct (state, rating_area))::int from counties) as areas,
      (select count(distinct (p.state, r.rating_area))::int from rates r join plans p using (plan_id)) as areas_priced,
      (select count(distinct county_fips)::int from plan_county) as counties,
      (select count(*)::int from issuers) as issuers`)
  expect(size).toEqual({
    states: 36,
    plans: 2890,
    sold: 81_013,
    areas: 407,
    areas_priced: 407,
    counties: 2589,
    issuers: 191,
  })
})

test('a county has 2 plans at least, 29 at the median and 169 at most', async () => {
  const supply = await one(`
    select min(plans)::int as least, percentile_disc(0.5) within group (order by plans)::int as middle, max(plans)::int as most
    from (select count(*) as plans from plan_county group by county_fips) counted`)
  expect(supply).toEqual({ least: 2, middle: 29, most: 169 })
})

test('each metal has its share of the plans sold in the first year, within 3 %', async () => {
  const sold = await one(`
    select json_object_agg(metal_level, places) as metals
    from (select metal_level, count(*) as places from plan_county join plans using (plan_id) group by metal_level) counted`)
  const real = { Silver: 26_773, Bronze: 23_479, Gold: 20_828, Catastrophic: 6555, Platinum: 3378 }
  for (const [metal, places] of Object.entries(real)) {
    const ratio = sold.metals[metal] / places
    expect(ratio, metal).toBeGreaterThan(0.97)
    expect(ratio, metal).toBeLessThan(1.03)
  }
  expect(Object.keys(sold.metals).sort()).toEqual(Object.keys(real).sort())
})

test('a plan has a rate for all 65 ages wherever it is sold, and the total is that of the first year, within 3 %', async () => {
  const { rates, priced, incomplete, unpriced } = await one(`
    with priced as materialized (
      select plan_id, rating_area, count(distinct age) filter (where age between 0 and 64 and premium > 0) as ages, count(*)
      from rates
      group by plan_id, rating_area
    )
    select sum(count)::int as rates, count(*)::int as priced, count(*) filter (where ages <> 65 or count <> 65)::int as incomplete,
      (
        select count(*)::int
        from plan_county s
        join counties c using (county_fips)
        left join priced p on p.plan_id = s.plan_id and p.rating_area = c.rating_area
        where p.plan_id is null
      ) as unpriced
    from priced`)
  expect([incomplete, unpriced]).toEqual([0, 0])
  expect(rates).toBe(priced * 65)
  expect(Math.abs(rates / (17_483 * 65) - 1)).toBeLessThan(0.03)
})

test('a plan is sold in counties of its own state only, and by an issuer of that state', async () => {
  const { strays, strangers } = await one(`
    select
      (select count(*)::int from plan_county join plans p using (plan_id) join counties c using (county_fips)
        where p.state <> c.state) as strays,
      (select count(*)::int from plans p join issuers i using (issuer_id) where p.state <> i.state) as strangers`)
  expect([strays, strangers]).toEqual([0, 0])
})

test('names of plans are as hard to quote as those of the first year', async () => {
  const hard = await one(`
    select bool_or(plan_name like '%,%') as comma, bool_or(plan_name like '%"%') as quote,
      bool_or(plan_name like '%''%') as apostrophe, bool_or(strpos(plan_name, chr(10)) > 0) as "line break",
      bool_or(octet_length(plan_name) > length(plan_name)) as "beyond ASCII"
    from plans`)
  expect(hard).toEqual({ comma: true, quote: true, apostrophe: true, 'line break': true, 'beyond ASCII': true })
})

test('one ZIP in four lies in several counties, six at most', async () => {
  const zips = await one(`
    select count(*)::int as zips, count(*) filter (where counties > 1)::int as several, max(counties)::int as most
    from (select count(*) as counties from zip_county group by zip) counted`)
  expect(zips).toEqual({ zips: 38_804, several: 9580, most: 6 })
})

test('the top 1 % of the counties have 30.6 % of the people who chose a plan, the top 10 % have 71.3 %, within a point', async () => {
  const { top1, top10 } = await one(`
    select 100.0 * sum(plan_selections) filter (where rank <= 26) / sum(plan_selections) as top1,
      100.0 * sum(plan_selections) filter (where rank <= 259) / sum(plan_selections) as top10
    from (select plan_selections, row_number() over (order by plan_selections desc) as rank from counties) ranked`)
  expect(Math.abs(top1 - 30.6)).toBeLessThan(1)
  expect(Math.abs(top10 - 71.3)).toBeLessThan(1)
})

// All live tests read the first load: a test that leaves a row changed fails this one too.
test('a second load, in another locale and with other query plans, is the same to the last row', async () => {
  const again = 'marketplace_again'
  await database.query(`drop database if exists ${again} with (force)`)
  // Before 15 a database has no ICU locale, and then the second load differs from the first in its plans only.
  const version = (await one(`select current_setting('server_version_num')::int as version`)).version
  const locale = version >= 150_000 ? `locale_provider icu icu_locale 'sv-SE'` : ''
  await database.query(`create database ${again} template template0 encoding 'UTF8' ${locale}`)
  const url = new URL(inject('superuserUrl'))
  url.pathname = again
  const second = await connect(url.href)
  try {
    const sql = (name: string) => readFileSync(new URL(`../config/marketplace/${name}.sql`, import.meta.url), 'utf8')
    await second.query(
      `set enable_hashagg = off; set work_mem = '2MB'; set max_parallel_workers_per_gather = 0; set timezone = 'Asia/Kathmandu'`,
    )
    await second.query(sql('schema'))
    for (const [, step] of stepsOf(sql('seed'))) await second.query(step)
    const [first, repeated] = await Promise.all([fingerprints(database), fingerprints(second)])
    expect(repeated).toEqual(first)
    expect(Object.keys(first)).toHaveLength(11)
  } finally {
    await second.end()
    await database.query(`drop database ${again} with (force)`)
  }
})

const examples = {
  states: '/api/states',
  'metal-levels': '/api/reference/metal-levels',
  'poverty-guidelines': '/api/reference/poverty-guidelines',
  'counties-by-zip': '/api/counties/by/zip/22030',
  county: '/api/counties/51059',
  issuers: '/api/states/VA/issuers',
  'plan-search': '/api/plans/search?county=51059&ages=34,32,5&metal=Silver&sort=premium&limit=10&offset=0',
  plan: '/api/plans/A',
  'plan-compare': '/api/plans/compare?ids=A,B,C,D&county=51059&ages=34',
  'county-benchmark': '/api/counties/51059/benchmark?age=40',
  'county-stats': '/api/counties/51059/stats?age=40',
  'state-lowest': '/api/states/VA/lowest?age=40',
  'national-benchmark': '/api/benchmarks?age=40',
  'plan-names': '/api/plans/names?q=silver',
}

test('every configured route has an example', () => {
  const config = readConfig(new URL('../config/onramp.yaml', import.meta.url).pathname, {})
  expect(Object.keys(examples).sort()).toEqual(config.routes.map(({ name }) => name).sort())
})

test.for(Object.entries(examples))('%s has rows for %s', async ([, example]) => {
  const { rows } = await database.query<{ plan_id: string }>(
    `select plan_id from plan_county where county_fips = '51059' order by plan_id limit 4`,
  )
  const ids = rows.map(({ plan_id }) => plan_id)
  const path = example.replace('A,B,C,D', ids.join()).replace(/A$/, ids[0] as string)
  const { status, json } = await app.get(path)
  expect(status).toBe(200)
  const answer = json() as object
  expect(Object.keys(answer).length).toBeGreaterThan(0)
  if (path.includes('compare')) expect(answer).toHaveLength(4)
})

test('a search by POST hits the entry that GET stored', async () => {
  const got = await app.get(examples['plan-search'])
  const body = { county: '51059', ages: [34, 32, 5], metal: 'Silver', sort: 'premium', limit: 10, offset: 0 }
  const posted = await app.post('/api/plans/search', body)
  expect(posted.cacheStatus).toMatch(/^onramp; hit; ttl=\d+; detail=memory$/)
  expect(posted.text).toBe(got.text)
})

test.for([
  { ages: [34, 32, 5] },
  { ages: [0] },
  { ages: [20, 19, 3, 3, 1] },
  { ages: [66, 120] },
  { ages: [45, 43, 18, 12, 7, 7] },
])('a household of $ages pays the sum of the premiums of its charged members', async ({ ages }) => {
  for (const county of ['51059', await countyWith('max'), await countyWith('min')]) {
    const { text } = await app.get(`/api/plans/search?county=${county}&ages=${ages}&limit=200`)
    const found = exact(text) as { plan_id: string; premium: string }[]
    expect(found.length).toBeGreaterThan(1)
    const { rows } = await database.query<{ plan_id: string; age: number; cents: number }>(
      `select plan_id, age, (premium * 100)::int as cents
       from counties c join plan_county s using (county_fips) join rates r using (plan_id, plan_year, rating_area)
       where county_fips = $1`,
      [county],
    )
    const cents = new Map(rows.map((rate) => [`${rate.plan_id} ${rate.age}`, rate.cents]))
    const expected = new Map(
      rows.map(({ plan_id }) => {
        const each = charged(ages).map((age) => cents.get(`${plan_id} ${Math.min(age, 64)}`) ?? Number.NaN)
        return [plan_id, each.reduce((sum, price) => sum + price)]
      }),
    )
    expect(new Map(found.map(({ plan_id, premium }) => [plan_id, premium]))).toEqual(
      new Map([...expected].map(([plan_id, sum]) => [plan_id, dollars(sum)])),
    )
    const inOrder = found.map(({ plan_id }) => expected.get(plan_id) as number)
    expect(inOrder).toEqual(inOrder.toSorted((a, b) => a - b))
  }
})

test('the table applications is empty', async () => {
  expect(await one('select count(*)::int as applications from applications')).toEqual({ applications: 0 })
})

// A server given by DATABASE_URL is used as its superuser (see servers.ts), who may read everything.
if (process.env.DATABASE_URL)
  test('a given server is read as its superuser, so that applications is not protected there', () => {
    expect(inject('databaseUrl')).toBe(inject('superuserUrl'))
  })
else
  test('the role that onramp reads with may read every table but applications, and change none', async () => {
    const reader = await connect(inject('databaseUrl'))
    try {
      const { rows } = await reader.query<{ table: string; reads: boolean; writes: boolean }>(
        `select tablename as table, has_table_privilege(tablename, 'select') as reads,
           has_table_privilege(tablename, 'insert, update, delete, truncate') as writes
         from pg_tables where schemaname = 'public'`,
      )
      expect(rows.filter(({ reads }) => !reads).map(({ table }) => table)).toEqual(['applications'])
      expect(rows.filter(({ writes }) => writes)).toEqual([])
      await expect(reader.query('select from applications')).rejects.toThrow(/permission denied/)
    } finally {
      await reader.end()
    }
  })

async function countyWith(extreme: 'min' | 'max'): Promise<string> {
  const { county_fips } = await one(
    `select county_fips from plan_county group by county_fips order by count(*) ${extreme === 'min' ? 'asc' : 'desc'}, 1 limit 1`,
  )
  return county_fips
}

/** Resolves to the number of rows of each table, and to a sum of their hashes, which does not depend on their order. */
async function fingerprints(client: pg.Client): Promise<Record<string, string>> {
  const { rows } = await client.query<{ table: string }>(
    `select tablename as table from pg_tables where schemaname = 'public' order by tablename collate "C"`,
  )
  const prints: Record<string, string> = {}
  for (const { table } of rows) {
    const sum = `select count(*) || ' ' || coalesce(sum(hashtextextended(t::text collate "C", 0)), 0) as print from ${table} t`
    prints[table] = (await client.query<{ print: string }>(sum)).rows[0]?.print as string
  }
  return prints
}

// biome-ignore lint/suspicious/noExplicitAny: a row is whatever the SQL beside it says.
async function one(sql: string): Promise<any> {
  const { rows } = await database.query(sql)
  expect(rows).toHaveLength(1)
  return rows[0]
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}
