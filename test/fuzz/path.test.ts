import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { undecodable } from '../../proxy/http/routes/parameters.ts'
import { compileRoute } from '../../proxy/http/routes/route.ts'
import { routeTable } from '../../proxy/http/routes/table.ts'
import { character, choices, percent, pick } from './arbitraries.ts'
import { config, text } from './route.ts'

describe('a path', () => {
  const paths = [
    '/api/states',
    '/api/States',
    '/api/states.json',
    '/api/counties/:fips',
    '/api/counties/:fips/benchmark',
    '/api/counties/by/zip/:zip',
    '/api/counties/by/:zip/near',
    '/api/counties/:fips/:year/rates',
    '/api/plans/search',
    '/api/plans/:plan_id',
    '/api/plans/:id/rates/:age',
    '/:any/x',
  ]
  const routes = paths.map((path) => {
    const names = [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => name)
    const own = Object.fromEntries(names.map((name) => [name, text]))
    return compileRoute({ ...config, name: path, path, parameters: own })
  })
  const table = routeTable(routes)

  /**
   * Whether all software interprets `segment` equally. Invalid UTF-8 fits no parameter, and is rejected by its name.
   */
  function meansOneThing(segment: string): boolean {
    const escaped = (segment.match(/%[\da-f]{2}/gi) ?? []).map((one) => Number.parseInt(one.slice(1), 16))
    // RFC 3986, 2.3: unreserved characters, anywhere.
    if (escaped.some((code) => /[A-Za-z0-9._~-]/.test(String.fromCharCode(code)))) return false
    const value = read(segment)
    return !/[;\\]/.test(segment) && (value === undecodable || !/^\.{0,2}$|[/\\]/.test(String(value)))
  }
  /** The value of `segment`, decoded once. */
  function read(segment = ''): unknown {
    try {
      return decodeURIComponent(segment)
    } catch {
      return undecodable
    }
  }
  /**
   * The path among `paths` that `path` matches, tried one by one; a literal is preferred to a parameter, from the left.
   */
  function expected(path: string): string | undefined {
    const segments = path.split('/')
    const shape = (of: string) =>
      of
        .split('/')
        .map((part) => (part.startsWith(':') ? 1 : 0))
        .join('')
    return paths
      .filter((own) => own.split('/').length === segments.length)
      .filter((own) =>
        own.split('/').every((part, i) => {
          const segment = segments[i] ?? ''
          return part.startsWith(':') ? meansOneThing(segment) : part === segment
        }),
      )
      .sort((a, b) => shape(a).localeCompare(shape(b)))[0]
  }

  const value = fc.oneof(
    fc.constantFrom('51059', 'by', 'search', '.', '..', '%2e', 'a;b', '%7E', '%ff', '%C3%A9', '%252e', 'a.json', '%'),
    fc.string({ unit: character, maxLength: 6 }).map((one) => encodeURIComponent(one.toWellFormed())),
  )
  /**
   * A manipulation of a path, at a place and with a character, so that other software could read it as the original.
   */
  const mutations: ((path: string, at: number, one: string) => string)[] = [
    (path, at, one) => path.slice(0, at) + one + path.slice(at),
    (path, at, one) => path.slice(0, at) + one + path.slice(at + 1),
    (path, at) => `${path.slice(0, at)}%${path.charCodeAt(at).toString(16)}${path.slice(at + 1)}`,
    (path, at) => `${path.slice(0, at)}%${path.charCodeAt(at).toString(16).toUpperCase()}${path.slice(at + 1)}`,
    (path, at) => path.slice(0, at) + path.charAt(at).toUpperCase() + path.slice(at + 1),
    (path, at) => path.slice(0, at) + path.charAt(at).toLowerCase() + path.slice(at + 1),
    (path, at) => path.slice(0, at),
  ]
  const between = '// /./ /../ /x/../ /. %2f %2F \\ %5c ;x/ /;/ /%2e/ %2f..%2f'.split(' ')
  const after = '/ // /. /.. ;x ;x=1 .css /x.css ;.css %2fx.css %00 %20 %3b ? #'.split(' ')
  const literals = new Set(paths.flatMap((path) => path.split('/')).filter((part) => !part.startsWith(':')))
  const change = fc.oneof(
    fc
      .tuple(fc.constantFrom(...mutations), fc.nat(40), fc.oneof(fc.constantFrom('/', ';', '.', '%', '\\'), character))
      .map(
        ([mutate, at, one]) =>
          (path: string) =>
            mutate(path, at % path.length || 0, one),
      ),
    fc.tuple(fc.constantFrom(...between), fc.nat(5)).map(([mark, at]) => (path: string) => {
      const segments = path.split('/')
      const cut = at % segments.length
      return `${segments.slice(0, cut).join('/')}${mark}${segments.slice(cut).join('/')}`
    }),
    fc.constantFrom(...after).map((suffix) => (path: string) => path + suffix),
    fc.tuple(fc.constantFrom(...literals), fc.nat(5)).map(([literal, at]) => (path: string) => {
      const segments = path.split('/')
      return segments.with(at % segments.length, literal).join('/')
    }),
  )
  const path = fc
    .tuple(fc.constantFrom(...paths), value, value, fc.array(change, { maxLength: 3 }))
    .map(([own, one, other, changes]) => {
      const filled = own.replace(/:\w+/, () => one).replace(/:\w+/, () => other)
      return changes.reduce((changed, mutate) => mutate(changed), filled)
    })

  test('property: a manipulated path matches only a route with the same literal segments, byte for byte', () => {
    fc.assert(
      fc.property(path, (given) => {
        const found = table.find(given)
        if (found === undefined) return
        const segments = given.split('/')
        const own = found.route.path.split('/')
        expect(own.map((part, i) => (part.startsWith(':') ? segments[i] : part))).toEqual(segments)
        const values = own.flatMap((part, i) => (part.startsWith(':') ? [[part.slice(1), [read(segments[i])]]] : []))
        expect([...found.given]).toEqual(values)
      }),
      { numRuns: 500 },
    )
  })

  test('property: it matches exactly its route, and none if a parameter is ambiguous', () => {
    fc.assert(
      fc.property(path, (given) => {
        expect(table.find(given)?.route.path).toBe(expected(given))
      }),
      { numRuns: 800 },
    )
  })

  test('property: a value with any valid percent-encoding is read as that value', () => {
    const values = fc
      .string({ unit: fc.oneof(character, fc.constantFrom(...";:@!$&'()*+,=~-_. %?#")), minLength: 1, maxLength: 10 })
      .map((one) => one.toWellFormed().replace(/[/\\\0]/g, '+'))
      .filter((one) => !/^\.{1,2}$/.test(one))
    const spell = (one: string, i: number, how: readonly number[]) => {
      const choice = pick(how, i)
      if (/[A-Za-z0-9._~-]/.test(one) || (choice < 2 && /[!$&'()*+,=:@]/.test(one))) return one
      return percent(one, choice % 2 === 1)
    }
    fc.assert(
      fc.property(values, values, choices, (id, age, how) => {
        const [left, right] = [id, age].map((one) => [...one].map((char, i) => spell(char, i, how)).join(''))
        const found = table.find(`/api/plans/${left}/rates/${right}`)
        expect(found?.route.path).toBe('/api/plans/:id/rates/:age')
        expect(found?.route.read(found.given)).toEqual({ params: { id, age } })
      }),
      { numRuns: 200 },
    )
  })
})
