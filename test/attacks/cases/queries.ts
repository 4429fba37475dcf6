// Attacks by queries with additional parameters.
import type { AttackSubject } from '../attack.ts'

/** Undeclared names, which are ignored. */
const undeclared = {
  tracking: 'utm_source=a&utm_content=b&fbclid=c',
  callback: 'callback=alert(1)&_=1',
  'names of other cases': 'County=01001&AGES=1&Limit=1&FIPS=01001',
  'names as lists': 'county[]=01001&ages[0]=1&limit[$gt]=0&fips[]=01001',
  __proto__: '__proto__=1&__proto__[county]=01001&constructor=1&hasOwnProperty=1&toString=1',
  'a NUL': '%00=1&county%00=01001&x=%00',
  'bytes that are not UTF-8': '%ff=%ff&x=%c0%af',
  'invalid percent-encodings': '%=1&%zz=%&x=%u0041',
  'separators without anything': '&&&=&=1&&',
  'a value without a name': '=county=01001',
  'spaces around a name': '+county=01001&county+=01001&%20ages=1&fips%20=01001&limit%09=1',
  'a question mark': '?county=01001&x=?&fips?=1',
  'names that look alike': 'c%D0%BEunty=01001&l%C4%B1mit=1&f%D1%96ps=01001',
  _method: '_method=POST&method=DELETE&format=html',
}

/** Queries with invalid parameters of the route. */
const refused: [name: string, more: string][] = [
  ['a parameter twice', 'limit=4'],
  ['a parameter twice, the same', 'limit=3'],
  ['one twice, in another spelling', '%6cimit=4'],
  ['one twice, the second empty', 'county='],
  ['one twice, the second undecodable', 'county=%ff'],
  ['`;` for a separator', 'offset=0;limit=4'],
  ['a separator that is encoded', 'offset=0%26limit%3D4'],
  ['a value out of bounds', 'offset=999999'],
  ['a value of another type', 'offset=1e2'],
  ['a NUL in a value', 'metal=Silver%00'],
  ['a value with spaces', 'metal=Silver+'],
  ['SQL', "sort=premium';drop+table+plans--"],
  ['more parameters than are taken', Array.from({ length: 101 }, (_, i) => `a${i}`).join('&')],
]

const unkept = { status: [400], fields: { 'Cache-Control': ['no-store'], ETag: [] } }

export const queryAttacks: AttackSubject = {
  'a query with additional parameters': [
    ...Object.entries(undeclared).map(([name, more]) => ({
      name: `makes no other entry and no other answer: ${name}`,
      requests: [{ target: `{target}{and}${more}` }],
    })),
    ...refused.map(([name, more]) => ({
      name: `is a 400 that must not be stored, and makes no entry: ${name}`,
      requests: [{ target: `{target}&${more}`, expected: unkept }],
      reads: ['search'] as const,
      fillsNothing: true as const,
    })),
  ],
}
