import pg from 'pg'
import { random, weighted } from './random.ts'

/** The popularity of the counties of the example marketplace. */
export interface Popularity {
  counties: { fips: string; selections: number; plans: string[] }[]
}

/** Reads the number of plan selections of each county, and its plans. */
export async function popularity(databaseUrl: string): Promise<Popularity> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const { rows } = await client.query<Popularity['counties'][number]>(`
      select c.county_fips as fips, c.plan_selections as selections, array_agg(s.plan_id order by s.plan_id) as plans
      from counties c join plan_county s using (county_fips)
      where c.plan_selections > 0
      group by c.county_fips
      order by c.county_fips`)
    return { counties: rows }
  } finally {
    await client.end()
  }
}

/** Ages of the people who chose a plan for 2014, in percent: enrollment report of the Department of Health and Human Services. */
const buyers = [
  { from: 18, to: 25, share: 11.3 },
  { from: 26, to: 34, share: 17.2 },
  { from: 35, to: 44, share: 17.3 },
  { from: 45, to: 54, share: 22.3 },
  { from: 55, to: 64, share: 25.2 },
]
/** Sizes of households, in percent: an assumption. No result depends on its exact shape. */
const sizes = [
  { people: 1, share: 58 },
  { people: 2, share: 24 },
  { people: 3, share: 10 },
  { people: 4, share: 8 },
]

export interface Shopper {
  county: string
  ages: number[]
  plans: string[]
}

export interface Shoppers {
  next(): Shopper
  /** The next path of a shopper, most often a list of plans. */
  page(shopper: Shopper): string
}

/** Draws shoppers by the popularity of counties. The same seed draws the same shoppers in the same order. */
export function shoppers({ counties }: Popularity, seed: number): Shoppers {
  const next = random(seed)
  const county = weighted(counties, ({ selections }) => selections)
  const band = weighted(buyers, ({ share }) => share)
  const size = weighted(sizes, ({ share }) => share)
  const between = (from: number, to: number) => from + Math.floor(next() * (to - from + 1))
  return {
    next() {
      const { fips, plans } = county(next())
      const { from, to } = band(next())
      const { people } = size(next())
      const oldest = between(from, to)
      const ages = [oldest]
      if (people > 1) ages.push(Math.min(64, Math.max(18, oldest + between(-4, 4))))
      while (ages.length < people) ages.push(between(0, 17))
      return { county: fips, ages, plans }
    },
    page(shopper) {
      const at = next()
      if (at < 0.5) return search(shopper)
      if (at < 0.6) return `${search(shopper)}&metal=Silver`
      if (at < 0.8) return `/api/plans/${shopper.plans[Math.floor(next() ** 2 * shopper.plans.length)]}`
      if (at < 0.9) return `/api/counties/${shopper.county}/benchmark?age=${shopper.ages[0]}`
      return `/api/counties/${shopper.county}`
    },
  }
}

/** The path of the list of plans for a shopper's household. */
export function search({ county, ages }: Shopper): string {
  return `/api/plans/search?county=${county}&ages=${ages.join(',')}`
}

/** The paths of the lists of plans of `count` shoppers. */
export function searches(known: Popularity, seed: number, count: number): string[] {
  const { next } = shoppers(known, seed)
  return Array.from({ length: count }, () => search(next()))
}

/** Requests each of `paths` once, so that all are cached. */
export async function askOnce(url: string, paths: readonly string[]): Promise<void> {
  const wanted = [...new Set(paths)]
  const one = async () => {
    for (let next = wanted.pop(); next !== undefined; next = wanted.pop()) await (await fetch(url + next)).arrayBuffer()
  }
  await Promise.all(Array.from({ length: 16 }, one))
}
