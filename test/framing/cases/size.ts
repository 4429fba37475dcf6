// Requests that are too large, and some that nearly are.
import { carried, refused, refusedOrCarried, type Subject } from '../case.ts'
import { chunked, get, got, hello, post, posted, start } from '../messages.ts'

export const sizeCases: Subject = {
  'a request that is too large': [
    { name: 'by its target', bytes: start(`GET /ID${'x'.repeat(20_000)} HTTP/1.1`), expected: refused },
    { name: 'by its query', bytes: start(`GET /ID?${'a=b&'.repeat(5000)} HTTP/1.1`), expected: refused },
    { name: 'by one field', bytes: get(`X-A: ${'b'.repeat(20_000)}`), expected: refused },
    { name: 'by the name of a field', bytes: get(`X-${'a'.repeat(20_000)}: b`), expected: refused },
    {
      name: 'by many fields',
      bytes: get(...Array.from({ length: 1000 }, (_, i) => `X-Field-${i}: 0123456789`)),
      expected: refused,
    },
    {
      name: 'by the space around a value',
      bytes: get(`X-A:${' '.repeat(40_000)}b`),
      expected: refusedOrCarried({ ...got, has: [['X-A', 'b']] }),
    },
    {
      name: 'by many fields, and a length last',
      bytes: `${post(...Array(3000).fill('X-A: bcd'), 'Content-Length: 5')}hello`,
      expected: refused,
    },
    {
      name: 'by none of it, 2,500 small fields and a length last',
      bytes: `${post(...Array(2500).fill('a:b'), 'Content-Length: 5')}hello`,
      expected: refusedOrCarried(posted),
    },
    {
      name: 'by none of it, 2,500 small fields and a coding last',
      bytes: `${post(...Array(2500).fill('a:b'), chunked)}${hello}`,
      expected: refusedOrCarried(posted),
    },
    {
      name: 'or not, 2,500 small fields and two lengths last',
      bytes: `${post(...Array(2500).fill('a:b'), 'Content-Length: 5', chunked)}${hello}`,
      expected: refused,
    },
    {
      name: 'by the parameters of a route',
      bytes: start(`GET /api/states?${params(2000)} HTTP/1.1`),
      expected: [
        { answers: [400], seen: [], closes: false },
        { answers: [400], seen: [], closes: true },
      ],
    },
    {
      name: 'or not, 2,000 parameters that are not for a route',
      bytes: start(`GET /ID?${params(2000)} HTTP/1.1`),
      expected: carried({
        ...got,
        target: `/ID?${params(2000)}`,
      }),
    },
  ],
}

function params(count: number): string {
  return Array.from({ length: count }, (_, i) => `p${i % 10}=${i % 7}`).join('&')
}
