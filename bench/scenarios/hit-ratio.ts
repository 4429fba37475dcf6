import pg from 'pg'
import type { Entry } from '../../proxy/cache/entry.ts'
import type { Key } from '../../proxy/cache/key.ts'
import { type MemoryTier, memoryTier, sizeOf } from '../../proxy/cache/memory.ts'
import { routeTag, tableTag } from '../../proxy/tags.ts'
import { type Asked, bestHits } from '../belady.ts'
import { type Claim, percent, type Scenario } from '../scenario.ts'
import { search, shoppers } from '../shoppers.ts'

const mebibytes = [4, 16, 64, 256]

export const hitRatio: Scenario = {
  name: 'hit-ratio',
  question:
    'How many requests does a memory tier of a given size answer, if counties are as popular as in reality? How many could any cache of that size answer?',
  async run({ stage, isQuick, note, seed }) {
    const count = isQuick ? 100_000 : 1_000_000
    const bytesOf = await answerBytes(stage.databaseUrl)
    const ways = {
      'county and household': (next: () => { county: string; ages: number[] }) => {
        const shopper = next()
        return {
          key: search({ ...shopper, ages: [...shopper.ages].sort((a, b) => a - b), plans: [] }),
          county: shopper.county,
        }
      },
      'county and one age': (next: () => { county: string; ages: number[] }) => {
        const { county, ages } = next()
        return { key: `/api/counties/${county}/benchmark?age=${ages[0]}`, county }
      },
    }
    const rows: string[][] = []
    const series: { name: string; points: [number, number][] }[] = []
    const claims: Claim[] = []
    for (const [name, draw] of Object.entries(ways)) {
      note(`${count.toLocaleString('en-US')} requests, keyed by ${name}`)
      const { next } = shoppers(stage.popularity, seed)
      const asked = Array.from({ length: count }, () => draw(next))
      const entries = asked.map(({ key, county }) => ({
        key: key as Key,
        entry: entryOf(county, bytesOf(key, county)),
      }))
      const trace: Asked[] = entries.map(({ key, entry }) => ({ key, bytes: sizeOf(key, entry) }))
      const endless = 1 - new Set(asked.map(({ key }) => key)).size / count
      const [ours, best]: [[number, number][], [number, number][]] = [[], []]
      for (const size of mebibytes) {
        const measured =
          hitsOf(
            memoryTier(size * 1024 ** 2, () => {}),
            entries,
          ) / count
        const possible = bestHits(trace, size * 1024 ** 2) / count
        ours.push([size, measured * 100])
        best.push([size, possible * 100])
        rows.push([name, `${size} MiB`, percent(measured), percent(possible), percent(endless)])
      }
      series.push({ name: `${name}, onramp`, points: ours }, { name: `${name}, best possible`, points: best })
      const at = mebibytes.indexOf(64)
      const share = (ours[at] as [number, number])[1] / (best[at] as [number, number])[1]
      claims.push({
        id: name.replaceAll(' ', '-'),
        measure: `Hit ratio with 64 MiB, keyed by ${name}`,
        measured: `${percent((ours[at] as [number, number])[1] / 100)}, which is ${percent(share)} of the best possible`,
        value: share,
        better: 'more',
      })
    }
    return {
      claims,
      tables: [
        {
          title: `Hit ratio of ${count.toLocaleString('en-US')} requests, by size of the memory tier`,
          head: ['keyed by', 'memory', 'onramp', 'best possible', 'unlimited memory'],
          rows,
        },
      ],
      charts: [
        {
          title: 'Hit ratio by size of the memory tier',
          kind: 'lines',
          x: 'MiB of memory',
          y: 'hits in % of all requests',
          series,
        },
      ],
      notes: [
        "Only onramp's memory tier runs here. Nothing expires.",
        'The best possible cache knows all future requests (Belady). Entries count with their measured sizes, overhead included.',
      ],
    }
  },
}

function hitsOf(tier: MemoryTier, entries: { key: Key; entry: Entry }[]): number {
  let hits = 0
  for (const { key, entry } of entries) {
    if (tier.get(key) !== undefined) hits += 1
    else tier.set(key, entry)
  }
  return hits
}

/** Sizes of answers in bytes: a list of plans by the plans of its county, any other answer one row. */
async function answerBytes(databaseUrl: string): Promise<(key: string, county: string) => number> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const { rows } = await client.query<{ county: string; bytes: number }>(`
    select s.county_fips as county, (least(count(*), 10) * avg(length(row_to_json(p)::text)))::int as bytes
    from plan_county s
    join lateral (
      select plan_id, plan_name, metal_level, plan_type, child_only_offering, issuer_id, issuer_name, 123.45 as premium, 10 as total
      from plans join issuers using (issuer_id) where plan_id = s.plan_id
    ) p on true
    group by s.county_fips`)
  await client.end()
  const known = new Map(rows.map(({ county, bytes }) => [county, bytes]))
  return (key, county) => (key.includes('/plans/') ? (known.get(county) ?? 2000) : 150)
}

/** All bodies share one buffer: only their length counts. */
const bytes = Buffer.alloc(64 * 1024)
const stamp = {} as Entry['stamp']

function entryOf(county: string, length: number): Entry {
  return {
    body: bytes.subarray(0, length),
    rows: 10,
    tags: [routeTag('plan-search'), tableTag('plans'), tableTag('rates'), `county:${county}`],
    stamp,
    readAt: 0,
    readBy: 0,
    fillMs: 3,
    jitter: 0,
    etag: 'none',
  }
}
