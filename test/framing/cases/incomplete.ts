// Requests whose client disconnects before their end.
import { refusedOrUnanswered, type Subject } from '../case.ts'
import { chunked, get, host, post, smuggled, start } from '../messages.ts'

/** The part of the request that arrives before its client ends its side, or resets the connection. */
const beginnings: [name: string, bytes: string][] = [
  ['nothing but its start', 'POST /ID'],
  ['a request line', 'GET /ID HTTP/1.1\r\n'],
  ['half a field', `GET /ID HTTP/1.1\r\n${host}\r\nX-A`],
  ['all but the last LF of a head', get().slice(0, -1)],
  ['all but the last CRLF of a head', get().slice(0, -2)],
  ['all but the last CRLF of a head with a length', post('Content-Length: 0').slice(0, -2)],
  ['a head, and no content', post('Content-Length: 5')],
  ['half its content', `${post('Content-Length: 5')}hel`],
  ['all but a byte of its content', `${post('Content-Length: 5')}hell`],
  ['half the content of a GET', `${get('Content-Length: 5')}hel`],
  ['half the content of a DELETE', `${start('DELETE /ID HTTP/1.1', 'Content-Length: 5')}hel`],
  ['half its content, that looks like a request', `${post('Content-Length: 100')}${smuggled}`],
  ['half its content in HTTP/1.0', `${start('POST /ID HTTP/1.0', 'Content-Length: 5')}hel`],
  ['a head, and no chunk', post(chunked)],
  ['half a chunk size', `${post(chunked)}5`],
  ['a chunk size', `${post(chunked)}5\r\n`],
  ['half a chunk', `${post(chunked)}5\r\nhel`],
  ['a chunk without its end', `${post(chunked)}5\r\nhello`],
  ['a chunk, and no last one', `${post(chunked)}5\r\nhello\r\n`],
  ['half a last chunk', `${post(chunked)}5\r\nhello\r\n0`],
  ['a last chunk, and no end', `${post(chunked)}5\r\nhello\r\n0\r\n`],
  ['a last chunk, and half its end', `${post(chunked)}5\r\nhello\r\n0\r\n\r`],
  ['half a trailer section', `${post(chunked)}5\r\nhello\r\n0\r\nX-T: v\r\n`],
  ['a chunk of the largest size', `${post(chunked)}FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n${smuggled}`],
  ['a chunk of half that', `${post(chunked)}7FFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n`],
  ['the longest length there is', `${post('Content-Length: 9007199254740991')}hello${smuggled}`],
  ['100-continue, and no content', post('Expect: 100-continue', 'Content-Length: 5')],
  [
    'a POST to a route',
    `${start('POST /api/plans/search HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 50')}{}`,
  ],
]

export const incompleteCases: Subject = {
  'a request that never becomes whole': beginnings.flatMap(([name, bytes]) => [
    { name: `${name}, then a FIN`, bytes, expected: refusedOrUnanswered, after: 'end' },
    { name: `${name}, then a RST`, bytes, expected: refusedOrUnanswered, after: 'reset' },
  ]),
}
