// The request line: method, version, and the bytes between them.
import { refused, refusedOrCarried, refusedOrUnanswered, type Subject } from '../case.ts'
import { chunked, got, headOf, hello, host, smuggled, start } from '../messages.ts'

// biome-ignore format: many short values to a line
const otherVersions = [
  'HTTP/0.9', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/3.0', 'HTTP/1', 'HTTP/1.', 'HTTP/.1', 'HTTP/1.10', 'HTTP/01.1',
  'http/1.1',
]

// biome-ignore format: many short values to a line
const notVersions = [
  'Http/1.1', 'HTTPS/1.1', 'HTTP /1.1', 'HTTP/1 .1', 'HTTP/1,1', 'HTTP/1.1x', 'HTTP/1.1 x', 'HTP/1.1', 'HTTP/-1.1',
]

// biome-ignore format: many short values to a line
const otherMethods = [
  'SOURCE', 'CONNECT', 'FOO', 'get', 'Get', 'gET', 'GETX', 'GE', 'G@T', 'GET:', 'HTTP/1.1', 'DESCRIBE', 'PLAY', 'PRI',
]

export const requestLineCases: Subject = {
  'a control in a request line': [
    { name: 'a bare LF at its end', bytes: `GET /ID HTTP/1.1\n${headOf(host)}`, expected: refused },
    { name: 'a bare CR at its end', bytes: `GET /ID HTTP/1.1\r${headOf(host)}`, expected: refused },
    { name: 'a bare CR before its CRLF', bytes: `GET /ID HTTP/1.1\r\r\n${headOf(host)}`, expected: refused },
    { name: 'a bare CR in the method', bytes: start('GE\rT /ID HTTP/1.1'), expected: refused },
    { name: 'a bare LF in the method', bytes: start('GE\nT /ID HTTP/1.1'), expected: refused },
    { name: 'a NUL in the method', bytes: start('GE\0T /ID HTTP/1.1'), expected: refused },
    { name: 'a NUL before the method', bytes: start('\0GET /ID HTTP/1.1'), expected: refused },
    { name: 'a space before the method', bytes: start(' GET /ID HTTP/1.1'), expected: refused },
    { name: 'a bare CR in the target', bytes: start('GET /ID\rx HTTP/1.1'), expected: refused },
    { name: 'a bare LF in the target', bytes: start('GET /ID\nx HTTP/1.1'), expected: refused },
    { name: 'a request in the target', bytes: start('GET /ID\r\nX: HTTP/1.1'), expected: refused },
    { name: 'a NUL in the target', bytes: start('GET /ID\0x HTTP/1.1'), expected: refused },
    { name: 'a NUL in the version', bytes: start('GET /ID HTTP\0/1.1'), expected: refused },
    { name: 'a bare CR in the version', bytes: start('GET /ID HTTP/1.\r1'), expected: refused },
    { name: 'a bare CR for a space', bytes: start('GET\r/ID HTTP/1.1'), expected: refused },
    { name: 'a tab for the first space', bytes: start('GET\t/ID HTTP/1.1'), expected: refused },
    { name: 'a tab for the second space', bytes: start('GET /ID\tHTTP/1.1'), expected: refused },
    { name: 'a vertical tab for a space', bytes: start('GET /ID\x0bHTTP/1.1'), expected: refused },
    { name: 'a form feed for a space', bytes: start('GET /ID\x0cHTTP/1.1'), expected: refused },
  ],
  'an unsupported version': [
    ...otherVersions.map((version) => ({ name: version, bytes: start(`GET /ID ${version}`), expected: refused })),
    ...notVersions.map((version) => ({ name: version, bytes: start(`GET /ID ${version}`), expected: refused })),
    { name: 'none at all, with fields', bytes: start('GET /ID'), expected: refused },
    { name: 'none at all, behind a space', bytes: start('GET /ID '), expected: refused },
    { name: 'none at all, and no more', bytes: 'GET /ID\r\n', expected: refusedOrUnanswered, after: 'end' },
    { name: 'none at all, and one bare LF', bytes: 'GET /ID\n', expected: refusedOrUnanswered, after: 'end' },
    {
      name: 'content of HTTP/0.9',
      bytes: `${start('POST /ID HTTP/0.9', 'Content-Length: 5')}hello`,
      expected: refused,
    },
    { name: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', expected: refused },
    { name: 'the preface of HTTP/2 as HTTP/1.1', bytes: start('PRI * HTTP/1.1'), expected: refused },
    { name: 'the first bytes of TLS', bytes: '\x16\x03\x01\0\xa5\x01\0\0\xa1\x03\x03', expected: refused },
    { name: 'of RTSP, GET', bytes: start('GET /ID RTSP/1.0'), expected: refusedOrCarried(got) },
    { name: 'of ICE, GET', bytes: start('GET /ID ICE/1.0'), expected: refused },
    { name: 'of ICE, SOURCE', bytes: start('SOURCE /ID ICE/1.0'), expected: refused },
    {
      name: 'of ICE, SOURCE with a length',
      bytes: `${start('SOURCE /ID ICE/1.0', 'Content-Length: 5')}hello`,
      expected: refused,
    },
    { name: 'of RTSP, DESCRIBE', bytes: start('DESCRIBE /ID RTSP/1.0'), expected: refused },
    {
      name: 'of RTSP, OPTIONS',
      bytes: start('OPTIONS /ID RTSP/1.0'),
      expected: refusedOrCarried({ method: 'OPTIONS', target: '/ID', content: '' }),
    },
    {
      name: 'of RTSP, OPTIONS with a length',
      bytes: `${start('OPTIONS /ID RTSP/1.0', 'Content-Length: 5')}hello`,
      expected: refusedOrCarried({ method: 'OPTIONS', target: '/ID', content: 'hello' }),
    },
    {
      name: 'of RTSP, OPTIONS in chunks',
      bytes: `${start('OPTIONS /ID RTSP/1.0', chunked)}${hello}`,
      expected: refused,
    },
    { name: 'two spaces behind the method', bytes: start('GET  /ID HTTP/1.1'), expected: refusedOrCarried(got) },
    { name: 'two spaces before the version', bytes: start('GET /ID  HTTP/1.1'), expected: refusedOrCarried(got) },
    { name: 'a space behind the version', bytes: start('GET /ID HTTP/1.1 '), expected: refusedOrCarried(got) },
  ],
  'an unsupported method': [
    ...otherMethods.map((method) => ({ name: method, bytes: start(`${method} /ID HTTP/1.1`), expected: refused })),
    { name: 'CONNECT to an authority', bytes: start('CONNECT a.example:443 HTTP/1.1'), expected: refused },
    {
      name: 'CONNECT with content',
      bytes: `${start('CONNECT a.example:443 HTTP/1.1', 'Content-Length: 5')}hello`,
      expected: refused,
    },
    {
      name: 'CONNECT with a request behind it',
      bytes: `${start('CONNECT a.example:443 HTTP/1.1')}${smuggled}`,
      expected: refused,
    },
    { name: 'CONNECT of HTTP/1.0', bytes: start('CONNECT a.example:443 HTTP/1.0'), expected: refused },
    { name: 'FOO with content', bytes: `${start('FOO /ID HTTP/1.1', 'Content-Length: 5')}hello`, expected: refused },
    { name: 'none at all', bytes: start(' /ID HTTP/1.1'), expected: refused },
    { name: 'none, nor a space', bytes: start('/ID HTTP/1.1'), expected: refused },
    {
      name: 'TRACE with content',
      bytes: `${start('TRACE /ID HTTP/1.1', 'Content-Length: 5')}hello`,
      expected: refused,
    },
    { name: 'TRACE with chunks', bytes: `${start('TRACE /ID HTTP/1.1', chunked)}${hello}`, expected: refused },
  ],
}
