// Content with any method.
import { carried, refused, type Subject } from '../case.ts'
import { chunked, hello, posted, smuggled, start } from '../messages.ts'

export const contentCases: Subject = {
  'content of any method': [
    ...['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'POST', 'PROPFIND', 'QUERY', 'M-SEARCH', 'LINK'].flatMap(
      (method) => [
        {
          name: `${method}, sized`,
          bytes: `${start(`${method} /ID HTTP/1.1`, 'Content-Length: 5')}hello`,
          expected: carried({ ...posted, method }),
        },
        {
          name: `${method}, in chunks`,
          bytes: `${start(`${method} /ID HTTP/1.1`, chunked)}${hello}`,
          expected: carried({ ...posted, method }),
        },
        {
          name: `${method}, none`,
          bytes: start(`${method} /ID HTTP/1.1`),
          expected: carried({ ...posted, method, content: '' }),
        },
        {
          name: `${method}, that looks like a request`,
          bytes: `${start(`${method} /ID HTTP/1.1`, `Content-Length: ${smuggled.length}`)}${smuggled}`,
          expected: carried({ ...posted, method, content: smuggled }),
        },
      ],
    ),
    {
      name: 'TRACE, none',
      bytes: start('TRACE /ID HTTP/1.1'),
      expected: carried({ method: 'TRACE', target: '/ID', content: '' }),
    },
    ...['GET', 'HEAD', 'PUT', 'OPTIONS'].map((method) => ({
      name: `${method} of a route's name below it`,
      bytes: `${start(`${method} /api/states/ID HTTP/1.1`, `Content-Length: ${smuggled.length}`)}${smuggled}`,
      expected: carried({ method, target: '/api/states/ID', content: smuggled }),
    })),
    {
      name: 'GET of a route, that looks like a request',
      bytes: `${start('GET /api/states HTTP/1.1', `Content-Length: ${smuggled.length}`)}${smuggled}`,
      expected: [{ answers: [200], seen: [], closes: true }],
    },
    {
      name: 'GET of a route, in chunks, that looks like a request',
      bytes: `${start('GET /api/states HTTP/1.1', chunked)}2b\r\n${smuggled}\r\n0\r\n\r\n`,
      expected: [{ answers: [200], seen: [], closes: true }],
    },
    {
      name: 'POST to a route, of an unsupported type',
      bytes: `${start('POST /api/plans/search HTTP/1.1', `Content-Length: ${smuggled.length}`)}${smuggled}`,
      expected: [
        { answers: [415], seen: [], closes: true },
        { answers: [415], seen: [], closes: false },
      ],
    },
    {
      name: 'POST to a route, above its limit',
      bytes:
        start('POST /api/plans/search HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 20000') +
        smuggled.repeat(400).slice(0, 20_000),
      expected: refused,
    },
  ],
}
