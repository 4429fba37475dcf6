import { expect, test } from 'vitest'
import { allowedCasts, anyOf, castsOf, judge } from './structure/casts.ts'
import { type Exercise, filesByHand } from './structure/exercises/exercise.ts'
import { functionsOf } from './structure/functions.ts'
import { brokenLimits, measure } from './structure/limits.ts'
import { home, SourceFile } from './structure/source.ts'

test('the code keeps its limits: short functions, downward imports without cycles, unique names, no cast in place of a check', () => {
  expect(brokenLimits(measure())).toEqual([])
})

test('every cast that is allowed says why', () => {
  for (const { file, type, reason } of allowedCasts()) expect(reason, `${file} ${type}`).toMatch(/^.{16,}\.$/)
})

test('an addition changes the files of its edits, without generated files and tests; an edit that finds no place is an error', () => {
  const edit = (file: string, before: string) => ({ file, before, after: `${before}!` })
  const adding = (...edits: Exercise['edits']): Exercise => ({
    title: 'something',
    mostFiles: 1,
    edits,
    files: { 'test/one.test.ts': '', 'proxy/one.ts': 'one' },
    probe: '',
  })
  const edits = [edit('proxy/one.ts', 'one'), edit('proxy/one.ts', 'one!'), edit('README.md', '# onramp')]
  expect(filesByHand(adding(...edits), home)).toEqual(['proxy/one.ts'])
  const twice = adding(...edits, edit('proxy/one.ts', 'two'))
  expect(() => filesByHand(twice, home)).toThrow('proxy/one.ts has 0 places, not one, that read: two')
  const additions = [{ title: 'something', mostFiles: 1, files: ['proxy/a.ts', 'proxy/b.ts'] }]
  const none = { functions: [], longFiles: [], cycles: [], upward: [], casts: [], twice: [] }
  expect(brokenLimits({ ...none, additions })).toContain(
    'adding something changes 2 files by hand: proxy/a.ts, proxy/b.ts',
  )
})

const source = (text: string, path = 'proxy/one.ts') => new SourceFile(path, text)
const measured = (text: string) => functionsOf(source(text)).map(({ name, lines }) => `${name} ${lines}`)
const flat = (text: string) => functionsOf(source(text)).filter(({ isTable }) => isTable).length

test('every function is measured, from the first line of its head to the last of its body', () => {
  const text = `class Gate {
  #open = () => {
    return 1
  }
  static {
    run()
  }
  constructor() {}
  get isOpen(): boolean {
    return true
  }
  async *#wait(
    ms: number,
  ) {
    yield ms
  }
}
export const handlers = {
  close() {
    return new Promise((resolve) => {
      resolve(1)
    })
  },
  end: function () {},
}
export default function (): void {
}
declare function elsewhere(): void`
  expect(measured(text)).toEqual([
    'Gate.#open 3',
    'Gate.constructor 1',
    'Gate.isOpen 3',
    'Gate.#wait 5',
    'handlers.close 5',
    'handlers.close.callback 3',
    'handlers.end 1',
    'anonymous 2',
  ])
})

test.each([
  ['an object', 'const f = () => ({ a: 1, b: g(2), c: (x) => x + 1 })', 1],
  ['the return of an array', 'function f() { return [1, 2] }', 1],
  [
    'a switch of single expressions',
    'function f(x) { switch (x) { case 1: case 2: return a(); case 3: b(); break; default: return } }',
    1,
  ],
  ['an object with a function that has a body', 'const f = () => ({ a() { return 1 } })', 0],
  ['a switch with a decision in a case', 'function f(x) { switch (x) { case 1: if (y) return 1 } }', 0],
  ['a switch with two steps in a case', 'function f(x) { switch (x) { case 1: a(); b(); break } }', 0],
  ['a switch and something before it', 'function f(x) { const y = x; switch (y) { case 1: return 1 } }', 0],
  ['a loop', 'function f(x) { for (const y of x) a(y) }', 0],
])('a function of only %s: the number of flat tables is right', (_what, text, tables) => {
  expect(flat(text)).toBe(tables)
})

test('casts have a kind by the check that they replace; `as const`, `satisfies` and renames are no casts', () => {
  const text = `import { a as b } from './a.ts'
export { b as c }
const kept = ['x'] as const
const checked = kept satisfies readonly string[]
f(list[0] as string, list.at(-1) as string, map.get(key)! as Row)
f(JSON.parse(text) as Row, (await response.json()) as Row)
f(pattern.exec(text) as [string, string], <string>value, value as unknown as Row, value as Row)`
  const kinds = ['lookup', 'lookup', 'lookup', 'json', 'json', 'match', 'scalar', 'twice', 'other']
  expect(castsOf(source(text)).map(({ kind }) => kind)).toEqual(kinds)
})

test('a parsed value is unknown until it is checked; otherwise it counts as a cast, although none is written', () => {
  const taken = [
    'const row: Row = JSON.parse(text)',
    'const row = await response.json()',
    'let row: Row; row = JSON.parse(text)',
    'rows.push(JSON.parse(text))',
    'f(JSON.parse(text).name)',
    "const gc: GCFunction = runInNewContext('gc')",
    'function read(): Row { return JSON.parse(text) }',
    'const read = (): Promise<Row> => response.json()',
    'const row: unknown = 1; function f() { const row = JSON.parse(text) }',
  ]
  const checked = [
    'const row: unknown = JSON.parse(text)',
    'const row: unknown = (await response.json())',
    'let row: unknown; try { row = JSON.parse(text) } catch {}',
    'schema.parse(JSON.parse(text)), schema.safeParse(await response.json())',
    'names.push(String(JSON.parse(text)))',
    'function read(): unknown { return JSON.parse(text) }',
    'const read = (): Promise<unknown> => response.json()',
    '/** @type {unknown} */\nconst row = JSON.parse(text)',
    '/** @returns {Promise<unknown>} */\nexport async function read() { return response.json() }',
    'f(JSON.parse(text) as Row)', // a cast
    'f(server.json(schema))',
  ]
  expect(taken.filter((text) => anyOf(source(text)).length !== 1)).toEqual([])
  expect(checked.filter((text) => anyOf(source(text)).length > 0)).toEqual([])
})

test('a cast is allowed by file and type, as often as listed, and an allowance without a cast is reported', () => {
  const casts = castsOf(source('f(a as Row, b as Row, c as Key)'))
  const allowed = [
    { file: 'proxy/one.ts', type: 'Row', reason: '' },
    { file: 'proxy/two.ts', type: 'Key', reason: '' },
  ]
  const { refused, unused } = judge(casts, allowed)
  expect(refused.map(({ text }) => text)).toEqual(['b as Row', 'c as Key'])
  expect(unused).toEqual([allowed[1]])
})
