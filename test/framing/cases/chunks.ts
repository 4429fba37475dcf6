// Chunked content: sizes, line ends and extensions.
import { carried, refused, refusedOrCarried, type Subject } from '../case.ts'
import { chunked, get, hello, post, posted, smuggled, start } from '../messages.ts'

// biome-ignore format: many short values to a line
const notSizes = [
  '0x5', '+5', '-5', '5 ', ' 5', '\t5', '5\t', '5_0', '', 'g', '5g', '5.', '"5"', '5,', '5\0', '\x0b5', '5\x0b',
  '10000000000000005', 'FFFFFFFFFFFFFFFFF', '00000000000000000000g', '5 5', '5:', '5=a',
]

export const chunkCases: Subject = {
  'an invalid chunk': [
    ...notSizes.map((size) => ({
      name: `of the size ${JSON.stringify(size)}`,
      bytes: `${post(chunked)}${size}\r\nhello\r\n0\r\n\r\n`,
      expected: refused,
    })),
    { name: 'a bare LF behind its size', bytes: `${post(chunked)}5\nhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'a bare LF behind its data', bytes: `${post(chunked)}5\r\nhello\n0\r\n\r\n`, expected: refused },
    { name: 'a bare LF behind the last chunk', bytes: `${post(chunked)}5\r\nhello\r\n0\n\r\n`, expected: refused },
    { name: 'a bare LF behind the trailer section', bytes: `${post(chunked)}5\r\nhello\r\n0\r\n\n`, expected: refused },
    { name: 'bare LFs all through', bytes: `${post(chunked)}5\nhello\n0\n\n`, expected: refused },
    { name: 'a bare CR behind its size', bytes: `${post(chunked)}5\rhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'a bare CR behind its data', bytes: `${post(chunked)}5\r\nhello\r0\r\n\r\n`, expected: refused },
    { name: 'a bare CR behind the last chunk', bytes: `${post(chunked)}5\r\nhello\r\n0\r\r\n\r\n`, expected: refused },
    { name: 'two CRs behind its size', bytes: `${post(chunked)}5\r\r\nhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'an LF before a CR', bytes: `${post(chunked)}5\n\rhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'no CRLF behind its data', bytes: `${post(chunked)}5\r\nhello0\r\n\r\n`, expected: refused },
    {
      name: 'other bytes for the CRLF behind its data',
      bytes: `${post(chunked)}5\r\nhelloXX0\r\n\r\n`,
      expected: refused,
    },
    { name: 'longer than it says', bytes: `${post(chunked)}5\r\nhello, you\r\n0\r\n\r\n`, expected: refused },
    { name: 'shorter than it says', bytes: `${post(chunked)}5\r\nhel\r\n0\r\n\r\n`, expected: refused },
    { name: 'an empty line before the first', bytes: `${post(chunked)}\r\n${hello}`, expected: refused },
    { name: 'an empty line between two', bytes: `${post(chunked)}5\r\nhello\r\n\r\n0\r\n\r\n`, expected: refused },
    { name: '-0 for the last', bytes: `${post(chunked)}5\r\nhello\r\n-0\r\n\r\n`, expected: refused },
    { name: '0x0 for the last', bytes: `${post(chunked)}5\r\nhello\r\n0x0\r\n\r\n`, expected: refused },
    { name: 'a last one with a space', bytes: `${post(chunked)}5\r\nhello\r\n0 \r\n\r\n`, expected: refused },
    { name: 'a bad second one', bytes: `${post(chunked)}5\r\nhello\r\nZ\r\nhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'a bad one on the content of a GET', bytes: `${get(chunked)}5\r\nhello\r\nZ\r\n`, expected: refused },
    {
      name: 'a bad one on the content of a request for a route',
      bytes: `${start('POST /api/plans/search HTTP/1.1', 'Content-Type: application/json', chunked)}2\r\n{}\nZ\r\n`,
      expected: refused,
    },
  ],
  'an invalid chunk extension': [
    { name: 'with a bare LF', bytes: `${post(chunked)}5;a=b\nhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'with a bare LF inside', bytes: `${post(chunked)}5;a\n=b\r\nhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'with a bare CR', bytes: `${post(chunked)}5;a\r=b\r\nhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'with a NUL', bytes: `${post(chunked)}5;a=\0b\r\nhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'with a NUL in its name', bytes: `${post(chunked)}5;\0\r\nhello\r\n0\r\n\r\n`, expected: refused },
    { name: 'with an unterminated quote', bytes: `${post(chunked)}5;a="b\r\nhello\r\n0\r\n\r\n`, expected: refused },
    {
      name: 'with a quote over a line',
      bytes: `${post(chunked)}5;a="\r\nhello\r\n0\r\n\r\n"\r\n0\r\n\r\n`,
      expected: refused,
    },
    { name: 'with a bare LF in quotes', bytes: `${post(chunked)}5;a="b\nc"\r\nhello\r\n0\r\n\r\n`, expected: refused },
    {
      name: 'with a bare LF behind a backslash',
      bytes: `${post(chunked)}5;a="b\\\nc"\r\nhello\r\n0\r\n\r\n`,
      expected: refused,
    },
    {
      name: 'with something behind the quote',
      bytes: `${post(chunked)}5;a="b"c\r\nhello\r\n0\r\n\r\n`,
      expected: refused,
    },
    {
      name: 'of the last chunk, with a bare LF',
      bytes: `${post(chunked)}5\r\nhello\r\n0;a=b\n\r\n`,
      expected: refused,
    },
    {
      name: 'of 20,000 bytes',
      bytes: `${post(chunked)}5;a=${'b'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`,
      expected: refused,
    },
    {
      name: 'many, of 20,000 bytes in all',
      bytes: `${post(chunked)}${'1;a=bcdefghij\r\nx\r\n'.repeat(2000)}0\r\n\r\n`,
      expected: refusedOrCarried({ ...posted, content: 'x'.repeat(2000) }),
    },
    { name: 'without a name', bytes: `${post(chunked)}5;\r\nhello\r\n0\r\n\r\n`, expected: refusedOrCarried(posted) },
    {
      name: 'without a value',
      bytes: `${post(chunked)}5;a=\r\nhello\r\n0\r\n\r\n`,
      expected: refusedOrCarried(posted),
    },
  ],
  'chunks in another spelling': [
    { name: 'leading zeros', bytes: `${post(chunked)}0005\r\nhello\r\n000\r\n\r\n`, expected: carried(posted) },
    {
      name: 'capital digits',
      bytes: `${post(chunked)}A\r\nhellohello\r\n0\r\n\r\n`,
      expected: carried({ ...posted, content: 'hellohello' }),
    },
    {
      name: 'small digits',
      bytes: `${post(chunked)}a\r\nhellohello\r\n0\r\n\r\n`,
      expected: carried({ ...posted, content: 'hellohello' }),
    },
    {
      name: 'one for each byte',
      bytes: `${post(chunked)}${[...'hello'].map((c) => `1\r\n${c}\r\n`).join('')}0\r\n\r\n`,
      expected: carried(posted),
    },
    { name: 'no content', bytes: `${post(chunked)}0\r\n\r\n`, expected: carried({ ...posted, content: '' }) },
    { name: 'an extension', bytes: `${post(chunked)}5;a=b\r\nhello\r\n0\r\n\r\n`, expected: carried(posted) },
    {
      name: 'an extension without a value',
      bytes: `${post(chunked)}5;a\r\nhello\r\n0\r\n\r\n`,
      expected: carried(posted),
    },
    {
      name: 'a quoted extension',
      bytes: `${post(chunked)}5;a="b \\" c;d"\r\nhello\r\n0;x\r\n\r\n`,
      expected: carried(posted),
    },
    {
      name: 'a space before an extension',
      bytes: `${post(chunked)}5 ;a=b\r\nhello\r\n0\r\n\r\n`,
      expected: refusedOrCarried(posted),
    },
    {
      name: 'a space within an extension',
      bytes: `${post(chunked)}5; a=b\r\nhello\r\n0\r\n\r\n`,
      expected: refusedOrCarried(posted),
    },
    {
      name: 'trailers',
      bytes: `${post(chunked)}5\r\nhello\r\n0\r\nX-T: v\r\nX-U: \xe9\r\n\r\n`,
      expected: carried({
        ...posted,
        trailers: [
          ['X-T', 'v'],
          ['X-U', '\xe9'],
        ],
      }),
    },
    {
      name: 'CR, LF, NUL and a request as data',
      bytes: `${post(chunked)}33\r\n\r\n0\r\n\r\n\0${smuggled}\r\n0\r\n\r\n`,
      expected: carried({
        ...posted,
        content: `\r\n0\r\n\r\n\0${smuggled}`,
      }),
    },
  ],
}
