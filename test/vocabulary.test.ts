import { describe, expect, test } from 'vitest'
import { metricsIn, namesIn, pageNames, typedefsIn, wordsOf } from './structure/names.ts'
import { oldPhrases, phraseFinder, phrasesInUse } from './structure/phrases.ts'
import { SourceFile } from './structure/source.ts'
import { mayStandIn, oldNames, oldNamesInUse } from './structure/vocabulary.ts'

test('no replaced name is in use', () => {
  expect(oldNamesInUse()).toEqual([])
})

test('no text contains a replaced phrase', () => {
  expect(phrasesInUse()).toEqual([])
})

test.each(oldPhrases().map((old) => [old.old, old] as const))(
  'the pattern of the phrase %s matches its samples, and no similar text',
  (_old, old) => {
    const find = phraseFinder([old])
    const isFound = (text: string) => find(text, 'proxy/one.ts').length > 0
    expect(old.hits.filter((text) => !isFound(text) || !isFound(text.toUpperCase()))).toEqual([])
    expect(old.spares.filter(isFound)).toEqual([])
    expect(old.use).not.toBe('')
  },
)

describe.each(oldNames().map((old) => [old.old, old] as const))('the pattern of %s', (_old, old) => {
  const pattern = new RegExp(old.pattern)
  const bare = (name: string) => wordsOf(name.replace(/\.[a-z]+$/, ''))

  test('matches its samples, and no similar name', () => {
    expect(old.hits.filter((name) => !pattern.test(bare(name)))).toEqual([])
    expect((old.spares ?? []).filter((name) => pattern.test(bare(name)))).toEqual([])
  })

  test('is searched in every file with one of its names, also private ones', () => {
    const names = old.hits.map((name) => name.replace('#', '')).filter((name) => /^\w+$/.test(name))
    const [path = 'proxy/one.ts'] = old.under ?? []
    const isSeen = (name: string) => mayStandIn(old, new SourceFile(path, `export const ${name} = { #${name}: 1 }`))
    expect(names.filter((name) => !isSeen(name) || !isSeen(`_${name}`))).toEqual([])
  })
})

test('all spellings of a name have the same words', () => {
  for (const name of ['isBusy', 'IsBusy', 'is_busy', 'is-busy', 'is busy', '#isBusy']) {
    expect(wordsOf(name)).toBe('-is-busy-')
  }
  expect(wordsOf('HTTPServer2')).toBe('-http-server2-')
})

test('declared names and strings that are codes are found; comments, prose and properties that are only read are not', () => {
  const text = `// a lonely word
import { imported } from 'package'
export interface Shape { field: 'kind-a' | 'kind-b'; method(argument: string): void }
const local = 'two words'
export class Part { #state = foreign.property; get own() { return 'This is a sentence.' } }
function outer({ key: renamed }) { const inner = { member: 1, 'quoted-key': 2 } }`
  const found = namesIn(new SourceFile('proxy/one.ts', text))
  const of = (kind: string) => found.filter(({ kinds }) => kinds.some((one) => one === kind)).map((one) => one.text)
  expect(of('export')).toEqual(['Shape', 'Part'])
  expect(of('top')).toEqual(['Shape', 'local', 'Part', 'outer'])
  expect(of('member')).toEqual(['field', 'method', 'state', 'own', 'member', 'quoted-key'])
  expect(of('code')).toEqual(['kind-a', 'kind-b', 'two words'])
  expect(of('name')).toEqual(expect.arrayContaining(['argument', 'foreign', 'renamed', 'inner']))
  for (const absent of ['imported', 'property', 'package', 'lonely']) expect(of('name')).not.toContain(absent)
})

const textsOf = (found: readonly { text: string }[]) => found.map(({ text }) => text)

test('a piece of a template is a code if it is a word, but not if it is part of a sentence', () => {
  const text = 'const one = `?{a}-kind:?{b} means ?{c}`, two = `state`'.replaceAll('?', '$')
  const codes = namesIn(new SourceFile('proxy/one.ts', text)).filter(({ kinds }) => kinds.includes('code'))
  expect(textsOf(codes)).toEqual(['kind', 'state'])
})

test('a metric is found in strings, templates, comments and documents', () => {
  const text = '// onramp_one\nf(\'onramp_two{a="b"} 1\', `onramp_three{x}`) // not onramp itself'
  const found = metricsIn(new SourceFile('README.md', text))
  expect(found.map(({ text, line }) => `${text} ${line}`)).toEqual(['onramp_one 1', 'onramp_two 2', 'onramp_three 2'])
})

test('an old metric is reported with its place', () => {
  const metrics = oldNames().flatMap(({ hits }) => hits.filter((name) => name.startsWith('onramp_')))
  expect(metrics).not.toEqual([])
  for (const metric of metrics) {
    const found = metricsIn(new SourceFile('proxy/one.ts', `\nf('${metric}{a="b"} 1')`))
    expect(oldNamesInUse(oldNames(), found)).toEqual([
      expect.stringMatching(`^proxy/one.ts: ${metric} \\(use: .*\\) in line 2$`),
    ])
  }
})

test('types defined in comments are exported names', () => {
  const text = `/** @typedef {{ a: { b: string } }} Pair */
/**
 * @typedef {object} Shape
 * @property {number} size
 */
/** @typedef {(value: number) => string} Text of a number */`
  const found = typedefsIn(new SourceFile('proxy/one.js', text))
  expect(textsOf(found)).toEqual(['Pair', 'Shape', 'Text'])
  expect(found[0]?.kinds).toContain('export')
})

test('names are found in HTML and CSS', () => {
  const html = '<p id="one" class="two three" data-level="four" title="five">six</p>'
  expect(textsOf(pageNames(new SourceFile('page.html', html)))).toEqual(['one', 'two', 'three', 'level', 'four'])
  const css = '#one, .two:hover { color: var(--three); margin: .5em } body[data-level="four"] {}'
  expect(textsOf(pageNames(new SourceFile('page.css', css)))).toEqual(['one', 'two', 'three', 'level', 'four'])
})

const forward = { old: 'onward', use: 'forward', pattern: 'ever onwards?', hits: ['ever onward'], spares: ['onward'] }
const phrasesOf = (path: string, text: string, under?: string[]) =>
  phrasesInUse([under === undefined ? forward : { ...forward, under }], [new SourceFile(path, text)])

test('a replaced phrase is reported with its place and its replacement', () => {
  expect(phrasesOf('README.md', '# One\n\nIt goes\never\nonward.')).toEqual(['README.md:4: ever onward (use: forward)'])
})

test('in code, a phrase is found in comments and in strings of several words, and nowhere else', () => {
  const found = `// It goes ever
// onward.
/**
 * Ever
 * onward.
 */
test('goes ever onward', () => {})
const text = \`\${one} ever onward\` // ever onward`
  const lines = phrasesOf('proxy/one.ts', found).map((place) => place.split(':')[1])
  expect(lines).toEqual(['1', '4', '7', '8', '8'])
  const spared = 'const one = ever / onward\nconst ever = 1, onward = ever\n// It goes ever\nonward()'
  expect(phrasesOf('proxy/one.ts', spared)).toEqual([])
})

test('on a page, a phrase is found in visible texts and in attributes that are read out, but not in class names', () => {
  const page = '<p class="ever onward" title="ever onward">It goes ever\nonward</p><input aria-label="Ever onward">'
  expect(phrasesOf('page.html', page)).toHaveLength(3)
  expect(phrasesOf('page.css', '/* It goes ever\n * onward. */\n.ever .onward {}')).toHaveLength(1)
  expect(phrasesOf('page.css', '.ever > * > .onward {}\n.ever\n#onward {}')).toEqual([])
})

test('a phrase that is replaced in some folders may be used in others', () => {
  expect(phrasesOf('proxy/one.ts', '// ever onward', ['proxy/'])).toHaveLength(1)
  expect(phrasesOf('README.md', 'ever onward', ['proxy/'])).toEqual([])
})
