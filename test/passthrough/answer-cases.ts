// Irregular answers of the upstream, by kind.
import { responseOf } from '../wire/messages.ts'
import { closing, resetting } from '../wire/scripted-upstream.ts'
import { type AnswerCase, chunked, ok } from './answer-case.ts'

export const poison = responseOf('poison', `${ok}Set-Cookie: poison=1\r\n`)

/** Answers with an ambiguous end. */
export const ambiguous: readonly AnswerCase[] = [
  {
    name: 'both lengths',
    says: `${ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    content: 'hello',
  },
  {
    name: 'both lengths, the other way round',
    says: `${ok}Transfer-Encoding: chunked\r\nContent-Length: 15\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    content: 'hello',
  },
  { name: 'the same length twice', says: `${ok}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, content: 'hello' },
  { name: 'the same length twice in one field', says: `${ok}Content-Length: 5, 5\r\n\r\nhello`, content: 'hello' },
  { name: 'two lengths', says: `${ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!` },
  { name: 'two lengths in one field', says: `${ok}Content-Length: 5, 6\r\n\r\nhello!` },
  ...['+5', '-5', '0x5', '5 5', 'five', '', '5;', '"5"', '5.0', '99999999999999999999'].map((length) => ({
    name: `the length ${JSON.stringify(length)}`,
    says: `${ok}Content-Length: ${length}\r\n\r\nhello`,
  })),
  ...[
    'gzip',
    'identity',
    'chunked, chunked',
    'gzip, chunked',
    'chunked, gzip',
    'chunked, identity',
    'xchunked',
    'chunked;q=1',
    '"chunked"',
    '\x0bchunked',
    'chunked\r\nTransfer-Encoding: chunked',
    'chunked\r\nTransfer-Encoding: identity',
    'identity\r\nContent-Length: 5',
  ].map((coding) => ({
    name: `the transfer coding ${JSON.stringify(coding)}`,
    says: `${ok}Transfer-Encoding: ${coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  })),
  // RFC 9112, 6.1 requires closing such a connection. The client does not distinguish the versions; the end of this
  // answer is not in doubt.
  {
    name: 'chunks in HTTP/1.0',
    says: 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    content: 'hello',
    isFine: true,
  },
  ...['5x', '0x5', '-5', '+5', ' 5', '5 5', '', '\x005', 'ffffffffffffffffff', '10000000000000005'].map((size) => ({
    name: `a chunk of size ${JSON.stringify(size)}`,
    says: `${chunked}${size}\r\nhello\r\n0\r\n\r\n`,
  })),
  { name: 'a chunk longer than its size', says: `${chunked}3\r\nhello\r\n0\r\n\r\n` },
  { name: 'a chunk without its end', says: `${chunked}5\r\nhello0\r\n\r\n` },
  { name: 'chunks whose lines end in LF', says: `${chunked}5\nhello\n0\n\n`, content: 'hello' },
]

/** Answers that end early. */
export const truncated: readonly AnswerCase[] = [
  { name: 'content shorter than its length', says: closing(`${ok}Content-Length: 10\r\n\r\nhello`) },
  { name: 'no content at all for its length', says: closing(`${ok}Content-Length: 10\r\n\r\n`) },
  { name: 'chunks without the last one', says: closing(`${chunked}5\r\nhello\r\n`) },
  { name: 'half a chunk', says: closing(`${chunked}a\r\nhello`) },
  { name: 'a last chunk without its end', says: closing(`${chunked}5\r\nhello\r\n0\r\n`) },
  { name: 'an end in the trailers', says: closing(`${chunked}5\r\nhello\r\n0\r\nX-Sum: 1`) },
  { name: 'an end in the head', says: closing(`${ok}Content-Length: 5\r\nX-`) },
  { name: 'an end after the status line', says: closing(ok) },
  { name: 'an end in the status line', says: closing('HTTP/1.1 2') },
  { name: 'an end before a byte', says: closing('') },
  { name: 'a reset before a byte', says: resetting('') },
  { name: 'a reset in the head', says: resetting(`${ok}Content-Le`) },
  { name: 'a reset in content with a length', says: resetting(`${ok}Content-Length: 10\r\n\r\nhello`) },
  { name: 'a reset in chunks', says: resetting(`${chunked}5\r\nhello\r\n`) },
  { name: 'a reset in content without a length', says: resetting(`${ok}\r\nhello`) },
]

/** Answers that are not HTTP/1.1. */
export const malformed: readonly AnswerCase[] = [
  { name: 'lines that end in LF', says: 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello', content: 'hello' },
  { name: 'one line that ends in LF', says: `${ok}X-A: 1\nContent-Length: 5\r\n\r\nhello`, content: 'hello' },
  { name: 'a bare CR in a value', says: `${ok}X-A: 1\rContent-Length: 3\r\nContent-Length: 5\r\n\r\nhello` },
  { name: 'a NUL in a value', says: `${ok}X-A: a\0b\r\nContent-Length: 5\r\n\r\nhello` },
  { name: 'a NUL in a name', says: `${ok}X\0A: b\r\nContent-Length: 5\r\n\r\nhello` },
  { name: 'a folded line', says: `${ok}X-A: a\r\n b\r\nContent-Length: 5\r\n\r\nhello`, content: 'hello' },
  { name: 'a folded length', says: `${ok}Content-Length:\r\n 5\r\n\r\nhello`, content: 'hello' },
  { name: 'a space before the colon', says: `${ok}Content-Length : 5\r\n\r\nhello` },
  { name: 'a tab before the colon', says: `${ok}Transfer-Encoding\t: chunked\r\nContent-Length: 5\r\n\r\nhello` },
  { name: 'a space before the first name', says: `${ok} X-A: 1\r\nContent-Length: 5\r\n\r\nhello` },
  { name: 'a field without a name', says: `${ok}: 1\r\nContent-Length: 5\r\n\r\nhello` },
  { name: 'a line without a colon', says: `${ok}hello\r\nContent-Length: 5\r\n\r\nhello` },
  { name: 'the status 99', says: responseOf('hello', 'HTTP/1.1 99 Odd\r\n') },
  { name: 'the status 1000', says: responseOf('hello', 'HTTP/1.1 1000 Odd\r\n') },
  { name: 'the status 000', says: responseOf('hello', 'HTTP/1.1 000 Odd\r\n') },
  { name: 'the status 2OO', says: responseOf('hello', 'HTTP/1.1 2OO OK\r\n') },
  { name: 'the status -200', says: responseOf('hello', 'HTTP/1.1 -200 OK\r\n') },
  { name: 'no status', says: responseOf('hello', 'HTTP/1.1 \r\n') },
  { name: 'HTTP/2.0', says: responseOf('hello', 'HTTP/2.0 200 OK\r\n'), content: 'hello' },
  { name: 'HTTP/1.2', says: responseOf('hello', 'HTTP/1.2 200 OK\r\n'), content: 'hello' },
  { name: 'HTTP/11', says: responseOf('hello', 'HTTP/11 200 OK\r\n') },
  { name: 'another protocol', says: 'SSH-2.0-OpenSSH_9.6\r\n' },
  { name: 'no head at all', says: closing('hello') },
  { name: 'a request', says: 'GET / HTTP/1.1\r\nHost: web.example\r\n\r\n' },
  { name: 'a preface of HTTP/2', says: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' },
  {
    name: 'an unrequested change of protocol',
    says: 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello',
  },
  {
    name: 'a change of protocol without a name',
    says: `HTTP/1.1 101 Switching Protocols\r\n\r\n${responseOf('hello')}`,
  },
  { name: 'an unrequested 100', says: `HTTP/1.1 100 Continue\r\n\r\n${responseOf('hello')}`, content: 'hello' },
  {
    name: 'a thousand informational responses',
    says: `${'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(1000)}${responseOf('hello')}`,
    content: 'hello',
  },
  {
    name: 'an informational response without end',
    says: `HTTP/1.1 103 Early Hints\r\n${'Link: </aaaaaaaaaaaaaaaaaaaaaaaaaaaaa>\r\n'.repeat(1000)}`,
  },
  { name: 'a head over the limit', says: responseOf('hello', `${ok}X-A: ${'a'.repeat(20_000)}\r\n`) },
  { name: 'a head of many fields over the limit', says: responseOf('hello', ok + 'X-A: aaaaaaa\r\n'.repeat(2500)) },
  {
    name: 'trailers over the limit',
    says: `${chunked}5\r\nhello\r\n0\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`,
    content: 'hello',
  },
]

/** Answers with more bytes than requested. */
export const surplus: readonly AnswerCase[] = [
  { name: 'a second answer behind it', says: responseOf('hello') + poison, content: 'hello' },
  { name: 'a second answer behind chunks', says: `${chunked}5\r\nhello\r\n0\r\n\r\n${poison}`, content: 'hello' },
  { name: 'a second answer behind none', says: responseOf('') + poison, content: '' },
  { name: 'content longer than its length', says: `${ok}Content-Length: 5\r\n\r\nhello, you`, content: 'hello' },
  { name: 'one byte too many', says: `${responseOf('hello')}x`, content: 'hello' },
  { name: 'content behind a HEAD', says: responseOf('hello'), content: '', methods: ['HEAD'] },
  { name: 'an answer behind a HEAD', says: `${ok}Content-Length: 5\r\n\r\n${poison}`, content: '', methods: ['HEAD'] },
  { name: 'chunks behind a HEAD', says: `${chunked}5\r\nhello\r\n0\r\n\r\n`, content: '', methods: ['HEAD'] },
  {
    name: 'content behind a 204',
    says: 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello',
    content: '',
    status: 204,
  },
  { name: 'an answer behind a 204', says: `HTTP/1.1 204 No Content\r\n\r\n${poison}`, content: '', status: 204 },
  {
    name: 'chunks behind a 204',
    says: 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    content: '',
    status: 204,
  },
  {
    name: 'content behind a 304',
    says: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello',
    content: '',
    status: 304,
  },
  {
    name: 'an answer behind a 304',
    says: `HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n${poison}`,
    content: '',
    status: 304,
  },
  {
    name: 'an informational response behind it',
    says: `${responseOf('hello')}HTTP/1.1 103 Early Hints\r\nLink: </poison>\r\n\r\n`,
    content: 'hello',
  },
  {
    name: 'a timeout behind it',
    says: `${responseOf('hello')}HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n`,
    content: 'hello',
  },
]

export const sized: AnswerCase = {
  name: 'content with a length',
  says: responseOf('hello'),
  content: 'hello',
  isFine: true,
}

/** Valid answers that only look irregular. */
export const plain: readonly AnswerCase[] = [
  sized,
  { name: 'no content', says: responseOf(''), content: '', isFine: true },
  { name: 'chunks', says: `${chunked}3\r\nhel\r\n2;x="y"\r\nlo\r\n0\r\n\r\n`, content: 'hello', isFine: true },
  { name: 'content up to the end of the connection', says: closing(`${ok}\r\nhello`), content: 'hello', isFine: true },
  { name: 'content of HTTP/1.0', says: closing('HTTP/1.0 200 OK\r\n\r\nhello'), content: 'hello', isFine: true },
  {
    name: 'bytes of all kinds',
    says: responseOf('\0\r\n\r\nHTTP/1.1 200\xff'),
    content: '\0\r\n\r\nHTTP/1.1 200\xff',
    isFine: true,
  },
  {
    name: 'the status 600',
    says: responseOf('hello', 'HTTP/1.1 600 Odd\r\n'),
    content: 'hello',
    status: 600,
    isFine: true,
  },
  {
    name: 'the status 999',
    says: responseOf('hello', 'HTTP/1.1 999 Odd\r\n'),
    content: 'hello',
    status: 999,
    isFine: true,
  },
  { name: 'an empty reason', says: responseOf('hello', 'HTTP/1.1 200 \r\n'), content: 'hello', isFine: true },
  { name: 'no reason', says: responseOf('hello', 'HTTP/1.1 200\r\n'), content: 'hello', isFine: true },
  {
    name: 'a reason of 8-bit bytes',
    says: responseOf('hello', 'HTTP/1.1 200 d\xe9j\xe0\r\n'),
    content: 'hello',
    isFine: true,
  },
  {
    name: 'an informational response nobody waits for',
    says: `HTTP/1.1 102 Processing\r\n\r\n${responseOf('hello')}`,
    content: 'hello',
    isFine: true,
  },
]
