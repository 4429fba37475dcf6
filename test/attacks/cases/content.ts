// Attacks by content on a GET, and by requests behind it.
import type { Attack, AttackSubject } from '../attack.ts'

const json = JSON.stringify({ county: '01001', ages: [1], limit: 1, fips: '01001' })
const request = 'GET /api/states?year=2020 HTTP/1.1\r\nHost: web.example\r\n\r\n'
const read = 'GET /api/states?year=2021 HTTP/1.1\r\nHost: web.example\r\n\r\n'
const post = 'POST /behind-content HTTP/1.1\r\nHost: web.example\r\nContent-Length: 0\r\n\r\n'

const contents: { name: string; content: string; behind: string }[] = [
  { name: 'JSON', content: json, behind: '' },
  { name: 'a request', content: request, behind: '' },
  { name: 'JSON, with a read behind it', content: json, behind: read },
  { name: 'JSON, with a POST behind it', content: json, behind: post },
]

const framings: { suffix: string; framed: (content: string) => string }[] = [
  {
    suffix: '',
    framed: (content) => `Content-Length: ${content.length}\r\nContent-Type: application/json\r\n\r\n${content}`,
  },
  {
    suffix: ', in chunks',
    framed: (content) =>
      `Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n${content.length.toString(16)}\r\n${content}\r\n0\r\n\r\n`,
  },
]

export const contentAttacks: AttackSubject = {
  'content on a GET to a route': contents.flatMap(({ name, content, behind }) =>
    framings.map(
      ({ suffix, framed }): Attack => ({
        name: `is ${name}: it is read by nobody, and what follows on the connection neither${suffix}`,
        // RFC 9112, 9.6: the response announces the end of the connection, so later requests on it are not processed.
        requests: [{ rest: framed(content) + behind, expected: { status: [200], isLast: true } }],
        unkept: { route: 'states', texts: ['year=2020', 'year=2021'] },
        unasked: '/behind-content',
      }),
    ),
  ),
}
