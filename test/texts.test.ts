import { describe, expect, test } from 'vitest'
import { detailFaults, detailsIn, faultOfDetail } from './structure/details.ts'
import { SourceFile, sourcesIn } from './structure/source.ts'
import {
  commentTexts,
  countWords,
  documentFiles,
  longCells,
  longSentences,
  markdownTexts,
  plainText,
  sentencesOf,
} from './structure/texts.ts'

const mostWords = 35
const mostBytesOfReadme = 9 * 1024

describe.each(documentFiles().map((document) => [document.path, document] as const))('%s', (_path, document) => {
  test(`has no sentence over ${mostWords} words`, () => {
    expect(longSentences(markdownTexts(document), mostWords)).toEqual([])
  })

  test(`keeps its table cells under ${mostWords} words`, () => {
    expect(longCells(markdownTexts(document), mostWords)).toEqual([])
  })
})

test('every document is checked', () => {
  expect(documentFiles().map(({ path }) => path)).toEqual([
    'README.md',
    'CONTRIBUTING.md',
    'proxy/README.md',
    'bench/README.md',
    'config/README.md',
    'config/deploy/README.md',
    'test/README.md',
  ])
})

test('README.md has at most 9 KiB', () => {
  const [readme] = documentFiles().filter(({ path }) => path === 'README.md')
  expect(Buffer.byteLength(readme?.text ?? '')).toBeLessThanOrEqual(mostBytesOfReadme)
})

test(`no comment in proxy/ has a sentence over ${mostWords} words`, () => {
  expect(longSentences(sourcesIn('proxy').flatMap(commentTexts), mostWords)).toEqual([])
})

test('every error detail is one or two short sentences', () => {
  expect(detailFaults(sourcesIn('proxy'))).toEqual([])
})

const textsOf = (markdown: string) => markdownTexts(new SourceFile('one.md', markdown)).map(({ text }) => text)

test('paragraphs, headings, list items and cells are texts of their own; code blocks and HTML comments are none', () => {
  const markdown = `# A heading
A paragraph
of two lines

> A quotation

| a cell | \`b\\|c\` |
| --- | :-: |
| \\| an escaped bar | |

- an item
  goes on
  - an inner item

  A paragraph of an item

      indented code in an item
1. a number

A last paragraph

    indented code

\`\`\`yaml
fenced code
~~~
\`\`\`
<!-- a comment
of two lines -->
The end`
  expect(textsOf(markdown)).toEqual([
    'A heading',
    'A paragraph\nof two lines',
    'A quotation',
    'a cell',
    '`b\\|c`',
    '\\| an escaped bar',
    'an item\ngoes on',
    'an inner item',
    'A paragraph of an item',
    'a number',
    'A last paragraph',
    'The end',
  ])
})

test('a text is reported with the line in which it begins', () => {
  const markdown = 'One\n\n<!-- a\nb -->\nTwo\n\n| three |\n'
  expect(markdownTexts(new SourceFile('one.md', markdown)).map(({ line }) => line)).toEqual([1, 5, 7])
  const code = 'f() // One\n\n  /**\n   * Two.\n   *\n   * Three.\n   */\n// Four\n// four\n'
  const places = commentTexts(new SourceFile('proxy/one.ts', code)).map(({ text, line }) => `${line} ${text}`)
  expect(places).toEqual(['1 One', '4 Two.', '6 Three.', '8 Four\nfour'])
})

test.each([
  ['One. Two! Three? Four', 4],
  ['It is (really.) So.', 2],
  ['It says "no." And ends.', 2],
  ['Sent. onramp answers.', 2],
  ['Kept. `auto` is the default.', 2],
  ['Some, e.g. Redis, i.e. a cache, cf. RFC 9111 vs. RFC 7234.', 1],
  ['Files, folders, etc. are copied.', 1],
  ['Files, folders, etc. They are copied.', 2],
  ['Version 1.2.3 of file.ts, by RFC 9110, 7.6.1 ... and so on.', 1],
  ['**What it is**: a cache.', 2],
  ['First: this; then that.', 1],
])('%s: the number of its sentences is right', (text, sentences) => {
  expect(sentencesOf(text)).toHaveLength(sentences)
})

test('words are counted as a reader sees them: a code span is one, a link has those of its text, a sign between spaces is none', () => {
  const read = plainText('The **`a b c`** — of [two words](https://example.org/a b) + _one_ ``x ` y``.')
  expect(countWords(read)).toBe(7)
})

/** A sentence of `words` words. */
const long = (words: number) => `${'word '.repeat(words - 1)}end.`
const refused = (markdown: string) => longSentences(markdownTexts(new SourceFile('one.md', markdown)), mostWords)

test('a sentence of 35 words is accepted; one of 36 is refused with its place, anywhere in a document', () => {
  for (const around of ['# ?', '?', '- Short. ?', '> ?', '| cell | ? |', 'Short. ? Short.', '**Label**: ?']) {
    expect(refused(around.replace('?', long(35)))).toEqual([])
    expect(refused(`\n${around.replace('?', long(36))}`)).toEqual([expect.stringMatching(/^one\.md:2: 36 words: word/)])
  }
  expect(refused(`    ${long(36)}`)).toEqual([])
})

test('the same limit holds in comments, across lines; a tag begins a text of its own', () => {
  const twoLines = (words: number, sign: string) => `${'word '.repeat(words - 2)}\n${sign} one end.`
  const comments = (words: number) => [
    `f() // ${long(words)}`,
    `// ${twoLines(words, '//')}`,
    `/**\n * ${twoLines(words, ' *')}\n */`,
    `/** ${long(words)} */`,
    `/**\n * Short\n * @returns {Promise<{ a: string }>} ${long(words)}\n */`,
    `// biome-ignore lint/style/useConst: ${long(words)}`,
  ]
  const refusedIn = (text: string) => longSentences(commentTexts(new SourceFile('proxy/one.ts', text)), mostWords)
  expect(comments(35).flatMap(refusedIn)).toEqual([])
  for (const comment of comments(36)) expect(refusedIn(comment), comment).toHaveLength(1)
  expect(refusedIn(`const text = 'http://${long(36)}'`)).toEqual([])
})

test('a table cell of 34 words is accepted; one of 35 is refused, even in several sentences', () => {
  const cells = (text: string) => longCells(markdownTexts(new SourceFile('one.md', text)), mostWords)
  expect(cells(`| a | ${long(34)} |`)).toEqual([])
  expect(cells(`| a | ${long(17)} ${long(18)} |`)).toHaveLength(1)
  expect(cells(`${long(17)} ${long(18)}`)).toEqual([])
})

test.each([
  ['One. Two. Three.', 'more than 2 sentences'],
  [long(31), 'a sentence of more than 30 words'],
  ['The body is not JSON', 'no full stop at its end'],
  ['Is it JSON?', 'no full stop at its end'],
  ['limit is not a number.', 'no capital or quote at its beginning'],
])('the error detail %j is refused: %s', (text, fault) => {
  expect(faultOfDetail(text)).toBe(fault)
})

test.each(['The body is not JSON.', '"limit" is not a number. Send one between 1 and 9999.', `E${long(30)}`])(
  'the error detail %j is accepted',
  (text) => {
    expect(faultOfDetail(text)).toBeUndefined()
  },
)

test('error details are found as literals, templates, choices, constants and arguments', () => {
  const text = `const reasons = { 'queue-full': 'The queue is full.', late: 'It is late.' }
const fixed = 'A constant.'
class Unread extends Problem {}
function refused(detail) { return new Problem('bad-request', detail) }
const end = (detail) => () => f(new Problem('timeout', detail))
refused('A parameter.'); end(isLate ? 'Too late.' : 'Too early.')
new Problem('shed', reasons[reason])
new Problem('shed', fixed)
new Unread('shed', \`A template \${value} with \${meant || 'an end.'}\`)
new Problem('shed', 'A sum ' + 'of two.')
new Problem('shed', messageOf(error))
new Error('no problem', 'Not this.')`
  const details = detailsIn(new SourceFile('proxy/one.ts', text)).map(({ text }) => text.replaceAll('\uE000', '…'))
  expect(details).toEqual([
    'A parameter.',
    'Too late.',
    'Too early.',
    'The queue is full.',
    'It is late.',
    'A constant.',
    'A template … with …',
    'A template … with an end.',
    'A sum of two.',
  ])
})

test('a wrong detail is reported with its place', () => {
  const source = new SourceFile('proxy/one.ts', "\nnew Problem('shed', name + ' is gone')")
  expect(detailFaults([source])).toEqual(['proxy/one.ts:2: no full stop at its end: … is gone'])
})
