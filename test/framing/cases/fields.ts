// Field lines.
import { carried, refused, type Subject } from '../case.ts'
import { get, got, headOf, host, post, posted, smuggled } from '../messages.ts'

export const fieldCases: Subject = {
  'a control in a field name': [
    ...['\r', '\n', '\0', '\t', '\x01', '\x0b', '\x1f', '\x7f'].flatMap((c) => [
      { name: `${JSON.stringify(c)} within`, bytes: get(`X${c}A: b`), expected: refused },
      { name: `${JSON.stringify(c)} ahead`, bytes: get(`${c}X-A: b`), expected: refused },
      { name: `${JSON.stringify(c)} behind`, bytes: get(`X-A${c}: b`), expected: refused },
    ]),
  ],
  'a control in a field value': [
    ...['\r', '\n', '\0', '\x01', '\x08', '\x0b', '\x0c', '\x1f', '\x7f'].flatMap((c) => [
      { name: `${JSON.stringify(c)} within`, bytes: get(`X-A: b${c}c`), expected: refused },
      { name: `${JSON.stringify(c)} ahead`, bytes: get(`X-A: ${c}b`), expected: refused },
      { name: `${JSON.stringify(c)} behind`, bytes: get(`X-A: b${c}`), expected: refused },
    ]),
    { name: 'a length behind a bare LF', bytes: `${post('X-A: b\nContent-Length: 5')}hello`, expected: refused },
    { name: 'a length behind a bare CR', bytes: `${post('X-A: b\rContent-Length: 5')}hello`, expected: refused },
    {
      name: 'the end of the section in bare LFs',
      bytes: `GET /ID HTTP/1.1\r\n${host}\r\nX-A: b\n\n${smuggled}`,
      expected: refused,
    },
    { name: 'a whole section in bare LFs', bytes: `GET /ID HTTP/1.1\n${host}\n\n`, expected: refused },
    { name: 'an end of CRLF and bare LF', bytes: `GET /ID HTTP/1.1\r\n${host}\r\n\n`, expected: refused },
    { name: 'an end of CRLF and bare CR', bytes: `GET /ID HTTP/1.1\r\n${host}\r\n\r${smuggled}`, expected: refused },
    { name: 'in Host', bytes: headOf('GET /ID HTTP/1.1', 'Host: a.exa\0mple'), expected: refused },
    { name: 'in the last field', bytes: `GET /ID HTTP/1.1\r\n${host}\r\nX-A: b\r\r\n\r\n`, expected: refused },
  ],
  'an invalid field': [
    { name: 'folded', bytes: get('X-A: b\r\n c'), expected: refused },
    { name: 'folded with a tab', bytes: get('X-A: b\r\n\tc'), expected: refused },
    { name: 'folded, and a length', bytes: `${post('X-A: b\r\n Content-Length: 5')}hello`, expected: refused },
    { name: 'folded as the first', bytes: headOf('GET /ID HTTP/1.1', ` ${host}`), expected: refused },
    {
      name: 'folded as the first, with a Host after it',
      bytes: headOf('GET /ID HTTP/1.1', ' X-A: b', host),
      expected: refused,
    },
    { name: 'folded as the first, with a tab', bytes: headOf('GET /ID HTTP/1.1', '\tX-A: b', host), expected: refused },
    { name: 'folded with nothing but a space', bytes: get('X-A: b\r\n '), expected: refused },
    { name: 'a space alone', bytes: get(' '), expected: refused },
    { name: 'a Host that is folded', bytes: headOf('GET /ID HTTP/1.1', 'Host: a.example\r\n .b'), expected: refused },
    { name: 'a Host on the line below', bytes: headOf('GET /ID HTTP/1.1', 'Host:\r\n a.example'), expected: refused },
    { name: 'a space before its colon', bytes: get('X-A : b'), expected: refused },
    { name: 'without a name', bytes: get(': b'), expected: refused },
    { name: 'a colon alone', bytes: get(':'), expected: refused },
    { name: 'without a colon', bytes: get('X-A'), expected: refused },
    { name: 'without a colon, the first', bytes: headOf('GET /ID HTTP/1.1', 'X-A', host), expected: refused },
    ...[...'()<>@,;\\"/[]?={} '].map((c) => ({ name: `${c} in its name`, bytes: get(`X${c}A: b`), expected: refused })),
    { name: 'an 8-bit byte in its name', bytes: get('X\xe9A: b'), expected: refused },
    { name: 'a request line', bytes: get('GET /other HTTP/1.1'), expected: refused },
  ],
  'a field in another spelling': [
    { name: 'without a value', bytes: get('X-A:'), expected: carried({ ...got, has: [['X-A', '']] }) },
    { name: 'without a space', bytes: get('X-A:b'), expected: carried({ ...got, has: [['X-A', 'b']] }) },
    {
      name: 'between spaces and tabs',
      bytes: get('X-A: \t b c \t '),
      expected: carried({ ...got, has: [['X-A', 'b c']] }),
    },
    {
      name: 'of 8-bit bytes',
      bytes: get('X-A: \xe9\xff\x80'),
      expected: carried({ ...got, has: [['X-A', '\xe9\xff\x80']] }),
    },
    {
      name: 'of 8-bit bytes beside content',
      bytes: `${post('X-A: \xe9\xff\x80', 'Content-Length: 5')}hello`,
      expected: carried({ ...posted, has: [['X-A', '\xe9\xff\x80']] }),
    },
    {
      name: 'every character of a name',
      bytes: get("!#$%&'*+-.^_`|~09azAZ: b"),
      expected: carried({ ...got, has: [["!#$%&'*+-.^_`|~09azAZ", 'b']] }),
    },
    {
      name: 'twice',
      bytes: get('X-A: b', 'X-A: c'),
      expected: carried({
        ...got,
        has: [
          ['X-A', 'b'],
          ['X-A', 'c'],
        ],
      }),
    },
    {
      name: 'behind empty lines',
      bytes: `\r\n\r\n${get()}`,
      expected: carried(got),
      withoutTwin: 'a proxy passes on no empty line (RFC 9112, 2.2)',
    },
  ],
}
