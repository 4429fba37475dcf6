import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { type Running, startApp } from './live.ts'
import { gate } from './support.ts'
import {
  type Answer,
  Client,
  carelessRelay,
  deadlineMs,
  type Field,
  type Recorded,
  type Relay,
  StrictUpstream,
  sharingRelay,
  valuesOf,
  verbatimRelay,
} from './wire.ts'

// Each case is what a client sends on one connection. However it is framed, the web tier gets the one request that was meant, or
// none (RFC 9112, 11.2): it must never see another request than this proxy saw, nor a client the answer to another's.

/** A request as the web tier is to see it. */
interface Wanted {
  method: string
  target: string
  content?: string
  trailers?: Field[]
  /** Fields that are there, and names that are not. */
  has?: Field[]
  lacks?: string[]
}

/** One way a case may end. */
interface Outcome {
  /** The statuses the client gets; 'refused' is any that says the request could not be taken. */
  answers: (number | 'refused')[]
  seen: Wanted[]
  /** Whether the connection is closed without the client's doing. */
  closes: boolean
}

interface Case {
  title: string
  bytes: string
  /** What the client does after the last byte: it waits for the answer, ends its side, or resets the connection. */
  then: 'wait' | 'end' | 'reset'
  /** Every one of them is safe. */
  outcomes: Outcome[]
}

const refusals = new Set([400, 408, 411, 413, 414, 417, 431, 501, 505])
let cases = 0

/** `ID` in `bytes` and in what is wanted becomes a name that no other case has. */
function aCase(title: string, bytes: string, outcomes: Outcome[], then: Case['then'] = 'wait'): Case {
  cases += 1
  const id = `c${cases}`
  const named = outcomes.map((outcome) => ({
    ...outcome,
    seen: outcome.seen.map((wanted) => ({ ...wanted, target: wanted.target.replaceAll('ID', id) })),
  }))
  return { title, bytes: bytes.replaceAll('ID', id), outcomes: named, then }
}

const refusal: Outcome = { answers: ['refused'], seen: [], closes: true }
const passage = (...seen: Wanted[]): Outcome => ({ answers: seen.map(() => 200), seen, closes: false })

function refused(title: string, bytes: string): Case {
  return aCase(title, bytes, [refusal])
}

function carried(title: string, bytes: string, ...seen: Wanted[]): Case {
  return aCase(title, bytes, [passage(...seen)])
}

/** Where the RFC leaves it to the recipient: refused, or carried exactly. */
function either(title: string, bytes: string, wanted: Wanted): Case {
  return aCase(title, bytes, [refusal, passage(wanted)])
}

/** Never whole: the client leaves before its end. */
function incomplete(title: string, bytes: string): Case[] {
  const outcomes = [
    { ...refusal, answers: [] },
    { ...refusal, answers: ['refused' as const] },
  ]
  return [
    aCase(`${title}, then a FIN`, bytes, outcomes, 'end'),
    aCase(`${title}, then a RST`, bytes, outcomes, 'reset'),
  ]
}

/** A good request, and behind it what must not be taken for one. The good one is answered, or its connection is cut. */
function behind(title: string, good: string, wanted: Wanted, rest: string): Case {
  const closes = true
  return aCase(title, good + rest, [
    { answers: [200, 'refused'], seen: [wanted], closes },
    { answers: [200], seen: [wanted], closes },
    { answers: [], seen: [wanted], closes },
    { answers: [], seen: [], closes },
  ])
}

const host = 'Host: a.example'
const head = (...lines: string[]) => [...lines, '', ''].join('\r\n')
const start = (line: string, ...fields: string[]) => head(line, host, ...fields)
const get = (...fields: string[]) => start('GET /ID HTTP/1.1', ...fields)
const post = (...fields: string[]) => start('POST /ID HTTP/1.1', ...fields)
const chunked = 'Transfer-Encoding: chunked'
const hello = '5\r\nhello\r\n0\r\n\r\n'
const posted: Wanted = { method: 'POST', target: '/ID', content: 'hello' }
const got: Wanted = { method: 'GET', target: '/ID', content: '' }
/** Content that would be a request, for whoever takes the content to have ended earlier. */
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n'

const groups: Record<string, Case[]> = {
  'both a length and a transfer coding': [
    refused('Transfer-Encoding, then Content-Length', `${post(chunked, 'Content-Length: 5')}0\r\n\r\n`),
    refused('Content-Length, then Transfer-Encoding', `${post('Content-Length: 5', chunked)}0\r\n\r\n`),
    refused('the length that covers a second request', `${post(chunked, 'Content-Length: 50')}0\r\n\r\n${smuggled}`),
    refused('a length of 0', `${post('Content-Length: 0', chunked)}${hello}`),
    refused('of a GET', `${get('Content-Length: 5', chunked)}0\r\n\r\n`),
    refused('a coding that is not chunked', `${post('Content-Length: 5', 'Transfer-Encoding: identity')}hello`),
    refused(
      'a coding with a space before its colon',
      `${post('Content-Length: 5', 'Transfer-Encoding : chunked')}hello`,
    ),
    refused('in HTTP/1.0', `${start('POST /ID HTTP/1.0', 'Content-Length: 5', chunked)}0\r\n\r\n`),
    refused('of a request for a route', `${start('GET /api/states HTTP/1.1', 'Content-Length: 5', chunked)}0\r\n\r\n`),
    refused('and a wish for a WebSocket', websocket('/ID-accept', 'Content-Length: 0', chunked)),
  ],
  'a repeated Content-Length': [
    refused('of the same value', `${post('Content-Length: 5', 'Content-Length: 5')}hello`),
    refused('of another value', `${post('Content-Length: 5', 'Content-Length: 0')}hello`),
    refused('of another value, the lower first', `${post('Content-Length: 0', 'Content-Length: 5')}hello`),
    refused('with other fields between', `${post('Content-Length: 5', 'X-A: b', 'content-length: 5')}hello`),
    refused('in a list of the same', `${post('Content-Length: 5, 5')}hello`),
    refused('in a list of others', `${post('Content-Length: 5, 0')}hello`),
    refused('in a list without a space', `${post('Content-Length: 5,5')}hello`),
  ],
  'a Content-Length that is none': [
    ...[
      ...[
        '+5',
        '-1',
        '-0',
        '0x5',
        '5 5',
        '',
        '5e0',
        '5.0',
        '5;',
        '5,',
        ',5',
        '5x',
        'x5',
        '5\x0b',
        '5\x0c',
        '"5"',
        '5_0',
      ],
      ...['9223372036854775808', '18446744073709551615', '18446744073709551616', '99999999999999999999'],
      ...['18446744073709551621', '9007199254740992', '5\0', '\x0b5'],
      // Digits of other scripts, in UTF-8, and one of latin1.
      ...['\xd9\xa5', '\xef\xbc\x95', '\xb2', '5\xa0'],
    ].map((value) => refused(JSON.stringify(value), `${post(`Content-Length: ${value}`)}hello`)),
    refused('with a space before its colon', `${post('Content-Length : 5')}hello`),
    refused('with a space before its name', `${post(' Content-Length: 5')}hello`),
    refused('but looks like one', `${post('Content_Length: 5')}hello`),
    refused('but looks like one, in other letters', `${post('CONTENT_length: 5')}hello`),
    refused('on the line below', `${post('Content-Length:\r\n 5')}hello`),
  ],
  'a Content-Length in another spelling': [
    carried('in lower case', `${post('content-length: 5')}hello`, posted),
    carried('in no case in particular', `${post('cOnTeNt-LeNgTh: 5')}hello`, posted),
    carried('with leading zeros', `${post('Content-Length: 005')}hello`, posted),
    carried('without a space', `${post('Content-Length:5')}hello`, posted),
    carried('between spaces and tabs', `${post('Content-Length: \t 5 \t ')}hello`, posted),
    carried('of nothing', post('Content-Length: 0'), { ...posted, content: '' }),
    carried('not at all', post(), { ...posted, content: '' }),
    either('of 17 digits', `${post('Content-Length: 00000000000000005')}hello`, posted),
  ],
  'a transfer coding that is not one plain chunked': [
    ...[
      ...['xchunked', 'chunkedx', 'chunk', '"chunked"', "'chunked'", 'chunked;q=1', 'chunked; a=b', 'chunked chunked'],
      ...['chunked, chunked', 'identity, chunked', 'gzip, chunked', 'chunked, identity', 'chunked, gzip', ', chunked'],
      ...['chunked,', ',', '', 'identity', 'gzip', 'deflate', 'trailers', 'chunked\x0b', '\x0bchunked', '\x0cchunked'],
      ...[
        'chunked\x0c',
        'chunked\0',
        '\0chunked',
        'chun\0ked',
        'chunked\x01',
        'chunked\x7f',
        'chunked\xa0',
        '\xffchunked',
      ],
      ...['chun\rked', '\rchunked', 'chun ked', 'chunked\r', 'chunked\rX-A: b'],
    ].map((value) => refused(JSON.stringify(value), `${post(`Transfer-Encoding: ${value}`)}${hello}`)),
    ...[
      ['chunked', 'identity'],
      ['identity', 'chunked'],
      ['chunked', 'chunked'],
      ['gzip', 'chunked'],
      ['chunked', 'gzip'],
      ['chunked', ''],
      ['', 'chunked'],
      ['identity', 'identity'],
    ].map((values) =>
      refused(
        `two fields, ${values.map((value) => JSON.stringify(value)).join(' and ')}`,
        `${post(...values.map((value) => `Transfer-Encoding: ${value}`))}${hello}`,
      ),
    ),
    refused('with a space before its colon', `${post('Transfer-Encoding : chunked')}${hello}`),
    refused('with a tab before its colon', `${post('Transfer-Encoding\t: chunked')}${hello}`),
    refused('with a space before its name', `${post(' Transfer-Encoding: chunked')}${hello}`),
    refused('with a tab before its name', `${post('\tTransfer-Encoding: chunked')}${hello}`),
    refused('with a vertical tab before its name', `${post('\x0bTransfer-Encoding: chunked')}${hello}`),
    refused('with a NUL in its name', `${post('Transfer-Encoding\0: chunked')}${hello}`),
    refused('with a space in its name', `${post('Transfer Encoding: chunked')}${hello}`),
    refused('but looks like one', `${post('Transfer_Encoding: chunked')}${hello}`),
    refused('but looks like one, beside a length', `${post('Transfer_Encoding: chunked', 'Content-Length: 5')}hello`),
    refused('on the line below', `${post('Transfer-Encoding:\r\n chunked')}${hello}`),
    refused('behind a bare LF', `${post('X-A: b\nTransfer-Encoding: chunked')}${hello}`),
    refused('behind a bare CR', `${post('X-A: b\rTransfer-Encoding: chunked')}${hello}`),
    refused('in HTTP/1.0', `${start('POST /ID HTTP/1.0', chunked)}${hello}`),
    refused(
      'in HTTP/1.0 that is kept alive',
      `${start('POST /ID HTTP/1.0', 'Connection: keep-alive', chunked)}${hello}`,
    ),
    refused('of a GET', `${get('Transfer-Encoding: identity')}`),
    refused(
      'of a request for a route',
      `${start('GET /api/states HTTP/1.1', 'Transfer-Encoding: gzip, chunked')}${hello}`,
    ),
  ],
  'a transfer coding in another spelling': [
    carried('in capitals', `${post('Transfer-Encoding: CHUNKED')}${hello}`, posted),
    carried('in no case in particular', `${post('tRANSFER-eNCODING: cHuNkEd')}${hello}`, posted),
    carried('without a space', `${post('Transfer-Encoding:chunked')}${hello}`, posted),
    either('between spaces and tabs', `${post('Transfer-Encoding: \tchunked \t')}${hello}`, posted),
  ],
  'a chunk that is none': [
    ...[
      ...[
        '0x5',
        '+5',
        '-5',
        '5 ',
        ' 5',
        '\t5',
        '5\t',
        '5_0',
        '',
        'g',
        '5g',
        '5.',
        '"5"',
        '5,',
        '5\0',
        '\x0b5',
        '5\x0b',
      ],
      ...['10000000000000005', 'FFFFFFFFFFFFFFFFF', '00000000000000000000g', '5 5', '5:', '5=a'],
    ].map((size) => refused(`of the size ${JSON.stringify(size)}`, `${post(chunked)}${size}\r\nhello\r\n0\r\n\r\n`)),
    refused('a bare LF behind its size', `${post(chunked)}5\nhello\r\n0\r\n\r\n`),
    refused('a bare LF behind its data', `${post(chunked)}5\r\nhello\n0\r\n\r\n`),
    refused('a bare LF behind the last chunk', `${post(chunked)}5\r\nhello\r\n0\n\r\n`),
    refused('a bare LF behind the trailer section', `${post(chunked)}5\r\nhello\r\n0\r\n\n`),
    refused('bare LFs all through', `${post(chunked)}5\nhello\n0\n\n`),
    refused('a bare CR behind its size', `${post(chunked)}5\rhello\r\n0\r\n\r\n`),
    refused('a bare CR behind its data', `${post(chunked)}5\r\nhello\r0\r\n\r\n`),
    refused('a bare CR behind the last chunk', `${post(chunked)}5\r\nhello\r\n0\r\r\n\r\n`),
    refused('two CRs behind its size', `${post(chunked)}5\r\r\nhello\r\n0\r\n\r\n`),
    refused('an LF before a CR', `${post(chunked)}5\n\rhello\r\n0\r\n\r\n`),
    refused('no CRLF behind its data', `${post(chunked)}5\r\nhello0\r\n\r\n`),
    refused('other bytes for the CRLF behind its data', `${post(chunked)}5\r\nhelloXX0\r\n\r\n`),
    refused('longer than it says', `${post(chunked)}5\r\nhello, you\r\n0\r\n\r\n`),
    refused('shorter than it says', `${post(chunked)}5\r\nhel\r\n0\r\n\r\n`),
    refused('an empty line before the first', `${post(chunked)}\r\n${hello}`),
    refused('an empty line between two', `${post(chunked)}5\r\nhello\r\n\r\n0\r\n\r\n`),
    refused('-0 for the last', `${post(chunked)}5\r\nhello\r\n-0\r\n\r\n`),
    refused('0x0 for the last', `${post(chunked)}5\r\nhello\r\n0x0\r\n\r\n`),
    refused('a last one with a space', `${post(chunked)}5\r\nhello\r\n0 \r\n\r\n`),
    refused('a bad second one', `${post(chunked)}5\r\nhello\r\nZ\r\nhello\r\n0\r\n\r\n`),
    refused('a bad one on the content of a GET', `${get(chunked)}5\r\nhello\r\nZ\r\n`),
    refused(
      'a bad one on the content of a request for a route',
      `${start('POST /api/plans/search HTTP/1.1', 'Content-Type: application/json', chunked)}2\r\n{}\nZ\r\n`,
    ),
  ],
  'a chunk extension that is none': [
    refused('with a bare LF', `${post(chunked)}5;a=b\nhello\r\n0\r\n\r\n`),
    refused('with a bare LF inside', `${post(chunked)}5;a\n=b\r\nhello\r\n0\r\n\r\n`),
    refused('with a bare CR', `${post(chunked)}5;a\r=b\r\nhello\r\n0\r\n\r\n`),
    refused('with a NUL', `${post(chunked)}5;a=\0b\r\nhello\r\n0\r\n\r\n`),
    refused('with a NUL in its name', `${post(chunked)}5;\0\r\nhello\r\n0\r\n\r\n`),
    refused('with an unterminated quote', `${post(chunked)}5;a="b\r\nhello\r\n0\r\n\r\n`),
    refused('with a quote over a line', `${post(chunked)}5;a="\r\nhello\r\n0\r\n\r\n"\r\n0\r\n\r\n`),
    refused('with a bare LF in quotes', `${post(chunked)}5;a="b\nc"\r\nhello\r\n0\r\n\r\n`),
    refused('with a bare LF behind a backslash', `${post(chunked)}5;a="b\\\nc"\r\nhello\r\n0\r\n\r\n`),
    refused('with something behind the quote', `${post(chunked)}5;a="b"c\r\nhello\r\n0\r\n\r\n`),
    refused('of the last chunk, with a bare LF', `${post(chunked)}5\r\nhello\r\n0;a=b\n\r\n`),
    refused('of 20,000 bytes', `${post(chunked)}5;a=${'b'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`),
    either('many, of 20,000 bytes in all', `${post(chunked)}${'1;a=bcdefghij\r\nx\r\n'.repeat(2000)}0\r\n\r\n`, {
      ...posted,
      content: 'x'.repeat(2000),
    }),
    either('without a name', `${post(chunked)}5;\r\nhello\r\n0\r\n\r\n`, posted),
    either('without a value', `${post(chunked)}5;a=\r\nhello\r\n0\r\n\r\n`, posted),
  ],
  'a trailer section that is none': [
    ...['bad name: x', 'bad : x', ': x', 'bad', 'b@d: x', 'b\0d: x', 'x: a\0b', 'x: a\rb', 'x: a\r\n b', ' x: a'].map(
      (text) => refused(JSON.stringify(text), `${post(chunked)}5\r\nhello\r\n0\r\n${text}\r\n\r\n`),
    ),
    refused('with bare LFs', `${post(chunked)}5\r\nhello\r\n0\r\nX: y\n\r\n`),
    refused('that ends in a bare LF', `${post(chunked)}5\r\nhello\r\n0\r\nX: y\r\n\n`),
    refused('of 20,000 bytes', `${post(chunked)}5\r\nhello\r\n0\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`),
  ],
  'a trailer that says how to read the message': [
    ...['Content-Length: 5', 'Transfer-Encoding: chunked', 'Host: b.example', 'Connection: close', 'Trailer: X'].map(
      (text) =>
        either(text, `${post(chunked, 'Trailer: X')}5\r\nhello\r\n0\r\n${text}\r\nX-T: v\r\n\r\n`, {
          ...posted,
          trailers: [['X-T', 'v']],
        }),
    ),
  ],
  'chunks in another spelling': [
    carried('leading zeros', `${post(chunked)}0005\r\nhello\r\n000\r\n\r\n`, posted),
    carried('capital digits', `${post(chunked)}A\r\nhellohello\r\n0\r\n\r\n`, { ...posted, content: 'hellohello' }),
    carried('small digits', `${post(chunked)}a\r\nhellohello\r\n0\r\n\r\n`, { ...posted, content: 'hellohello' }),
    carried(
      'one for each byte',
      `${post(chunked)}${[...'hello'].map((c) => `1\r\n${c}\r\n`).join('')}0\r\n\r\n`,
      posted,
    ),
    carried('no content', `${post(chunked)}0\r\n\r\n`, { ...posted, content: '' }),
    carried('an extension', `${post(chunked)}5;a=b\r\nhello\r\n0\r\n\r\n`, posted),
    carried('an extension without a value', `${post(chunked)}5;a\r\nhello\r\n0\r\n\r\n`, posted),
    carried('a quoted extension', `${post(chunked)}5;a="b \\" c;d"\r\nhello\r\n0;x\r\n\r\n`, posted),
    either('a space before an extension', `${post(chunked)}5 ;a=b\r\nhello\r\n0\r\n\r\n`, posted),
    either('a space within an extension', `${post(chunked)}5; a=b\r\nhello\r\n0\r\n\r\n`, posted),
    carried('trailers', `${post(chunked)}5\r\nhello\r\n0\r\nX-T: v\r\nX-U: \xe9\r\n\r\n`, {
      ...posted,
      trailers: [
        ['X-T', 'v'],
        ['X-U', '\xe9'],
      ],
    }),
    carried('CR, LF, NUL and a request as data', `${post(chunked)}33\r\n\r\n0\r\n\r\n\0${smuggled}\r\n0\r\n\r\n`, {
      ...posted,
      content: `\r\n0\r\n\r\n\0${smuggled}`,
    }),
  ],
  'a control in a request line': [
    refused('a bare LF at its end', `GET /ID HTTP/1.1\n${head(host)}`),
    refused('a bare CR at its end', `GET /ID HTTP/1.1\r${head(host)}`),
    refused('a bare CR before its CRLF', `GET /ID HTTP/1.1\r\r\n${head(host)}`),
    refused('a bare CR in the method', start('GE\rT /ID HTTP/1.1')),
    refused('a bare LF in the method', start('GE\nT /ID HTTP/1.1')),
    refused('a NUL in the method', start('GE\0T /ID HTTP/1.1')),
    refused('a NUL before the method', start('\0GET /ID HTTP/1.1')),
    refused('a space before the method', start(' GET /ID HTTP/1.1')),
    refused('a bare CR in the target', start('GET /ID\rx HTTP/1.1')),
    refused('a bare LF in the target', start('GET /ID\nx HTTP/1.1')),
    refused('a request in the target', start('GET /ID\r\nX: HTTP/1.1')),
    refused('a NUL in the target', start('GET /ID\0x HTTP/1.1')),
    refused('a NUL in the version', start('GET /ID HTTP\0/1.1')),
    refused('a bare CR in the version', start('GET /ID HTTP/1.\r1')),
    refused('a bare CR for a space', start('GET\r/ID HTTP/1.1')),
    refused('a tab for the first space', start('GET\t/ID HTTP/1.1')),
    refused('a tab for the second space', start('GET /ID\tHTTP/1.1')),
    refused('a vertical tab for a space', start('GET /ID\x0bHTTP/1.1')),
    refused('a form feed for a space', start('GET /ID\x0cHTTP/1.1')),
  ],
  'a control in a field name': [
    ...['\r', '\n', '\0', '\t', '\x01', '\x0b', '\x1f', '\x7f'].flatMap((c) => [
      refused(`${JSON.stringify(c)} within`, get(`X${c}A: b`)),
      refused(`${JSON.stringify(c)} ahead`, get(`${c}X-A: b`)),
      refused(`${JSON.stringify(c)} behind`, get(`X-A${c}: b`)),
    ]),
  ],
  'a control in a field value': [
    ...['\r', '\n', '\0', '\x01', '\x08', '\x0b', '\x0c', '\x1f', '\x7f'].flatMap((c) => [
      refused(`${JSON.stringify(c)} within`, get(`X-A: b${c}c`)),
      refused(`${JSON.stringify(c)} ahead`, get(`X-A: ${c}b`)),
      refused(`${JSON.stringify(c)} behind`, get(`X-A: b${c}`)),
    ]),
    refused('a length behind a bare LF', `${post('X-A: b\nContent-Length: 5')}hello`),
    refused('a length behind a bare CR', `${post('X-A: b\rContent-Length: 5')}hello`),
    refused('the end of the section in bare LFs', `GET /ID HTTP/1.1\r\n${host}\r\nX-A: b\n\n${smuggled}`),
    refused('a whole section in bare LFs', `GET /ID HTTP/1.1\n${host}\n\n`),
    refused('an end of CRLF and bare LF', `GET /ID HTTP/1.1\r\n${host}\r\n\n`),
    refused('an end of CRLF and bare CR', `GET /ID HTTP/1.1\r\n${host}\r\n\r${smuggled}`),
    refused('in Host', head('GET /ID HTTP/1.1', 'Host: a.exa\0mple')),
    refused('in the last field', `GET /ID HTTP/1.1\r\n${host}\r\nX-A: b\r\r\n\r\n`),
  ],
  'a field that is none': [
    refused('folded', get('X-A: b\r\n c')),
    refused('folded with a tab', get('X-A: b\r\n\tc')),
    refused('folded, and a length', `${post('X-A: b\r\n Content-Length: 5')}hello`),
    refused('folded as the first', head('GET /ID HTTP/1.1', ` ${host}`)),
    refused('folded as the first, with a Host after it', head('GET /ID HTTP/1.1', ' X-A: b', host)),
    refused('folded as the first, with a tab', head('GET /ID HTTP/1.1', '\tX-A: b', host)),
    refused('folded with nothing but a space', get('X-A: b\r\n ')),
    refused('a space alone', get(' ')),
    refused('a Host that is folded', head('GET /ID HTTP/1.1', 'Host: a.example\r\n .b')),
    refused('a Host on the line below', head('GET /ID HTTP/1.1', 'Host:\r\n a.example')),
    refused('a space before its colon', get('X-A : b')),
    refused('without a name', get(': b')),
    refused('a colon alone', get(':')),
    refused('without a colon', get('X-A')),
    refused('without a colon, the first', head('GET /ID HTTP/1.1', 'X-A', host)),
    ...[...'()<>@,;\\"/[]?={} '].map((c) => refused(`${c} in its name`, get(`X${c}A: b`))),
    refused('an 8-bit byte in its name', get('X\xe9A: b')),
    refused('a request line', get('GET /other HTTP/1.1')),
  ],
  'a field in another spelling': [
    carried('without a value', get('X-A:'), { ...got, has: [['X-A', '']] }),
    carried('without a space', get('X-A:b'), { ...got, has: [['X-A', 'b']] }),
    carried('between spaces and tabs', get('X-A: \t b c \t '), { ...got, has: [['X-A', 'b c']] }),
    carried('of 8-bit bytes', get('X-A: \xe9\xff\x80'), { ...got, has: [['X-A', '\xe9\xff\x80']] }),
    carried('of 8-bit bytes beside content', `${post('X-A: \xe9\xff\x80', 'Content-Length: 5')}hello`, {
      ...posted,
      has: [['X-A', '\xe9\xff\x80']],
    }),
    carried('every character of a name', get("!#$%&'*+-.^_`|~09azAZ: b"), {
      ...got,
      has: [["!#$%&'*+-.^_`|~09azAZ", 'b']],
    }),
    carried('twice', get('X-A: b', 'X-A: c'), {
      ...got,
      has: [
        ['X-A', 'b'],
        ['X-A', 'c'],
      ],
    }),
    carried('behind empty lines', `\r\n\r\n${get()}`, got),
  ],
  'a Host that is none': [
    refused('two of the same', get(host)),
    refused('two of others', get('Host: b.example')),
    refused('two, one of them in other letters', get('hOST: b.example')),
    refused('not there', head('GET /ID HTTP/1.1', 'X-A: b')),
    refused('not there, nor anything else', head('GET /ID HTTP/1.1')),
    ...[
      ...[
        '',
        'a/b',
        'a@b',
        'a b',
        'a, b',
        'a.example/',
        'a.example:8x',
        'a.example:80:80',
        'a.example:-1',
        '[::1',
        '::1',
      ],
      ...['a.example?x', 'a.example#x', 'a\\b', 'http://a.example', 'user:password@a.example', 'a\tb', '\xe9.example'],
      ...['[::1]x', '%zz', '"a.example"', '<a>', 'a^b', 'a|b', '{a}', 'a`b', '*/*'],
    ].map((value) => refused(JSON.stringify(value), head('GET /ID HTTP/1.1', `Host: ${value}`))),
    refused('of HTTP/1.0, twice', start('GET /ID HTTP/1.0', host)),
    refused('of HTTP/1.0, with junk', head('GET /ID HTTP/1.0', 'Host: a/b')),
    // By the grammar these are registered names.
    ...['a,b', "a'b", 'a;b'].map((value) =>
      either(JSON.stringify(value), head('GET /ID HTTP/1.1', `Host: ${value}`), got),
    ),
  ],
  'a Host in another spelling': [
    ...[
      'a.example:80',
      'a.example:',
      'A.Example',
      '127.0.0.1:8080',
      '[::1]',
      '[::1]:80',
      'localhost',
      'a_b.example',
    ].map((value) => carried(value, head('GET /ID HTTP/1.1', `Host: ${value}`), { ...got, has: [['Host', value]] })),
    carried('not there in HTTP/1.0', head('GET /ID HTTP/1.0'), got),
    carried('in HTTP/1.0', start('GET /ID HTTP/1.0'), { ...got, has: [['Host', 'a.example']] }),
    carried('content in HTTP/1.0', `${start('POST /ID HTTP/1.0', 'Content-Length: 5')}hello`, posted),
    carried('content in HTTP/1.0 without a Host', `${head('POST /ID HTTP/1.0', 'Content-Length: 5')}hello`, posted),
  ],
  'a target in absolute form': [
    ...[
      ...[
        'http://b.example/ID',
        'http://a.example:81/ID',
        'http://a.example.b/ID',
        'http://u@a.example/ID',
        'http:///ID',
      ],
      ...['http://u:p@a.example/ID', 'http://a.example@b.example/ID', 'ftp://a.example/ID', 'file:///ID', 'http:/ID'],
      ...['ws://a.example/ID', 'javascript:ID', 'http://a.example\\@b.example/ID', 'http://a.example%2f@b.example/ID'],
      ...['http://[::1]/ID', 'http://ID', 'a.example/ID', 'a.example:80'],
    ].map((target) => refused(target, start(`GET ${target} HTTP/1.1`))),
    refused('with two Hosts', start('GET http://a.example/ID HTTP/1.1', 'Host: b.example')),
    refused('without a Host', head('GET http://a.example/ID HTTP/1.1', 'X-A: b')),
    refused('without a Host in HTTP/1.0', head('GET http://a.example/ID HTTP/1.0', 'X-A: b')),
    ...[
      'http://a.example/ID',
      'HTTP://A.EXAMPLE/ID',
      'http://a.example?ID',
      'http://a.example/?ID=http://b.example/',
    ].map((target) => carried(`of its own Host, ${target}`, start(`GET ${target} HTTP/1.1`), { ...got, target })),
    carried('with content', `${start('POST http://a.example/ID HTTP/1.1', 'Content-Length: 5')}hello`, {
      ...posted,
      target: 'http://a.example/ID',
    }),
    either('of its own Host, https', start('GET https://a.example/ID HTTP/1.1'), {
      ...got,
      target: 'https://a.example/ID',
    }),
  ],
  'a version that is not spoken': [
    ...[
      'HTTP/0.9',
      'HTTP/1.2',
      'HTTP/2.0',
      'HTTP/3.0',
      'HTTP/1',
      'HTTP/1.',
      'HTTP/.1',
      'HTTP/1.10',
      'HTTP/01.1',
      'http/1.1',
    ].map((version) => refused(version, start(`GET /ID ${version}`))),
    ...[
      'Http/1.1',
      'HTTPS/1.1',
      'HTTP /1.1',
      'HTTP/1 .1',
      'HTTP/1,1',
      'HTTP/1.1x',
      'HTTP/1.1 x',
      'HTP/1.1',
      'HTTP/-1.1',
    ].map((version) => refused(version, start(`GET /ID ${version}`))),
    refused('none at all, with fields', start('GET /ID')),
    refused('none at all, behind a space', start('GET /ID ')),
    aCase('none at all, and no more', 'GET /ID\r\n', [{ ...refusal, answers: [] }, refusal], 'end'),
    aCase('none at all, and one bare LF', 'GET /ID\n', [{ ...refusal, answers: [] }, refusal], 'end'),
    refused('content of HTTP/0.9', `${start('POST /ID HTTP/0.9', 'Content-Length: 5')}hello`),
    refused('the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'),
    refused('the preface of HTTP/2 as HTTP/1.1', start('PRI * HTTP/1.1')),
    refused('the first bytes of TLS', '\x16\x03\x01\0\xa5\x01\0\0\xa1\x03\x03'),
    either('of RTSP, GET', start('GET /ID RTSP/1.0'), got),
    refused('of ICE, GET', start('GET /ID ICE/1.0')),
    refused('of ICE, SOURCE', start('SOURCE /ID ICE/1.0')),
    refused('of ICE, SOURCE with a length', `${start('SOURCE /ID ICE/1.0', 'Content-Length: 5')}hello`),
    refused('of RTSP, DESCRIBE', start('DESCRIBE /ID RTSP/1.0')),
    either('of RTSP, OPTIONS', start('OPTIONS /ID RTSP/1.0'), { method: 'OPTIONS', target: '/ID', content: '' }),
    either('of RTSP, OPTIONS with a length', `${start('OPTIONS /ID RTSP/1.0', 'Content-Length: 5')}hello`, {
      method: 'OPTIONS',
      target: '/ID',
      content: 'hello',
    }),
    refused('of RTSP, OPTIONS in chunks', `${start('OPTIONS /ID RTSP/1.0', chunked)}${hello}`),
    either('two spaces behind the method', start('GET  /ID HTTP/1.1'), got),
    either('two spaces before the version', start('GET /ID  HTTP/1.1'), got),
    either('a space behind the version', start('GET /ID HTTP/1.1 '), got),
  ],
  'a method that is not carried': [
    ...[
      'SOURCE',
      'CONNECT',
      'FOO',
      'get',
      'Get',
      'gET',
      'GETX',
      'GE',
      'G@T',
      'GET:',
      'HTTP/1.1',
      'DESCRIBE',
      'PLAY',
      'PRI',
    ].map((method) => refused(method, start(`${method} /ID HTTP/1.1`))),
    refused('CONNECT to an authority', start('CONNECT a.example:443 HTTP/1.1')),
    refused('CONNECT with content', `${start('CONNECT a.example:443 HTTP/1.1', 'Content-Length: 5')}hello`),
    refused('CONNECT with a request behind it', `${start('CONNECT a.example:443 HTTP/1.1')}${smuggled}`),
    refused('CONNECT of HTTP/1.0', start('CONNECT a.example:443 HTTP/1.0')),
    refused('FOO with content', `${start('FOO /ID HTTP/1.1', 'Content-Length: 5')}hello`),
    refused('none at all', start(' /ID HTTP/1.1')),
    refused('none, nor a space', start('/ID HTTP/1.1')),
    refused('TRACE with content', `${start('TRACE /ID HTTP/1.1', 'Content-Length: 5')}hello`),
    refused('TRACE with chunks', `${start('TRACE /ID HTTP/1.1', chunked)}${hello}`),
  ],
  'a target that is none': [
    ...[
      ...[
        '/ID#x',
        '/ID?a#x',
        '/#ID',
        '#ID',
        'http://a.example/ID#x',
        '/ID x',
        '/ID  x',
        '/ID\tx',
        '/ID\x01x',
        '/ID\x0bx',
      ],
      ...['/ID\x0cx', '/ID\x1bx', '/ID\x7fx', '/ID\xe9x', '/ID\xc3\xa9', '/\xff/ID', '/ID?\xe9', '/ID?a\tb', '/ID?a b'],
      ...['*', '*/ID', '?ID', 'ID', '', '\\ID', '../ID', '%2fID', '@a/ID', ';ID', '"/ID"'],
    ].map((target) => refused(JSON.stringify(target), start(`GET ${target} HTTP/1.1`))),
    refused('* of a POST', `${start('POST * HTTP/1.1', 'Content-Length: 5')}hello`),
    refused('*x of OPTIONS', start('OPTIONS *ID HTTP/1.1')),
    refused('a fragment on a route', start('GET /api/states#x HTTP/1.1')),
  ],
  'a target that is carried byte for byte': [
    ...[
      ...[
        '/ID\\x',
        '/\\ID',
        '/ID"x"',
        "/ID'x'",
        '/ID<x>',
        '/ID^`{|}',
        '/ID[x]',
        '//ID',
        '///ID//',
        '/ID/../x',
        '/ID/./x',
      ],
      ...[
        '/ID/..;/x',
        '/ID/%2e%2e/%2f',
        '/ID%00',
        '/ID%0d%0aX-A:%20b',
        '/ID%zz',
        '/ID%',
        '/ID;a=b',
        '/ID?',
        '/ID??a=/',
      ],
      ...[
        '/ID?a=b&a=c&&=',
        '/ID?a=\\"<>^`{|}',
        '/ID?http://b.example/',
        '/http://b.example/ID',
        '/*ID',
        '/ID@b.example',
      ],
      ...['/ID:80', '/api/states/ID', '/API/states?ID', '/api//states?ID', '/api/states/?ID', '/api%2fstates?ID'],
      ...['//b.example/ID', '/ID!$&()*+,;=:@-._~'],
    ].flatMap((target) => [
      carried(target, start(`GET ${target} HTTP/1.1`), { ...got, target }),
      carried(`${target} with content`, `${start(`POST ${target} HTTP/1.1`, 'Content-Length: 5')}hello`, {
        ...posted,
        target,
      }),
    ]),
    carried('* of OPTIONS', start('OPTIONS * HTTP/1.1'), { method: 'OPTIONS', target: '*', content: '' }),
    carried('* of OPTIONS with content', `${start('OPTIONS * HTTP/1.1', 'Content-Length: 5')}hello`, {
      method: 'OPTIONS',
      target: '*',
      content: 'hello',
    }),
  ],
  'a request that is too large': [
    refused('by its target', start(`GET /ID${'x'.repeat(20_000)} HTTP/1.1`)),
    refused('by its query', start(`GET /ID?${'a=b&'.repeat(5000)} HTTP/1.1`)),
    refused('by one field', get(`X-A: ${'b'.repeat(20_000)}`)),
    refused('by the name of a field', get(`X-${'a'.repeat(20_000)}: b`)),
    refused('by many fields', get(...Array.from({ length: 1000 }, (_, i) => `X-Field-${i}: 0123456789`))),
    either('by the space around a value', get(`X-A:${' '.repeat(40_000)}b`), { ...got, has: [['X-A', 'b']] }),
    refused('by many fields, and a length last', `${post(...Array(3000).fill('X-A: bcd'), 'Content-Length: 5')}hello`),
    either(
      'by none of it, 2,500 small fields and a length last',
      `${post(...Array(2500).fill('a:b'), 'Content-Length: 5')}hello`,
      posted,
    ),
    either(
      'by none of it, 2,500 small fields and a coding last',
      `${post(...Array(2500).fill('a:b'), chunked)}${hello}`,
      posted,
    ),
    refused(
      'or not, 2,500 small fields and two lengths last',
      `${post(...Array(2500).fill('a:b'), 'Content-Length: 5', chunked)}${hello}`,
    ),
    aCase('by the parameters of a route', start(`GET /api/states?${params(2000)} HTTP/1.1`), [
      { answers: [400], seen: [], closes: false },
      { answers: [400], seen: [], closes: true },
    ]),
    carried('or not, 2,000 parameters that are not for a route', start(`GET /ID?${params(2000)} HTTP/1.1`), {
      ...got,
      target: `/ID?${params(2000)}`,
    }),
  ],
  'content of any method': [
    ...['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'POST', 'PROPFIND', 'QUERY', 'M-SEARCH', 'LINK'].flatMap(
      (method) => [
        carried(`${method}, sized`, `${start(`${method} /ID HTTP/1.1`, 'Content-Length: 5')}hello`, {
          ...posted,
          method,
        }),
        carried(`${method}, in chunks`, `${start(`${method} /ID HTTP/1.1`, chunked)}${hello}`, { ...posted, method }),
        carried(`${method}, none`, start(`${method} /ID HTTP/1.1`), { ...posted, method, content: '' }),
        carried(
          `${method}, that looks like a request`,
          `${start(`${method} /ID HTTP/1.1`, `Content-Length: ${smuggled.length}`)}${smuggled}`,
          { ...posted, method, content: smuggled },
        ),
      ],
    ),
    carried('TRACE, none', start('TRACE /ID HTTP/1.1'), { method: 'TRACE', target: '/ID', content: '' }),
    ...['GET', 'HEAD', 'PUT', 'OPTIONS'].map((method) =>
      carried(
        `${method} of a route's name below it`,
        `${start(`${method} /api/states/ID HTTP/1.1`, `Content-Length: ${smuggled.length}`)}${smuggled}`,
        { method, target: '/api/states/ID', content: smuggled },
      ),
    ),
    aCase(
      'GET of a route, that looks like a request',
      `${start('GET /api/states HTTP/1.1', `Content-Length: ${smuggled.length}`)}${smuggled}`,
      [{ answers: [200], seen: [], closes: true }],
    ),
    aCase(
      'GET of a route, in chunks, that looks like a request',
      `${start('GET /api/states HTTP/1.1', chunked)}2b\r\n${smuggled}\r\n0\r\n\r\n`,
      [{ answers: [200], seen: [], closes: true }],
    ),
    aCase(
      'POST to a route, of a type it does not take',
      `${start('POST /api/plans/search HTTP/1.1', `Content-Length: ${smuggled.length}`)}${smuggled}`,
      [
        { answers: [415], seen: [], closes: true },
        { answers: [415], seen: [], closes: false },
      ],
    ),
    aCase(
      'POST to a route, larger than it takes',
      start('POST /api/plans/search HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 20000') +
        smuggled.repeat(400).slice(0, 20_000),
      [refusal],
    ),
  ],
  'what Connection names': [
    carried('Content-Length', `${post('Connection: content-length', 'Content-Length: 5')}hello`, posted),
    carried('Content-Length, of a GET', `${get('Connection: content-length', 'Content-Length: 5')}hello`, {
      ...got,
      content: 'hello',
    }),
    carried('Transfer-Encoding and Host', `${post('Connection: transfer-encoding, host', chunked)}${hello}`, posted),
    carried('Transfer-Encoding and Host, of a GET', `${get('Connection: transfer-encoding, host', chunked)}${hello}`, {
      ...got,
      content: 'hello',
    }),
    carried('Host', get('Connection: host'), { ...got, has: [['Host', 'a.example']] }),
    carried('a field that is taken out', get('Connection: close, x-secret', 'X-Secret: s', 'X-A: b'), {
      ...got,
      has: [['X-A', 'b']],
      lacks: ['x-secret'],
    }),
    carried('two fields, in two', get('Connection: x-secret', 'X-Secret: s', 'Connection: X-Other,,', 'X-Other: s'), {
      ...got,
      lacks: ['x-secret', 'x-other'],
    }),
    carried(
      'a field, of a request with content',
      `${post('Connection: x-secret', 'X-Secret: s', 'Content-Length: 5')}hello`,
      {
        ...posted,
        lacks: ['x-secret'],
      },
    ),
    carried('itself', get('Connection: connection, close'), got),
    carried(
      'Trailer, TE and Keep-Alive',
      `${post('Connection: TE', 'TE: trailers, gzip', 'Keep-Alive: 5', 'Trailer: X', chunked)}${hello}`,
      {
        ...posted,
        lacks: ['keep-alive'],
      },
    ),
  ],
  'an expectation': [
    ...[
      'junk',
      '100-continue, junk',
      '200-ok',
      '',
      '100-continue;a=b',
      '"100-continue"',
      '100-continue 100-continue',
    ].map((value) => refused(`of ${JSON.stringify(value)}`, `${post(`Expect: ${value}`, 'Content-Length: 5')}hello`)),
    refused('of junk and no content', get('Expect: junk')),
    refused('of two, one of them junk', `${post('Expect: 100-continue', 'Expect: junk', 'Content-Length: 5')}hello`),
    carried('of 100-continue', `${post('Expect: 100-continue', 'Content-Length: 5')}hello`, posted),
    carried('of 100-continue, in chunks', `${post('Expect: 100-Continue', chunked)}${hello}`, posted),
    carried('of 100-continue, without content', get('Expect: 100-continue'), got),
    either(
      'of 100-continue, twice',
      `${post('Expect: 100-continue', 'Expect: 100-continue', 'Content-Length: 5')}hello`,
      posted,
    ),
    either(
      'of 100-continue in HTTP/1.0',
      `${start('POST /ID HTTP/1.0', 'Expect: 100-continue', 'Content-Length: 5')}hello`,
      posted,
    ),
  ],
  'a wish for another protocol': [
    carried('h2c', get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'), {
      ...got,
      lacks: ['upgrade', 'http2-settings'],
    }),
    carried(
      'h2c, with content',
      `${post('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMA', 'Content-Length: 5')}hello`,
      {
        ...posted,
        lacks: ['upgrade', 'http2-settings'],
      },
    ),
    ...['h2c, websocket', 'websocket, h2c', 'websocketx', 'TLS/1.0', 'websocket/13', ''].map((value) =>
      carried(`Upgrade: ${value}`, start('GET /ID-accept HTTP/1.1', 'Connection: Upgrade', `Upgrade: ${value}`), {
        ...got,
        target: '/ID-accept',
        lacks: ['upgrade'],
      }),
    ),
    carried(
      'two of them',
      start('GET /ID-accept HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket', 'Upgrade: h2c'),
      {
        ...got,
        target: '/ID-accept',
        lacks: ['upgrade'],
      },
    ),
    carried('that Connection does not name', start('GET /ID-accept HTTP/1.1', 'Upgrade: websocket'), {
      ...got,
      target: '/ID-accept',
      lacks: ['upgrade'],
    }),
    carried('websocket, with content', `${websocket('/ID-accept', 'Content-Length: 5')}hello`, {
      ...got,
      target: '/ID-accept',
      content: 'hello',
      lacks: ['upgrade'],
    }),
    carried(
      'websocket, with content that looks like a request',
      `${websocket('/ID-accept', `Content-Length: ${smuggled.length}`)}${smuggled}`,
      {
        ...got,
        target: '/ID-accept',
        content: smuggled,
        lacks: ['upgrade'],
      },
    ),
    carried('websocket, in chunks', `${websocket('/ID-accept', chunked)}${hello}`, {
      ...got,
      target: '/ID-accept',
      content: 'hello',
      lacks: ['upgrade'],
    }),
    carried('websocket of a POST', `${websocket('/ID-accept', 'Content-Length: 5').replace('GET', 'POST')}hello`, {
      ...posted,
      target: '/ID-accept',
      lacks: ['upgrade'],
    }),
    carried('websocket in HTTP/1.0', websocket('/ID-accept').replace('HTTP/1.1', 'HTTP/1.0'), {
      ...got,
      target: '/ID-accept',
      lacks: ['upgrade'],
    }),
    refused('websocket, of a bad Host', websocket('/ID-accept', 'Host: b.example')),
    refused('websocket, of two lengths', websocket('/ID-accept', 'Content-Length: 0', 'Content-Length: 0')),
    refused('websocket, of a target with a fragment', websocket('/ID-accept#x')),
    refused('websocket, with a field that looks like a length', websocket('/ID-accept', 'Content_Length: 5')),
    refused('websocket, of a coding not known', websocket('/ID-accept', 'Transfer-Encoding: identity')),
    aCase('websocket, refused by the web tier', websocket('/ID'), [{ answers: [426], seen: [got], closes: true }]),
    aCase('websocket, refused by the web tier, a request behind it', `${websocket('/ID')}${smuggled}`, [
      { answers: [426], seen: [got], closes: true },
    ]),
    aCase(
      'websocket, refused by the web tier, content that was not announced behind it',
      `${websocket('/ID', 'Content-Length: 0')}${post('Content-Length: 5')}hello`,
      [{ answers: [426], seen: [got], closes: true }],
    ),
    aCase('websocket of a route', `${websocket('/api/states')}`, [
      { answers: [200], seen: [], closes: false },
      { answers: [200], seen: [], closes: true },
    ]),
  ],
  'a request that never becomes whole': [
    ...incomplete('nothing but its start', 'POST /ID'),
    ...incomplete('a request line', 'GET /ID HTTP/1.1\r\n'),
    ...incomplete('half a field', `GET /ID HTTP/1.1\r\n${host}\r\nX-A`),
    ...incomplete('all but the last LF of a head', get().slice(0, -1)),
    ...incomplete('all but the last CRLF of a head', get().slice(0, -2)),
    ...incomplete('all but the last CRLF of a head with a length', post('Content-Length: 0').slice(0, -2)),
    ...incomplete('a head, and no content', post('Content-Length: 5')),
    ...incomplete('half its content', `${post('Content-Length: 5')}hel`),
    ...incomplete('all but a byte of its content', `${post('Content-Length: 5')}hell`),
    ...incomplete('half the content of a GET', `${get('Content-Length: 5')}hel`),
    ...incomplete('half the content of a DELETE', `${start('DELETE /ID HTTP/1.1', 'Content-Length: 5')}hel`),
    ...incomplete('half its content, that looks like a request', `${post('Content-Length: 100')}${smuggled}`),
    ...incomplete('half its content in HTTP/1.0', `${start('POST /ID HTTP/1.0', 'Content-Length: 5')}hel`),
    ...incomplete('a head, and no chunk', post(chunked)),
    ...incomplete('half a chunk size', `${post(chunked)}5`),
    ...incomplete('a chunk size', `${post(chunked)}5\r\n`),
    ...incomplete('half a chunk', `${post(chunked)}5\r\nhel`),
    ...incomplete('a chunk without its end', `${post(chunked)}5\r\nhello`),
    ...incomplete('a chunk, and no last one', `${post(chunked)}5\r\nhello\r\n`),
    ...incomplete('half a last chunk', `${post(chunked)}5\r\nhello\r\n0`),
    ...incomplete('a last chunk, and no end', `${post(chunked)}5\r\nhello\r\n0\r\n`),
    ...incomplete('a last chunk, and half its end', `${post(chunked)}5\r\nhello\r\n0\r\n\r`),
    ...incomplete('half a trailer section', `${post(chunked)}5\r\nhello\r\n0\r\nX-T: v\r\n`),
    ...incomplete('a chunk of the largest size', `${post(chunked)}FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n${smuggled}`),
    ...incomplete('a chunk of half that', `${post(chunked)}7FFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n`),
    ...incomplete('the longest length there is', `${post('Content-Length: 9007199254740991')}hello${smuggled}`),
    ...incomplete('100-continue, and no content', post('Expect: 100-continue', 'Content-Length: 5')),
    ...incomplete(
      'a POST to a route',
      `${start('POST /api/plans/search HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 50')}{}`,
    ),
  ],
  'two good requests in one packet': [
    carried('GET and GET', `${get()}${get().replace('/ID', '/ID-2')}`, got, { ...got, target: '/ID-2' }),
    carried('POST and GET', `${post('Content-Length: 5')}hello${get().replace('/ID', '/ID-2')}`, posted, {
      ...got,
      target: '/ID-2',
    }),
    carried('GET and POST', `${get()}${post('Content-Length: 5').replace('/ID', '/ID-2')}hello`, got, {
      ...posted,
      target: '/ID-2',
    }),
    carried(
      'chunks and a length',
      `${post(chunked)}${hello}${post('Content-Length: 5').replace('/ID', '/ID-2')}HELLO`,
      posted,
      {
        ...posted,
        target: '/ID-2',
        content: 'HELLO',
      },
    ),
    carried(
      'chunks with trailers, and GET',
      `${post(chunked)}5\r\nhello\r\n0\r\nX-T: v\r\n\r\n${get().replace('/ID', '/ID-2')}`,
      {
        ...posted,
        trailers: [['X-T', 'v']],
      },
      { ...got, target: '/ID-2' },
    ),
    carried(
      'HEAD and GET',
      `${start('HEAD /ID HTTP/1.1')}${get().replace('/ID', '/ID-2')}`,
      { ...got, method: 'HEAD' },
      {
        ...got,
        target: '/ID-2',
      },
    ),
    carried('an empty line between', `${post('Content-Length: 5')}hello\r\n${get().replace('/ID', '/ID-2')}`, posted, {
      ...got,
      target: '/ID-2',
    }),
    carried(
      'five of them',
      [1, 2, 3, 4, 5].map((n) => get().replace('/ID', `/ID-${n}`)).join(''),
      ...[1, 2, 3, 4, 5].map((n) => ({ ...got, target: `/ID-${n}` })),
    ),
    aCase('one of them of a route', `${start('GET /api/states HTTP/1.1')}${get()}`, [
      { answers: [200, 200], seen: [got], closes: false },
    ]),
  ],
  'something bad behind a good request': [
    behind('two lengths', get(), got, `${post(chunked, 'Content-Length: 5').replace('/ID', '/bad')}0\r\n\r\n`),
    behind(
      'two lengths behind content',
      `${post('Content-Length: 5')}hello`,
      posted,
      `${post(chunked, 'Content-Length: 5').replace('/ID', '/bad')}0\r\n\r\n`,
    ),
    behind(
      'two lengths behind chunks',
      `${post(chunked)}${hello}`,
      posted,
      `${post(chunked, 'Content-Length: 5').replace('/ID', '/bad')}0\r\n\r\n`,
    ),
    behind('a bad Host', get(), got, head('GET /bad HTTP/1.1', 'Host: a/b')),
    behind('a fragment', get(), got, start('GET /bad#x HTTP/1.1')),
    behind('a bad method', get(), got, start('FOO /bad HTTP/1.1')),
    behind('CONNECT', get(), got, start('CONNECT a.example:80 HTTP/1.1')),
    behind('a bad version', get(), got, start('GET /bad HTTP/1.2')),
    behind('garbage', get(), got, '\0\0\0\r\n\r\n'),
    behind(
      'a transfer coding not known',
      get(),
      got,
      `${post('Transfer-Encoding: gzip, chunked').replace('/ID', '/bad')}${hello}`,
    ),
    behind('a bad chunk', get(), got, `${post(chunked).replace('/ID', '/bad')}5\r\nhelloX\r\n0\r\n\r\n`),
    behind('longer content than it says', `${post('Content-Length: 5')}hello`, posted, ', you\r\n\r\n'),
    behind('a good one, when it was to be the last', get('Connection: close'), got, get().replace('/ID', '/bad')),
    behind('a good one, when it was of HTTP/1.0', start('GET /ID HTTP/1.0'), got, get().replace('/ID', '/bad')),
    behind(
      'a good one, when it was to be the last, with content',
      `${post('Connection: close', 'Content-Length: 5')}hello`,
      posted,
      get().replace('/ID', '/bad'),
    ),
  ],
}

function params(count: number): string {
  return Array.from({ length: count }, (_, i) => `p${i % 10}=${i % 7}`).join('&')
}

function websocket(target: string, ...fields: string[]): string {
  const key = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
  return start(`GET ${target} HTTP/1.1`, 'Connection: Upgrade', 'Upgrade: websocket', ...key, ...fields)
}

const all = Object.entries(groups).flatMap(([group, members]) =>
  members.map((one) => ({ ...one, title: `${group}: ${one.title}` })),
)
const isPassage = ({ answers, seen, closes }: Outcome) =>
  !closes && seen.length === answers.length && answers.every((status) => status === 200)
/** Without a twin: with nothing behind it, it may go through as it is, and only the closing is this proxy's. */
const exempt = new Set(['a wish for another protocol: websocket, refused by the web tier'])
/** What this proxy has to stop, all or a part of it. */
const guarded = all.filter(({ title, outcomes }) => !outcomes.some(isPassage) && !exempt.has(title))
const refusedOnes = guarded.filter(
  ({ outcomes: [first, ...more], then }) => more.length === 0 && first?.answers[0] === 'refused' && then === 'wait',
)
/** What may go through as it is. */
const plain = all.filter(
  ({ title, outcomes }) =>
    outcomes.length === 1 &&
    outcomes.every((outcome) => isPassage(outcome) && outcome.seen.every(({ lacks }) => lacks === undefined)) &&
    !title.includes('empty line'), // of which a proxy passes on none (RFC 9112, 2.2)
)

let upstream: StrictUpstream
let app: Running
let port: number

beforeAll(async () => {
  upstream = await StrictUpstream.start()
  app = await startApp(inject('databaseUrl'), { UPSTREAM_URL: `http://127.0.0.1:${upstream.port}` })
  port = Number(new URL(app.url).port)
})
afterAll(async () => {
  await app.stop()
  await upstream.stop()
})
afterEach(() => {
  upstream.pause = () => undefined
  upstream.excess = () => ''
})

interface Attempt {
  /** Sends the bytes one by one. */
  slowly?: boolean
  /** Through one of our own relays: for the case alone, with nothing known of what came before it. */
  isTwin?: boolean
}

/** Sends `one` to `to`, and says what is unsafe about what comes of it: nothing, when it is as it should be. */
async function unsafe(one: Case, to: number, { slowly = false, isTwin = false }: Attempt = {}): Promise<string[]> {
  const ms = isTwin ? 200 : deadlineMs
  const faults: string[] = []
  if (!isTwin && strangers().length > 0) faults.push(`seen: after the case before, ${JSON.stringify(strangers())}`)
  upstream.forget()
  const client = new Client(to, one.bytes.startsWith('HEAD ') ? [0] : [])
  if (slowly) await client.sendSlowly(one.bytes)
  else client.send(one.bytes)
  if (one.then === 'end') client.end()
  if (one.then === 'reset') await client.reset()
  const most = Math.max(1, ...one.outcomes.map(({ answers }) => answers.length))
  /** What it has got so far is one of the outcomes, and only the closing is missing. */
  const mustClose = () => {
    const fitting = one.outcomes.filter((outcome) => isAnswered(outcome, client.answers))
    return fitting.length > 0 && fitting.every(({ closes }) => closes)
  }
  await client.until(() => client.isClosed || (client.answers.length >= most && !mustClose()), ms)
  const closed = client.isClosed
  client.end()
  if (!(await client.until(() => client.isClosed, ms))) faults.push('closing: the connection stays open')
  client.close()
  if (!isTwin) faults.push(...(await canaries(to)))
  if (!(await upstream.quiet(ms))) faults.push('seen: a request that is neither whole nor cut')
  const seen = strangers()
  faults.push(...upstream.violations.map((violation) => `violation: ${violation}`))
  upstream.forget()
  if (client.fault !== undefined) faults.push(`answer: ${client.fault}`)
  const differences = one.outcomes.map((outcome) => differencesTo(outcome, client.answers, seen, closed))
  if (!differences.some((found) => found.length === 0)) faults.push(...(differences[0] as string[]))
  return faults
}

/** What the web tier has seen but for canaries. */
function strangers(): Recorded[] {
  return upstream.requests.filter(({ target }) => !target.startsWith('/canary'))
}

function isAnswered(outcome: Outcome, answers: readonly Answer[]): boolean {
  const isWanted = (wanted: number | 'refused', i: number) => {
    const status = answers[i]?.status
    return wanted === 'refused' ? status !== undefined && refusals.has(status) : wanted === status
  }
  return answers.length === outcome.answers.length && outcome.answers.every(isWanted)
}

function differencesTo(
  outcome: Outcome,
  answers: readonly Answer[],
  seen: readonly Recorded[],
  closed: boolean,
): string[] {
  const found: string[] = []
  if (!isAnswered(outcome, answers))
    found.push(
      `answer: ${answers.map(({ status }) => status).join() || 'none'} for ${outcome.answers.join() || 'none'}`,
    )
  if (outcome.closes && !closed) found.push('closing: it is left to the client')
  if (seen.length !== outcome.seen.length)
    found.push(`seen: ${seen.length} for ${outcome.seen.length}, ${JSON.stringify(seen)}`)
  for (const [i, { answers: named, content }] of answers.filter((answer) => answer.answers !== '').entries()) {
    const wanted = outcome.seen[i]
    const name = `${wanted?.method} ${wanted?.target}`
    if (named !== name || content !== (wanted?.method === 'HEAD' ? '' : name))
      found.push(`answer: of ${named} for ${name}`)
  }
  for (const [i, wanted] of outcome.seen.entries()) {
    const recorded = seen[i]
    if (recorded === undefined) continue
    const { method, target, content = '', trailers = [], has = [], lacks = [] } = wanted
    const is = JSON.stringify([recorded.method, recorded.target, recorded.content, recorded.trailers])
    const to = JSON.stringify([method, target, content, trailers])
    if (is !== to) found.push(`seen: ${is} for ${to}`)
    for (const [name, value] of has) {
      const values = valuesOf(recorded.fields, name.toLowerCase())
      if (!values.includes(value)) found.push(`seen: ${name} of ${JSON.stringify(values)} for ${JSON.stringify(value)}`)
    }
    for (const name of lacks) if (valuesOf(recorded.fields, name).length > 0) found.push(`seen: ${name}`)
  }
  return found
}

let canary = 0
/** Asks over every connection that is kept open to the web tier, and over a new one, for what nobody else asks for. */
async function canaries(to: number, count = Math.max(1, upstream.idle)): Promise<string[]> {
  const { opened, open } = gate()
  const { pause } = upstream
  let come = 0
  upstream.pause = (asked) => {
    if (!asked.target.startsWith('/canary')) return pause(asked)
    come += 1
    if (come >= count) open()
    return opened
  }
  const ask = async (method: string, content: string) => {
    canary += 1
    const target = `/canary-${canary}`
    const client = new Client(to)
    client.send(
      `${method} ${target} HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${content.length}\r\n\r\n${content}`,
    )
    await client.until(() => client.answers.length > 0 || client.isClosed)
    const [answer] = client.answers
    client.close()
    const is = `${answer?.status} ${answer?.answers} ${answer?.content}`
    const name = `${method} ${target}`
    return is === `200 ${name} ${name}` ? [] : [`canary: ${is} for ${name}`]
  }
  const over = await Promise.all(Array.from({ length: count }, () => ask('GET', '')))
  open()
  // Over a connection opened after those of the case: what they brought has been read when this is answered.
  const anew = await ask('POST', 'content')
  upstream.pause = pause
  return [...over, anew].flat()
}

describe.for(Object.entries(groups))('%s', ([, members]) => {
  for (const one of members) test(one.title, async () => expect(await unsafe(one, port)).toEqual([]))
})

describe('a good request behind one that is refused is not carried', () => {
  for (const one of refusedOnes)
    test(one.title, async () => {
      expect(await unsafe({ ...one, bytes: one.bytes + smuggled }, port)).toEqual([])
    })
})

describe('byte by byte it comes to the same', () => {
  test.for([
    ...(groups['both a length and a transfer coding'] as Case[]),
    carried('chunks with trailers', `${post(chunked)}5;a="b"\r\nhello\r\n0\r\nX-T: v\r\n\r\n`, {
      ...posted,
      trailers: [['X-T', 'v']],
    }),
    carried('two in a row', `${get()}${get().replace('/ID', '/ID-2')}`, got, { ...got, target: '/ID-2' }),
    refused('a bare LF in a chunk', `${post(chunked)}5\r\nhello\n0\r\n\r\n`),
    refused('a coding not known', `${post('Transfer-Encoding: chunked, identity')}${hello}`),
    behind(
      'two lengths behind a good one',
      get(),
      got,
      `${post(chunked, 'Content-Length: 5').replace('/ID', '/bad')}0\r\n\r\n`,
    ),
  ])('$title', async (one) => {
    expect(await unsafe(one, port, { slowly: true })).toEqual([])
  })
})

/** Asks for a WebSocket, with bytes of it in the same packet, and has the answer held back until `check` is done. */
async function upgrade(to: number, early: string, check: () => Promise<void>): Promise<Client> {
  upstream.forget()
  const { opened, open } = gate()
  upstream.pause = ({ target }) => (target.includes('accept') ? opened : undefined)
  const client = new Client(to)
  client.send(websocket('/accept') + early)
  await upstream.until(() => upstream.requests.length > 0)
  await check()
  open()
  return client
}

describe('a WebSocket that the web tier accepts', () => {
  test('is a tunnel for both sides from the 101 on, and not a byte passes before', async () => {
    const client = await upgrade(port, smuggled, async () => {
      expect(await canaries(port)).toEqual([])
      expect([upstream.violations, upstream.tunnelled]).toEqual([[], ''])
    })
    await client.until(() => client.tunnelled.length > 0)
    client.send('\0late\r\n')
    await client.until(() => client.tunnelled.endsWith('late\r\n'))
    expect(client.interim).toEqual([101])
    expect([upstream.tunnelled, client.tunnelled]).toEqual([`${smuggled}\0late\r\n`, `echo:${smuggled}echo:\0late\r\n`])
    client.end()
    expect(await client.until(() => client.isClosed)).toBe(true)
    expect([await canaries(port), upstream.violations, strangers().length]).toEqual([[], [], 1])
    upstream.forget()
  })

  test('twin: bytes that are passed on as they come arrive before the 101', async () => {
    const relay = await verbatimRelay(upstream.port)
    const client = await upgrade(relay.port, smuggled, async () => {
      await upstream.until(() => upstream.violations.length > 0)
      expect(upstream.violations[0]).toMatch('bytes ahead of the 101')
    })
    client.close()
    await relay.stop()
    upstream.forget()
  })
})

test('content that waits for 100-continue is asked for by the web tier, and carried once it comes', async () => {
  upstream.forget()
  const client = new Client(port)
  client.send(head('POST /waits HTTP/1.1', host, 'Expect: 100-continue', 'Content-Length: 5'))
  await client.until(() => client.interim.length > 0)
  expect([client.interim, client.answers, upstream.requests]).toEqual([[100], [], []])
  client.send('hello')
  await client.until(() => client.answers.length > 0)
  expect(client.answers).toMatchObject([{ status: 200, answers: 'POST /waits' }])
  expect(upstream.requests).toMatchObject([{ method: 'POST', target: '/waits', content: 'hello' }])
  client.close()
  upstream.forget()
})

describe('an answer of the web tier that nobody asked for', () => {
  const stolen = 'HTTP/1.1 200 OK\r\nX-Answers: GET /stolen\r\nContent-Length: 6\r\n\r\nstolen'
  const excessive = [
    carried('behind that to a GET', get(), got),
    carried('behind that to a HEAD', start('HEAD /ID HTTP/1.1'), { ...got, method: 'HEAD' }),
    carried('behind that to a GET with content', `${get('Content-Length: 5')}hello`, { ...got, content: 'hello' }),
    carried('behind that to a POST', `${post('Content-Length: 5')}hello`, posted),
  ]
  const isExcessive = ({ target }: Recorded) => (target.startsWith('/canary') ? '' : stolen)

  test.for(excessive)('$title, reaches nobody', async (one) => {
    upstream.excess = isExcessive
    expect(await unsafe(one, port)).toEqual([])
  })

  test('twin: over a connection that is shared as it is, the next to ask gets it', async () => {
    const relay = await sharingRelay(upstream.port)
    upstream.excess = isExcessive
    const client = new Client(relay.port)
    client.send(get())
    await client.until(() => client.isClosed)
    expect(await canaries(relay.port, 1)).toContainEqual(expect.stringMatching(/^canary: 200 GET \/stolen/))
    client.close()
    await relay.stop()
    upstream.forget()
  })
})

describe('a request behind one that changes something', () => {
  test.for([
    ['GET', get()],
    ['POST', `${post('Content-Length: 5')}hello`],
  ])('waits for the answer to that (RFC 9112, 9.3.2): %s', async ([, second]) => {
    upstream.forget()
    const { opened, open } = gate()
    upstream.pause = ({ target }) => (target === '/first' ? opened : undefined)
    const client = new Client(port)
    client.send(`${post('Content-Length: 5').replace('/ID', '/first')}hello${second?.replace('/ID', '/second')}`)
    await upstream.until(() => strangers().length > 0)
    expect(await canaries(port)).toEqual([])
    const seen = strangers().map(({ target }) => target)
    open()
    await client.until(() => client.answers.length === 2)
    client.close()
    expect(seen).toEqual(['/first'])
    expect(client.answers.map(({ content }) => content.replace(/.* /, ''))).toEqual(['/first', '/second'])
    expect(strangers().map(({ target }) => target)).toEqual(['/first', '/second'])
    upstream.forget()
  })
})

test('what is refused behind a request under way is not given out as the answer to that', async () => {
  upstream.forget()
  const { opened, open } = gate()
  upstream.pause = ({ target }) => (target === '/first' ? opened : undefined)
  const client = new Client(port)
  client.send(`${post('Content-Length: 5').replace('/ID', '/first')}hello`)
  await upstream.until(() => strangers().length > 0)
  client.send(start('GET /second#x HTTP/1.1').replace('GET', '\0'))
  expect(await canaries(port)).toEqual([])
  open()
  expect(await client.until(() => client.isClosed)).toBe(true)
  expect(client.answers[0]?.status ?? 'none').toSatisfy((status) => status === 200 || status === 'none')
  expect(strangers().map(({ target }) => target)).toEqual(['/first'])
  upstream.forget()
})

describe('a connection that was not given another protocol is gone when its client is', () => {
  const tunnels: [string, string][] = [
    ['a WebSocket that the web tier refuses', websocket('/refused')],
    ['CONNECT', start('CONNECT a.example:443 HTTP/1.1')],
  ]
  test.for(
    tunnels.flatMap(([what, asked]) => [
      { title: what, packets: [asked] },
      { title: `${what}, a request behind it`, packets: [asked + smuggled] },
      { title: `${what}, a request after the answer`, packets: [asked, smuggled] },
    ]),
  )('$title', async ({ packets: [first = '', later = ''] }) => {
    upstream.forget()
    const own = await startApp(inject('databaseUrl'), { UPSTREAM_URL: `http://127.0.0.1:${upstream.port}` })
    const client = new Client(Number(new URL(own.url).port))
    client.send(first)
    await client.until(() => client.answers.length > 0)
    client.send(later)
    expect(await client.until(() => client.isClosed)).toBe(true)
    client.end()
    // Stopping waits for every connection there is.
    const late = new Promise((resolve) => setTimeout(resolve, deadlineMs, 'a connection is still there').unref())
    expect(await Promise.race([own.stop().then(() => 'none is left'), late])).toBe('none is left')
    expect(strangers().filter(({ target }) => target === '/smuggled')).toEqual([])
    upstream.forget()
  })
})

/**
 * The oracle itself. What has to be stopped is let through by relays that keep no rule, and must then be found unsafe at the web
 * tier: as bytes it cannot read, or as a request that it should not have seen.
 */
describe('twin: through a relay that keeps no rule it is found unsafe', () => {
  let verbatim: Relay
  let careless: Relay
  beforeAll(async () => {
    verbatim = await verbatimRelay(upstream.port)
    careless = await carelessRelay(upstream.port)
  })
  afterAll(async () => {
    await Promise.all([verbatim.stop(), careless.stop()])
  })

  for (const one of guarded)
    test(one.title, async () => {
      const isFound = (fault: string) => /^(violation|seen): /.test(fault)
      const passed = one.then === 'wait' ? await unsafe(one, verbatim.port, { isTwin: true }) : []
      if (passed.some(isFound)) return
      upstream.forget()
      const client = new Client(careless.port)
      client.send(one.bytes)
      if (one.then === 'reset') await client.reset()
      else client.end()
      await upstream.until(() => upstream.violations.length + upstream.requests.length > 0)
      const isSafe = one.outcomes.some(({ seen }) => seen.length === upstream.requests.length)
      expect([isSafe, upstream.violations]).not.toEqual([true, []])
      client.close()
      upstream.forget()
    })

  for (const one of plain)
    test(`control: ${one.title}, goes through unharmed`, async () => {
      expect(await unsafe(one, verbatim.port, { isTwin: true })).toEqual([])
    })
})
