// Content-Length: repeated, beside a transfer coding, or invalid.
import { carried, refused, refusedOrCarried, type Subject } from '../case.ts'
import { chunked, get, hello, post, posted, smuggled, start, websocket } from '../messages.ts'

// biome-ignore format: many short values to a line
const notLengths = [
  '+5', '-1', '-0', '0x5', '5 5', '', '5e0', '5.0', '5;', '5,', ',5', '5x', 'x5', '5\x0b', '5\x0c', '"5"', '5_0',
  '9223372036854775808', '18446744073709551615', '18446744073709551616', '99999999999999999999',
  '18446744073709551621', '9007199254740992', '5\0', '\x0b5',
  // Digits of other scripts, in UTF-8, and one of latin1.
  '\xd9\xa5', '\xef\xbc\x95', '\xb2', '5\xa0',
]

export const lengthCases: Subject = {
  'both a length and a transfer coding': [
    {
      name: 'Transfer-Encoding, then Content-Length',
      bytes: `${post(chunked, 'Content-Length: 5')}0\r\n\r\n`,
      expected: refused,
    },
    {
      name: 'Content-Length, then Transfer-Encoding',
      bytes: `${post('Content-Length: 5', chunked)}0\r\n\r\n`,
      expected: refused,
    },
    {
      name: 'the length that covers a second request',
      bytes: `${post(chunked, 'Content-Length: 50')}0\r\n\r\n${smuggled}`,
      expected: refused,
    },
    { name: 'a length of 0', bytes: `${post('Content-Length: 0', chunked)}${hello}`, expected: refused },
    { name: 'of a GET', bytes: `${get('Content-Length: 5', chunked)}0\r\n\r\n`, expected: refused },
    {
      name: 'a coding that is not chunked',
      bytes: `${post('Content-Length: 5', 'Transfer-Encoding: identity')}hello`,
      expected: refused,
    },
    {
      name: 'a coding with a space before its colon',
      bytes: `${post('Content-Length: 5', 'Transfer-Encoding : chunked')}hello`,
      expected: refused,
    },
    {
      name: 'in HTTP/1.0',
      bytes: `${start('POST /ID HTTP/1.0', 'Content-Length: 5', chunked)}0\r\n\r\n`,
      expected: refused,
    },
    {
      name: 'of a request for a route',
      bytes: `${start('GET /api/states HTTP/1.1', 'Content-Length: 5', chunked)}0\r\n\r\n`,
      expected: refused,
    },
    {
      name: 'and a wish for a WebSocket',
      bytes: websocket('/ID-accept', 'Content-Length: 0', chunked),
      expected: refused,
    },
  ],
  'a repeated Content-Length': [
    { name: 'of the same value', bytes: `${post('Content-Length: 5', 'Content-Length: 5')}hello`, expected: refused },
    { name: 'of another value', bytes: `${post('Content-Length: 5', 'Content-Length: 0')}hello`, expected: refused },
    {
      name: 'of another value, the lower first',
      bytes: `${post('Content-Length: 0', 'Content-Length: 5')}hello`,
      expected: refused,
    },
    {
      name: 'with other fields between',
      bytes: `${post('Content-Length: 5', 'X-A: b', 'content-length: 5')}hello`,
      expected: refused,
    },
    { name: 'in a list of the same', bytes: `${post('Content-Length: 5, 5')}hello`, expected: refused },
    { name: 'in a list of others', bytes: `${post('Content-Length: 5, 0')}hello`, expected: refused },
    { name: 'in a list without a space', bytes: `${post('Content-Length: 5,5')}hello`, expected: refused },
  ],
  'an invalid Content-Length': [
    ...notLengths.map((value) => ({
      name: JSON.stringify(value),
      bytes: `${post(`Content-Length: ${value}`)}hello`,
      expected: refused,
    })),
    { name: 'with a space before its colon', bytes: `${post('Content-Length : 5')}hello`, expected: refused },
    { name: 'with a space before its name', bytes: `${post(' Content-Length: 5')}hello`, expected: refused },
    { name: 'but looks like one', bytes: `${post('Content_Length: 5')}hello`, expected: refused },
    { name: 'but looks like one, in other letters', bytes: `${post('CONTENT_length: 5')}hello`, expected: refused },
    { name: 'on the line below', bytes: `${post('Content-Length:\r\n 5')}hello`, expected: refused },
  ],
  'a Content-Length in another spelling': [
    { name: 'in lower case', bytes: `${post('content-length: 5')}hello`, expected: carried(posted) },
    { name: 'in mixed case', bytes: `${post('cOnTeNt-LeNgTh: 5')}hello`, expected: carried(posted) },
    { name: 'with leading zeros', bytes: `${post('Content-Length: 005')}hello`, expected: carried(posted) },
    { name: 'without a space', bytes: `${post('Content-Length:5')}hello`, expected: carried(posted) },
    { name: 'between spaces and tabs', bytes: `${post('Content-Length: \t 5 \t ')}hello`, expected: carried(posted) },
    { name: 'of nothing', bytes: post('Content-Length: 0'), expected: carried({ ...posted, content: '' }) },
    { name: 'not at all', bytes: post(), expected: carried({ ...posted, content: '' }) },
    {
      name: 'of 17 digits',
      bytes: `${post('Content-Length: 00000000000000005')}hello`,
      expected: refusedOrCarried(posted),
    },
  ],
}
