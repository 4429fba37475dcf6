// Transfer-Encoding: anything but one plain chunked.
import { carried, refused, refusedOrCarried, type Subject } from '../case.ts'
import { chunked, get, hello, post, posted, start } from '../messages.ts'

// biome-ignore format: many short values to a line
const notChunked = [
  'xchunked', 'chunkedx', 'chunk', '"chunked"', "'chunked'", 'chunked;q=1', 'chunked; a=b', 'chunked chunked',
  'chunked, chunked', 'identity, chunked', 'gzip, chunked', 'chunked, identity', 'chunked, gzip', ', chunked',
  'chunked,', ',', '', 'identity', 'gzip', 'deflate', 'trailers', 'chunked\x0b', '\x0bchunked', '\x0cchunked',
  'chunked\x0c', 'chunked\0', '\0chunked', 'chun\0ked', 'chunked\x01', 'chunked\x7f', 'chunked\xa0', '\xffchunked',
  'chun\rked', '\rchunked', 'chun ked', 'chunked\r', 'chunked\rX-A: b',
]

export const codingCases: Subject = {
  'a transfer coding other than one plain chunked': [
    ...notChunked.map((value) => ({
      name: JSON.stringify(value),
      bytes: `${post(`Transfer-Encoding: ${value}`)}${hello}`,
      expected: refused,
    })),
    ...[
      ['chunked', 'identity'],
      ['identity', 'chunked'],
      ['chunked', 'chunked'],
      ['gzip', 'chunked'],
      ['chunked', 'gzip'],
      ['chunked', ''],
      ['', 'chunked'],
      ['identity', 'identity'],
    ].map((values) => ({
      name: `two fields, ${values.map((value) => JSON.stringify(value)).join(' and ')}`,
      bytes: `${post(...values.map((value) => `Transfer-Encoding: ${value}`))}${hello}`,
      expected: refused,
    })),
    {
      name: 'with a space before its colon',
      bytes: `${post('Transfer-Encoding : chunked')}${hello}`,
      expected: refused,
    },
    {
      name: 'with a tab before its colon',
      bytes: `${post('Transfer-Encoding\t: chunked')}${hello}`,
      expected: refused,
    },
    {
      name: 'with a space before its name',
      bytes: `${post(' Transfer-Encoding: chunked')}${hello}`,
      expected: refused,
    },
    { name: 'with a tab before its name', bytes: `${post('\tTransfer-Encoding: chunked')}${hello}`, expected: refused },
    {
      name: 'with a vertical tab before its name',
      bytes: `${post('\x0bTransfer-Encoding: chunked')}${hello}`,
      expected: refused,
    },
    { name: 'with a NUL in its name', bytes: `${post('Transfer-Encoding\0: chunked')}${hello}`, expected: refused },
    { name: 'with a space in its name', bytes: `${post('Transfer Encoding: chunked')}${hello}`, expected: refused },
    { name: 'but looks like one', bytes: `${post('Transfer_Encoding: chunked')}${hello}`, expected: refused },
    {
      name: 'but looks like one, beside a length',
      bytes: `${post('Transfer_Encoding: chunked', 'Content-Length: 5')}hello`,
      expected: refused,
    },
    { name: 'on the line below', bytes: `${post('Transfer-Encoding:\r\n chunked')}${hello}`, expected: refused },
    { name: 'behind a bare LF', bytes: `${post('X-A: b\nTransfer-Encoding: chunked')}${hello}`, expected: refused },
    { name: 'behind a bare CR', bytes: `${post('X-A: b\rTransfer-Encoding: chunked')}${hello}`, expected: refused },
    { name: 'in HTTP/1.0', bytes: `${start('POST /ID HTTP/1.0', chunked)}${hello}`, expected: refused },
    {
      name: 'in HTTP/1.0 that is kept alive',
      bytes: `${start('POST /ID HTTP/1.0', 'Connection: keep-alive', chunked)}${hello}`,
      expected: refused,
    },
    { name: 'of a GET', bytes: `${get('Transfer-Encoding: identity')}`, expected: refused },
    {
      name: 'of a request for a route',
      bytes: `${start('GET /api/states HTTP/1.1', 'Transfer-Encoding: gzip, chunked')}${hello}`,
      expected: refused,
    },
  ],
  'a transfer coding in another spelling': [
    { name: 'in capitals', bytes: `${post('Transfer-Encoding: CHUNKED')}${hello}`, expected: carried(posted) },
    {
      name: 'in mixed case',
      bytes: `${post('tRANSFER-eNCODING: cHuNkEd')}${hello}`,
      expected: carried(posted),
    },
    { name: 'without a space', bytes: `${post('Transfer-Encoding:chunked')}${hello}`, expected: carried(posted) },
    {
      name: 'between spaces and tabs',
      bytes: `${post('Transfer-Encoding: \tchunked \t')}${hello}`,
      expected: refusedOrCarried(posted),
    },
  ],
}
