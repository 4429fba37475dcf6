// The target of a request.
import { carried, refused, refusedOrCarried, type Subject } from '../case.ts'
import { got, headOf, posted, start } from '../messages.ts'

// biome-ignore format: many short values to a line
const otherAuthorities = [
  'http://b.example/ID', 'http://a.example:81/ID', 'http://a.example.b/ID', 'http://u@a.example/ID', 'http:///ID',
  'http://u:p@a.example/ID', 'http://a.example@b.example/ID', 'ftp://a.example/ID', 'file:///ID', 'http:/ID',
  'ws://a.example/ID', 'javascript:ID', 'http://a.example\\@b.example/ID', 'http://a.example%2f@b.example/ID',
  'http://[::1]/ID', 'http://ID', 'a.example/ID', 'a.example:80',
]

// biome-ignore format: many short values to a line
const notTargets = [
  '/ID#x', '/ID?a#x', '/#ID', '#ID', 'http://a.example/ID#x', '/ID x', '/ID  x', '/ID\tx', '/ID\x01x', '/ID\x0bx',
  '/ID\x0cx', '/ID\x1bx', '/ID\x7fx', '/ID\xe9x', '/ID\xc3\xa9', '/\xff/ID', '/ID?\xe9', '/ID?a\tb', '/ID?a b', '*',
  '*/ID', '?ID', 'ID', '', '\\ID', '../ID', '%2fID', '@a/ID', ';ID', '"/ID"',
]

// biome-ignore format: many short values to a line
const oddTargets = [
  '/ID\\x', '/\\ID', '/ID"x"', "/ID'x'", '/ID<x>', '/ID^`{|}', '/ID[x]', '//ID', '///ID//', '/ID/../x', '/ID/./x',
  '/ID/..;/x', '/ID/%2e%2e/%2f', '/ID%00', '/ID%0d%0aX-A:%20b', '/ID%zz', '/ID%', '/ID;a=b', '/ID?', '/ID??a=/',
  '/ID?a=b&a=c&&=', '/ID?a=\\"<>^`{|}', '/ID?http://b.example/', '/http://b.example/ID', '/*ID', '/ID@b.example',
  '/ID:80', '/api/states/ID', '/API/states?ID', '/api//states?ID', '/api/states/?ID', '/api%2fstates?ID',
  '//b.example/ID', '/ID!$&()*+,;=:@-._~',
]

export const targetCases: Subject = {
  'a target in absolute form': [
    ...otherAuthorities.map((target) => ({ name: target, bytes: start(`GET ${target} HTTP/1.1`), expected: refused })),
    { name: 'with two Hosts', bytes: start('GET http://a.example/ID HTTP/1.1', 'Host: b.example'), expected: refused },
    { name: 'without a Host', bytes: headOf('GET http://a.example/ID HTTP/1.1', 'X-A: b'), expected: refused },
    {
      name: 'without a Host in HTTP/1.0',
      bytes: headOf('GET http://a.example/ID HTTP/1.0', 'X-A: b'),
      expected: refused,
    },
    ...[
      'http://a.example/ID',
      'HTTP://A.EXAMPLE/ID',
      'http://a.example?ID',
      'http://a.example/?ID=http://b.example/',
    ].map((target) => ({
      name: `of its own Host, ${target}`,
      bytes: start(`GET ${target} HTTP/1.1`),
      expected: carried({ ...got, target }),
    })),
    {
      name: 'with content',
      bytes: `${start('POST http://a.example/ID HTTP/1.1', 'Content-Length: 5')}hello`,
      expected: carried({ ...posted, target: 'http://a.example/ID' }),
    },
    {
      name: 'of its own Host, https',
      bytes: start('GET https://a.example/ID HTTP/1.1'),
      expected: refusedOrCarried({ ...got, target: 'https://a.example/ID' }),
    },
  ],
  'an invalid target': [
    ...notTargets.map((target) => ({
      name: JSON.stringify(target),
      bytes: start(`GET ${target} HTTP/1.1`),
      expected: refused,
    })),
    { name: '* of a POST', bytes: `${start('POST * HTTP/1.1', 'Content-Length: 5')}hello`, expected: refused },
    { name: '*x of OPTIONS', bytes: start('OPTIONS *ID HTTP/1.1'), expected: refused },
    { name: 'a fragment on a route', bytes: start('GET /api/states#x HTTP/1.1'), expected: refused },
  ],
  'a target that is passed on byte for byte': [
    ...oddTargets.flatMap((target) => [
      { name: target, bytes: start(`GET ${target} HTTP/1.1`), expected: carried({ ...got, target }) },
      {
        name: `${target} with content`,
        bytes: `${start(`POST ${target} HTTP/1.1`, 'Content-Length: 5')}hello`,
        expected: carried({ ...posted, target }),
      },
    ]),
    {
      name: '* of OPTIONS',
      bytes: start('OPTIONS * HTTP/1.1'),
      expected: carried({ method: 'OPTIONS', target: '*', content: '' }),
    },
    {
      name: '* of OPTIONS with content',
      bytes: `${start('OPTIONS * HTTP/1.1', 'Content-Length: 5')}hello`,
      expected: carried({ method: 'OPTIONS', target: '*', content: 'hello' }),
    },
  ],
}
