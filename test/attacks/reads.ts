// Fresh reads: each has not been requested before.
import pg from 'pg'
import type { AttackRequest, ReadKind } from './attack.ts'

export interface Read {
  target: string
  route: string
  /** The text that identifies its key among those of its route. */
  marks: string
  /** The value of `{ages}` in a request for it. */
  ages: string
}

export class FreshReads {
  #searches = 0
  readonly #counties: string[]

  private constructor(counties: string[]) {
    this.#counties = counties
  }

  static async of(databaseUrl: string): Promise<FreshReads> {
    const database = new pg.Client({ connectionString: databaseUrl })
    await database.connect()
    const { rows } = await database.query(`select county_fips from counties where county_fips <> '51059' order by 1`)
    await database.end()
    return new FreshReads(rows.map(({ county_fips }) => String(county_fips)))
  }

  next(kind: ReadKind): Read {
    return kind === 'county' ? this.#county() : this.#search(kind === 'search' ? 3 : 50)
  }

  #search(limit: number): Read {
    this.#searches += 1
    const ages = `${Math.floor(this.#searches / 40)},${22 + (this.#searches % 40)}`
    const target = `/api/plans/search?county=51059&ages=${ages}&limit=${limit}`
    return { target, route: 'plan-search', marks: `&ages=${ages}&`, ages }
  }

  #county(): Read {
    const fips = this.#counties.shift()
    if (fips === undefined) throw new Error('Every county has been asked for.')
    return { target: `/api/counties/${fips}`, route: 'county', marks: `=${fips}`, ages: '' }
  }
}

/** `request` for `read`. */
export function madeFor(read: Read, request: AttackRequest): AttackRequest {
  const and = read.target.includes('?') ? '&' : '?'
  const filled = (text: string) =>
    text.replaceAll('{target}', read.target).replaceAll('{and}', and).replaceAll('{ages}', read.ages)
  return {
    ...request,
    target: filled(request.target ?? '{target}'),
    ...(request.content !== undefined && { content: filled(request.content) }),
  }
}
