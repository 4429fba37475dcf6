import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type pg from 'pg'

export interface County {
  county_fips: string
  county_name: string
  state: string | null
  rating_area: number | null
  population: number | null
}

export interface Plan {
  plan_id: string
  state: string
  issuer_id: string
  plan_name: string
  metal_level: string
  plan_type: string
  child_only_offering: string
  network_url: string | null
  brochure_url: string | null
  sbc_url: string | null
  formulary_url: string | null
}

interface Issuer {
  issuer_id: string
  issuer_name: string
  state: string
  phone_local: string | null
  phone_toll_free: string | null
  phone_tty: string | null
}

/** A whole number of cents. No price is ever a float here. */
type Cents = number

export interface Search {
  county: string
  ages: number[]
  metal?: string
  sort?: 'premium' | 'name' | 'metal'
  limit?: number
  offset?: number
}

/** In their listed order. The published files do not describe the levels: the words are this test's own. */
export const metals = [
  { metal_level: 'Bronze', actuarial_value: '0.60', description: 'six tenths' },
  { metal_level: 'Silver', actuarial_value: '0.70', description: 'seven tenths' },
  { metal_level: 'Gold', actuarial_value: '0.80', description: 'eight tenths' },
  { metal_level: 'Platinum', actuarial_value: '0.90', description: 'nine tenths' },
  { metal_level: 'Catastrophic', actuarial_value: null, description: 'none set by law' },
]

/**
 * The published first year in memory, and the expected answer of each route of config/onramp.yaml.
 *
 * The answers are computed from the files in the plainest way, without SQL and without the project's own code. Numbers with decimals
 * are strings, spelled as PostgreSQL spells them (see {@link exact}).
 *
 * The premium at ages 0-20, 21, 27, 30, 40, 50 and 60 is the published one. At other ages it is that of age 21 times the factor of the
 * age, to the nearest cent, half a cent up. Plans for adults only have no published premium below 21, plans for children only none from
 * 21 on: they have no rate at these ages, although a factor exists for the former.
 */
export class FirstYear {
  readonly counties = new Map<string, County>()
  readonly issuers = new Map<string, Issuer>()
  readonly plans = new Map<string, Plan>()
  readonly zips = new Map<string, County[]>()
  readonly guidelines: { year: number; region: string; first_person: number; each_additional: number }[]
  readonly #selections = new Map<string, number | null>()
  readonly #sold = new Map<string, Plan[]>()
  readonly #benefits = new Map<string, Map<string, Record<string, string>>>()
  readonly #curve = new Map<string, number[]>()
  readonly #premiums = new Map<string, Map<number, (Cents | null)[]>>()

  /** Reads the files in `folder`, which takes a second. */
  constructor(folder: URL) {
    const read = <C extends string>(name: string, ...columns: C[]) =>
      readCsv(gunzipSync(readFileSync(new URL(`${name}.csv.gz`, folder))).toString('utf8'), columns)

    const places = read(
      'counties',
      'county_fips',
      'county_name',
      'state',
      'rating_area_2014_ffm',
      'pop_2014',
      'plan_selections_2014',
    )
    for (const { county_fips, county_name, state, ...of } of places) {
      const rating_area = numberOrNull(of.rating_area_2014_ffm)
      const population = numberOrNull(of.pop_2014)
      this.counties.set(county_fips, { county_fips, county_name, state: state || null, rating_area, population })
      this.#selections.set(county_fips, numberOrNull(of.plan_selections_2014))
    }
    for (const { zip, county_fips } of read('zip_county', 'zip', 'county_fips'))
      push(this.zips, zip, found(this.counties, county_fips))
    for (const row of read('issuers', 'issuer_id', 'issuer_name', 'state', ...phones))
      this.issuers.set(row.issuer_id, { ...row, ...orNull(row, phones) })
    for (const row of read('plans', 'plan_id', 'state', 'issuer_id', 'plan_name', ...kinds, ...urls))
      this.plans.set(row.plan_id, { ...row, ...orNull(row, urls) })
    for (const { plan_id, county_fips } of read('plan_county', 'plan_id', 'county_fips'))
      push(this.#sold, county_fips, found(this.plans, plan_id))
    for (const row of read('plan_benefits', 'plan_id', 'variant', 'benefit', 'cost_text')) {
      const variants = upsert(this.#benefits, row.plan_id, () => new Map())
      upsert(variants, row.variant, () => ({}))[row.benefit] = row.cost_text
    }
    this.guidelines = read('federal_poverty_guidelines', 'year', 'region', 'first_person', 'each_additional').map(
      ({ year, region, first_person, each_additional }) => ({
        year: Number(year),
        region,
        first_person: Number(first_person),
        each_additional: Number(each_additional),
      }),
    )
    for (const { curve, age, factor } of read('age_curve_2014', 'curve', 'age', 'factor'))
      upsert(this.#curve, curve, () => [])[Number(age)] = fixed(factor, 3)

    const published = new Map<string, Map<number, Map<string, Cents>>>()
    for (const row of read('rates_published', 'plan_id', 'rating_area', 'age', 'premium')) {
      const areas = upsert(published, row.plan_id, () => new Map())
      upsert(areas, Number(row.rating_area), () => new Map()).set(row.age, fixed(row.premium, 2))
    }
    for (const [plan_id, areas] of published) {
      const { state } = found(this.plans, plan_id)
      const factors = found(this.#curve, this.#curve.has(state) ? state : 'federal')
      const premiums = new Map([...areas].map(([area, prices]) => [area, allAges(prices, factors)]))
      this.#premiums.set(plan_id, premiums)
    }
  }

  /** The plans sold in a county. */
  sold(fips: string): Plan[] {
    return this.#sold.get(fips) ?? []
  }

  /** The counties with at least one plan, by their codes. */
  get marketplaceCounties(): County[] {
    return [...this.counties.values()].filter(({ county_fips }) => this.#sold.has(county_fips)).sort(by('county_fips'))
  }

  /** The plan's premium for one person in a rating area; null without a rate. Nobody is older than 64. */
  #premium(plan_id: string, area: number | null, age: number): Cents | null {
    return this.#premiums.get(plan_id)?.get(area ?? 0)?.[Math.min(age, 64)] ?? null
  }

  /** The premium of a household; null if a charged member has no rate. */
  #household(plan_id: string, area: number | null, ages: number[]): Cents | null {
    const each = charged(ages).map((age) => this.#premium(plan_id, area, age))
    return each.reduce((sum, cents) => (sum === null || cents === null ? null : sum + cents), 0)
  }

  /** The plans a person of `age` can buy in a county, cheapest first. */
  #offers({ county_fips, rating_area }: County, age: number): { plan: Plan; cents: Cents }[] {
    return this.sold(county_fips)
      .flatMap((plan) => {
        const cents = this.#premium(plan.plan_id, rating_area, age)
        return cents === null ? [] : [{ plan, cents }]
      })
      .sort((a, b) => a.cents - b.cents || bytewise(a.plan.plan_id, b.plan.plan_id))
  }

  states() {
    const states = [...new Set([...this.plans.values()].map(({ state }) => state))].sort(bytewise)
    return states.map((state) => {
      const plans = [...this.plans.values()].filter((plan) => plan.state === state)
      const counties = this.marketplaceCounties.filter((county) => county.state === state)
      const issuers = new Set(plans.map(({ issuer_id }) => issuer_id))
      return { state, plans: plans.length, issuers: issuers.size, counties: counties.length }
    })
  }

  povertyGuidelines(year: number) {
    return this.guidelines.filter((row) => row.year === year).sort(by('region'))
  }

  countiesByZip(zip: string) {
    return (this.zips.get(zip) ?? [])
      .map(({ county_fips, county_name, state, rating_area }) => ({ county_fips, county_name, state, rating_area }))
      .sort(by('county_fips'))
  }

  issuersOf(state: string) {
    return [...this.issuers.values()]
      .filter((issuer) => issuer.state === state)
      .map((issuer) => ({
        ...issuer,
        plans: [...this.plans.values()].filter(({ issuer_id }) => issuer_id === issuer.issuer_id).length,
      }))
      .filter(({ plans }) => plans > 0)
      .sort((a, b) => bytewise(a.issuer_name, b.issuer_name) || bytewise(a.issuer_id, b.issuer_id))
  }

  search({ county, ages, metal, sort = 'premium', limit = 10, offset = 0 }: Search) {
    const area = this.counties.get(county)?.rating_area ?? null
    const priced = this.sold(county)
      .filter((plan) => metal === undefined || plan.metal_level === metal)
      .flatMap((plan) => {
        const cents = this.#household(plan.plan_id, area, ages)
        return cents === null ? [] : [{ plan, cents }]
      })
    priced.sort(
      (a, b) =>
        (sort === 'name' ? bytewise(a.plan.plan_name, b.plan.plan_name) : 0) ||
        (sort === 'metal' ? rank(a.plan) - rank(b.plan) : 0) ||
        a.cents - b.cents ||
        bytewise(a.plan.plan_id, b.plan.plan_id),
    )
    return priced.slice(offset, offset + limit).map(({ plan, cents }) => ({
      plan_id: plan.plan_id,
      plan_name: plan.plan_name,
      metal_level: plan.metal_level,
      plan_type: plan.plan_type,
      child_only_offering: plan.child_only_offering,
      issuer_id: plan.issuer_id,
      issuer_name: found(this.issuers, plan.issuer_id).issuer_name,
      premium: dollars(cents),
      total: priced.length,
    }))
  }

  plan(plan_id: string) {
    const plan = found(this.plans, plan_id)
    const { issuer_name } = found(this.issuers, plan.issuer_id)
    return { ...plan, plan_year: 2014, issuer_name, benefits: Object.fromEntries(found(this.#benefits, plan_id)) }
  }

  /** Skips unknown ids. */
  compare(ids: string[], county: string, ages: number[]) {
    const area = this.counties.get(county)?.rating_area ?? null
    const sold = new Set(this.sold(county).map(({ plan_id }) => plan_id))
    return [...new Set(ids)].sort(bytewise).flatMap((plan_id) => {
      const plan = this.plans.get(plan_id)
      if (plan === undefined) return []
      const cents = sold.has(plan_id) ? this.#household(plan_id, area, ages) : null
      return {
        plan_id,
        plan_name: plan.plan_name,
        metal_level: plan.metal_level,
        plan_type: plan.plan_type,
        issuer_name: found(this.issuers, plan.issuer_id).issuer_name,
        premium: dollars(cents),
        benefits: found(found(this.#benefits, plan_id), 'standard'),
      }
    })
  }

  /** The second-lowest silver plan, or the only one; undefined without any. */
  benchmark(fips: string, age: number) {
    const county = found(this.counties, fips)
    const silver = this.#offers(county, age).filter(({ plan }) => plan.metal_level === 'Silver')
    const offer = silver[1] ?? silver[0]
    if (offer === undefined) return undefined
    const { plan_id, plan_name } = offer.plan
    return {
      county_fips: fips,
      county_name: county.county_name,
      age,
      plan_id,
      plan_name,
      premium: dollars(offer.cents),
    }
  }

  stats(fips: string, age: number) {
    const offers = this.#offers(found(this.counties, fips), age)
    return metals.flatMap(({ metal_level }) => {
      const of = offers.filter(({ plan }) => plan.metal_level === metal_level)
      const prices = of.map(({ cents }) => cents)
      if (prices.length === 0) return []
      const issuers = new Set(of.map(({ plan }) => plan.issuer_id))
      const [lowest, highest] = [Math.min(...prices), Math.max(...prices)]
      const ends = { lowest: dollars(lowest), median: dollars(median(prices)), highest: dollars(highest) }
      return { metal_level, plans: prices.length, issuers: issuers.size, ...ends }
    })
  }

  stateLowest(state: string, age: number) {
    const counties = [...this.counties.values()].filter((county) => county.state === state).sort(by('county_fips'))
    return counties.map((county) => {
      const offers = this.#offers(county, age)
      const silver = offers.filter(({ plan }) => plan.metal_level === 'Silver')
      return {
        county_fips: county.county_fips,
        county_name: county.county_name,
        plans: offers.length,
        issuers: new Set(offers.map(({ plan }) => plan.issuer_id)).size,
        lowest: dollars(offers[0]?.cents ?? null),
        lowest_silver: dollars(silver[0]?.cents ?? null),
      }
    })
  }

  /** By state, the average over its rating areas of the second-lowest (or only) silver premium, to the nearest cent. */
  nationalBenchmark(age: number) {
    const prices = new Map<string, Map<number, Cents[]>>()
    for (const { plan_id, state, metal_level } of this.plans.values()) {
      if (metal_level !== 'Silver') continue
      for (const area of found(this.#premiums, plan_id).keys()) {
        const cents = this.#premium(plan_id, area, age)
        if (cents !== null)
          push(
            upsert(prices, state, () => new Map()),
            area,
            cents,
          )
      }
    }
    return [...prices.keys()].sort(bytewise).map((state) => {
      const benchmarks = [...found(prices, state).values()].map((area) => {
        const [lowest, second] = area.sort((a, b) => a - b)
        return second ?? (lowest as Cents)
      })
      const sum = benchmarks.reduce((a, b) => a + b)
      return { state, rating_areas: benchmarks.length, benchmark: dollars(nearest(sum, benchmarks.length)) }
    })
  }

  planNames(q: string) {
    return [...this.plans.values()]
      .filter(({ plan_name }) => plan_name.toLowerCase().includes(q.toLowerCase()))
      .sort((a, b) => bytewise(a.plan_name, b.plan_name) || bytewise(a.plan_id, b.plan_id))
      .slice(0, 20)
      .map(({ plan_id, plan_name, issuer_id, state }) => {
        return { plan_id, plan_name, issuer_name: found(this.issuers, issuer_id).issuer_name, state }
      })
  }

  /** Fills the tables of config/marketplace/schema.sql, which are empty, with the first year. */
  async load(client: pg.Client): Promise<void> {
    const insert = async (table: string, columns: string, types: string, rows: unknown[]) => {
      for (let i = 0; i < rows.length; i += 20_000) {
        const batch = JSON.stringify(rows.slice(i, i + 20_000))
        const from = `json_to_recordset($1) as row (${types})`
        await client.query(`insert into ${table} (${columns}) select ${columns} from ${from}`, [batch])
      }
    }
    const insertTexts = (table: string, columns: string[], rows: unknown[]) =>
      insert(table, columns.join(', '), columns.map((column) => `${column} text`).join(', '), rows)

    await insert(
      'metal_levels',
      'metal_level, sort_order, actuarial_value, description',
      'metal_level text, sort_order int, actuarial_value numeric, description text',
      metals.map((metal, i) => ({ ...metal, sort_order: i + 1 })),
    )
    await insert(
      'poverty_guidelines',
      'year, region, first_person, each_additional',
      'year int, region text, first_person int, each_additional int',
      this.guidelines,
    )
    await insert(
      'age_curve',
      'curve, age, factor',
      'curve text, age int, factor numeric',
      [...this.#curve].flatMap(([curve, factors]) =>
        factors.map((factor, age) => ({ curve, age, factor: factor / 1000 })),
      ),
    )
    await insert(
      'counties',
      'county_fips, county_name, state, rating_area, population, plan_selections',
      'county_fips text, county_name text, state text, rating_area int, population int, plan_selections int',
      [...this.counties.values()].map((county) => ({
        ...county,
        plan_selections: this.#selections.get(county.county_fips),
      })),
    )
    await insertTexts(
      'zip_county',
      ['zip', 'county_fips'],
      [...this.zips].flatMap(([zip, counties]) => counties.map(({ county_fips }) => ({ zip, county_fips }))),
    )
    await insertTexts('issuers', ['issuer_id', 'issuer_name', 'state', ...phones], [...this.issuers.values()])
    await insertTexts(
      'plans',
      ['plan_id', 'state', 'issuer_id', 'plan_name', ...kinds, ...urls],
      [...this.plans.values()],
    )
    await insertTexts(
      'plan_county',
      ['plan_id', 'county_fips'],
      [...this.#sold].flatMap(([county_fips, plans]) => plans.map(({ plan_id }) => ({ plan_id, county_fips }))),
    )
    await insert(
      'plan_benefits',
      'plan_id, plan_year, variant, benefit, cost_text',
      'plan_id text, plan_year int, variant text, benefit text, cost_text text',
      [...this.#benefits].flatMap(([plan_id, variants]) =>
        [...variants].flatMap(([variant, costs]) =>
          Object.entries(costs).map(([benefit, cost_text]) => ({
            plan_id,
            plan_year: 2014,
            variant,
            benefit,
            cost_text,
          })),
        ),
      ),
    )
    await client.query('alter table rates drop constraint rates_pkey')
    await client.query(
      `insert into rates (plan_id, age, rating_area, premium)
       select plan_id, place - 1, rating_area, cents * 0.01
       from json_to_recordset($1) as priced (plan_id text, rating_area int, premiums int[])
       cross join unnest(premiums) with ordinality as each (cents, place)
       where cents is not null`,
      [
        JSON.stringify(
          [...this.#premiums].flatMap(([plan_id, areas]) =>
            [...areas].map(([rating_area, premiums]) => ({ plan_id, rating_area, premiums })),
          ),
        ),
      ],
    )
    await client.query('alter table rates add primary key (plan_id, plan_year, age, rating_area)')
    await client.query('analyze')
  }
}

const phones = ['phone_local', 'phone_toll_free', 'phone_tty'] as const
const kinds = ['metal_level', 'plan_type', 'child_only_offering'] as const
const urls = ['network_url', 'brochure_url', 'sbc_url', 'formulary_url'] as const

/** The charged ages of a household: all from 21 on, and the three oldest below. */
export function charged(ages: readonly number[]): number[] {
  const adults = ages.filter((age) => age >= 21)
  const young = ages.filter((age) => age < 21).sort((a, b) => b - a)
  return [...adults, ...young.slice(0, 3)]
}

/** Parses `json`; a number with a decimal point stays text: `10.50` is neither `10.5` nor a float. */
export function exact(json: string): unknown {
  return JSON.parse(json, ((_name: string, value: unknown, { source }: { source?: string }) =>
    typeof value === 'number' && source?.includes('.') ? source : value) as Parameters<typeof JSON.parse>[1])
}

/** Spells whole cents in dollars, as PostgreSQL does. */
export function dollars<T extends Cents | null>(cents: T): T extends null ? null : string
export function dollars(cents: Cents | null): string | null {
  return cents === null ? null : `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, '0')}`
}

/** Compares by bytes, as `collate "C"` does. */
export function bytewise(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** About `count` items of `all`, evenly spread, with the first and the last. */
export function evenly<T>(all: readonly T[], count: number): T[] {
  const last = all.length - 1
  const places = Array.from({ length: count }, (_, i) => Math.round((i * last) / (count - 1)))
  return [...new Set(places)].map((place) => all[place] as T)
}

/** The premiums for ages 0 to 64 out of those published for one plan in one area. */
function allAges(published: Map<string, Cents>, factors: readonly number[]): (Cents | null)[] {
  return factors.map((factor, age) => {
    if (age <= 20) return published.get('0-20') ?? null
    const base = published.get('21')
    return published.get(String(age)) ?? (base === undefined ? null : nearest(base * factor, 1000))
  })
}

/** `dividend / divisor` as the nearest whole number, a half up. All of them whole and not negative. */
function nearest(dividend: number, divisor: number): number {
  return Math.floor((2 * dividend + divisor) / (2 * divisor))
}

function median(prices: readonly Cents[]): Cents {
  const sorted = [...prices].sort((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  const upper = sorted[half] as Cents
  return sorted.length % 2 === 1 ? upper : nearest((sorted[half - 1] as Cents) + upper, 2)
}

function rank(plan: Plan): number {
  return metals.findIndex(({ metal_level }) => metal_level === plan.metal_level)
}

/** A decimal number as a whole number of its `digits`-th places: `fixed('283.7', 2)` is 28370. Throws if it has more of them. */
function fixed(text: string, digits: number): number {
  const [, whole, fraction = ''] = /^(\d+)(?:\.(\d+))?$/.exec(text) ?? []
  if (whole === undefined || fraction.length > digits) throw new Error(`Not a number of ${digits} places: ${text}`)
  return Number(whole + fraction.padEnd(digits, '0'))
}

function numberOrNull(text: string): number | null {
  return text === '' ? null : fixed(text, 0)
}

/** `columns` of `row`, the empty ones as null: a CSV file cannot tell them apart. */
function orNull<C extends string>(row: Record<C, string>, columns: readonly C[]): Record<C, string | null> {
  return Object.fromEntries(columns.map((column) => [column, row[column] || null])) as Record<C, string | null>
}

function by<C extends string>(column: C) {
  return (a: Record<C, string>, b: Record<C, string>) => bytewise(a[column], b[column])
}

function found<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key)
  if (value === undefined) throw new Error(`The published files have no ${String(key)}.`)
  return value
}

function upsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  upsert(map, key, () => []).push(value)
}

/** Reads CSV (RFC 4180): a header line, fields in quotes with commas, line breaks and doubled quotes in them. */
function readCsv<C extends string>(text: string, columns: readonly C[]): Record<C, string>[] {
  const lines: string[][] = []
  let line: string[] = []
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    if (end === '' && line.length === 0 && plain === '') break
    line.push(quoted?.replaceAll('""', '"') ?? (plain as string))
    if (end === ',') continue
    lines.push(line)
    line = []
  }
  const [header = [], ...rows] = lines
  const places = columns.map((column) => [column, header.indexOf(column)] as const)
  for (const row of rows)
    if (row.length !== header.length) throw new Error(`A line of ${row.length} fields, not ${header.length}: ${row}`)
  return rows.map(
    (row) => Object.fromEntries(places.map(([column, place]) => [column, row[place]])) as Record<C, string>,
  )
}
