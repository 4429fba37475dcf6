// The Expect field.
import { carried, refused, refusedOrCarried, type Subject } from '../case.ts'
import { chunked, get, got, hello, post, posted, start } from '../messages.ts'

// biome-ignore format: many short values to a line
const notContinue = [
  'junk', '100-continue, junk', '200-ok', '', '100-continue;a=b', '"100-continue"', '100-continue 100-continue',
]

export const expectCases: Subject = {
  'an expectation': [
    ...notContinue.map((value) => ({
      name: `of ${JSON.stringify(value)}`,
      bytes: `${post(`Expect: ${value}`, 'Content-Length: 5')}hello`,
      expected: refused,
    })),
    { name: 'of junk and no content', bytes: get('Expect: junk'), expected: refused },
    {
      name: 'of two, one of them junk',
      bytes: `${post('Expect: 100-continue', 'Expect: junk', 'Content-Length: 5')}hello`,
      expected: refused,
    },
    {
      name: 'of 100-continue',
      bytes: `${post('Expect: 100-continue', 'Content-Length: 5')}hello`,
      expected: carried(posted),
    },
    {
      name: 'of 100-continue, in chunks',
      bytes: `${post('Expect: 100-Continue', chunked)}${hello}`,
      expected: carried(posted),
    },
    { name: 'of 100-continue, without content', bytes: get('Expect: 100-continue'), expected: carried(got) },
    {
      name: 'of 100-continue, twice',
      bytes: `${post('Expect: 100-continue', 'Expect: 100-continue', 'Content-Length: 5')}hello`,
      expected: refusedOrCarried(posted),
    },
    {
      name: 'of 100-continue in HTTP/1.0',
      bytes: `${start('POST /ID HTTP/1.0', 'Expect: 100-continue', 'Content-Length: 5')}hello`,
      expected: refusedOrCarried(posted),
    },
  ],
}
