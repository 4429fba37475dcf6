// The Host field.
import { carried, refused, refusedOrCarried, type Subject } from '../case.ts'
import { get, got, headOf, host, posted, start } from '../messages.ts'

// biome-ignore format: many short values to a line
const notHosts = [
  '', 'a/b', 'a@b', 'a b', 'a, b', 'a.example/', 'a.example:8x', 'a.example:80:80', 'a.example:-1', '[::1', '::1',
  'a.example?x', 'a.example#x', 'a\\b', 'http://a.example', 'user:password@a.example', 'a\tb', '\xe9.example',
  '[::1]x', '%zz', '"a.example"', '<a>', 'a^b', 'a|b', '{a}', 'a`b', '*/*',
]

// biome-ignore format: many short values to a line
const hosts = [
  'a.example:80', 'a.example:', 'A.Example', '127.0.0.1:8080', '[::1]', '[::1]:80', 'localhost', 'a_b.example',
]

export const hostCases: Subject = {
  'an invalid Host': [
    { name: 'two of the same', bytes: get(host), expected: refused },
    { name: 'two of others', bytes: get('Host: b.example'), expected: refused },
    { name: 'two, one of them in other letters', bytes: get('hOST: b.example'), expected: refused },
    { name: 'missing', bytes: headOf('GET /ID HTTP/1.1', 'X-A: b'), expected: refused },
    { name: 'missing, with all other fields', bytes: headOf('GET /ID HTTP/1.1'), expected: refused },
    ...notHosts.map((value) => ({
      name: JSON.stringify(value),
      bytes: headOf('GET /ID HTTP/1.1', `Host: ${value}`),
      expected: refused,
    })),
    { name: 'of HTTP/1.0, twice', bytes: start('GET /ID HTTP/1.0', host), expected: refused },
    { name: 'of HTTP/1.0, with junk', bytes: headOf('GET /ID HTTP/1.0', 'Host: a/b'), expected: refused },
    // These are registered names by the grammar.
    ...['a,b', "a'b", 'a;b'].map((value) => ({
      name: JSON.stringify(value),
      bytes: headOf('GET /ID HTTP/1.1', `Host: ${value}`),
      expected: refusedOrCarried(got),
    })),
  ],
  'a Host in another spelling': [
    ...hosts.map((value) => ({
      name: value,
      bytes: headOf('GET /ID HTTP/1.1', `Host: ${value}`),
      expected: carried({ ...got, has: [['Host', value]] }),
    })),
    { name: 'missing in HTTP/1.0', bytes: headOf('GET /ID HTTP/1.0'), expected: carried(got) },
    {
      name: 'in HTTP/1.0',
      bytes: start('GET /ID HTTP/1.0'),
      expected: carried({ ...got, has: [['Host', 'a.example']] }),
    },
    {
      name: 'content in HTTP/1.0',
      bytes: `${start('POST /ID HTTP/1.0', 'Content-Length: 5')}hello`,
      expected: carried(posted),
    },
    {
      name: 'content in HTTP/1.0 without a Host',
      bytes: `${headOf('POST /ID HTTP/1.0', 'Content-Length: 5')}hello`,
      expected: carried(posted),
    },
  ],
}
