import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseStatement } from '../proxy/statement.ts'

/** `sql` as it is sent to the server. */
const sent = (sql: string) => parseStatement(sql).render((_name, index) => `$${index + 1}`)

describe('a parameter', () => {
  test('is a colon and a name', () => {
    expect(parseStatement('select :zip').names).toEqual(['zip'])
    expect(sent('select * from zips where zip = :zip and year=:year_2')).toBe(
      'select * from zips where zip = $1 and year=$2',
    )
  })

  test('has one number however often it is named, and numbers follow the first use', () => {
    const { names, render } = parseStatement('select :b, :a, :b, :a')
    expect(names).toEqual(['b', 'a'])
    expect(render((name, index) => `<${name}${index}>`)).toBe('select <b0>, <a1>, <b0>, <a1>')
  })

  test('ends where its name ends', () => {
    expect(sent('(:a,:b)/:c-:d;')).toBe('($1,$2)/$3-$4')
    expect(sent('select :a::int, :b ::text[]')).toBe('select $1::int, $2 ::text[]')
  })

  test('may stand at the very beginning and the very end', () => {
    expect(sent(':a')).toBe('$1')
  })

  test('may bound an array slice written with spaces', () => {
    expect(sent('select a[:lo : :hi]')).toBe('select a[$1 : $2]')
  })

  test('may have the name of something every object has', () => {
    expect(parseStatement('select :constructor, :__proto__').names).toEqual(['constructor', '__proto__'])
  })
})

const holdNone: [string, string][] = [
  ['a cast', 'select x::int, y :: text'],
  ['an assignment', 'select make_interval(days := 1)'],
  ['an array slice', 'select a[1:2], a[1:], a[:2]'],
  ['a string', "select ':no', 'it''s :no', ''':no'"],
  ['a string that ends in a backslash', "select 'C:\\', ':no'"],
  ['an escape string', "select E'\\':no', e'\\\\', E':no''s :no'"],
  ['a quoted name', 'select ":no", "a"":no"'],
  ['a dollar quote', 'select $$ :no \' " -- /* $$'],
  ['a dollar quote with a tag', 'select $a$ $$ :no $$ $b$ :no $A$ $a$, $é_1$ :no $é_1$'],
  ['a line comment', "select 1 -- :no it's\n, 2 --:no"],
  ['a block comment', 'select /* :no \' $$ " -- */ 1'],
  ['a nested block comment', 'select /* /* :no */ :no /**/ :no */ 1'],
  ['a quote that never ends', 'select $a$ :no $b$'],
  ['a comment that never ends', 'select 1 /* :no'],
  ['a time of day', "select '12:30:no'::time"],
  ['a colon before a digit', 'select a[1 :2]'],
]
test.each(holdNone)('%s holds no parameter and is left as it is', (_what, sql) => {
  expect(parseStatement(sql).names).toEqual([])
  expect(sent(sql)).toBe(sql)
})

const comesBack: [string, string][] = [
  ['a string', "select ':no' || :a"],
  ['an escape string', "select E'\\'' || :a || ''"],
  ['a name ending in e and a string', "select date'2014-01-01\\', :a, '"],
  ['a quoted name', 'select "x" = :a'],
  ['a dollar quote', 'select $$x$$, :a, $$y$$'],
  ['a line comment', "select 1 -- it's\n+ :a"],
  ['a nested block comment', "select /* /* ' */ ' */ :a"],
  ['a cast', 'select 1::int + :a'],
  ['an operator of slashes and stars', 'select 4 / 2 * :a'],
]
test.each(comesBack)('after %s a parameter is one again', (_what, sql) => {
  expect(parseStatement(sql).names).toEqual(['a'])
})

// The PostgreSQL manual, 4.1: lexer rules for text that people rarely write.
describe('the lexer rules of PostgreSQL', () => {
  test('a dollar sign inside a name begins no quote (4.1.2.4)', () => {
    expect(parseStatement('select a$b$, :x, c$b$ from t').names).toEqual(['x'])
  })

  test('a line comment ends at a carriage return too', () => {
    expect(parseStatement('select 1 -- one\r, :x').names).toEqual(['x'])
  })

  test('an escape string continued on the next line still has escapes (4.1.2.2)', () => {
    expect(parseStatement("select E'a'\n'b\\' :no', :x").names).toEqual(['x'])
  })
})

describe('trailing semicolons', () => {
  test.each(['select :a;', 'select :a ;\n', 'select :a;;\t; \n'])('are dropped: %j', (sql) => {
    expect(sent(sql)).toBe('select $1')
  })

  test('are dropped after a last parameter and after none', () => {
    expect(sent('select 1;')).toBe('select 1')
    expect(sent('select :a;')).toBe('select $1')
  })

  test('in strings are kept', () => {
    expect(sent("select ';', :a, ';';")).toBe("select ';', $1, ';'")
  })

  test('between statements are kept, so that PostgreSQL rejects them', () => {
    expect(sent('select 1; drop table plans;')).toBe('select 1; drop table plans')
  })

  test('are dropped where only a comment comes after them', () => {
    expect(sent('select :a; -- done\n')).not.toContain(';')
    expect(sent('select :a; /* done */')).not.toContain(';')
  })
})

test('a very long string is read', () => {
  const sql = `select '${'x:y'.repeat(300_000)}', :a`
  expect(parseStatement(sql).names).toEqual(['a'])
})

// Every token with a meaning to the lexer, so that wrong quoting shows.
const inside = fc.string({ unit: fc.constantFrom('a', ':', ':n', '::', "'", '"', '\\', '$', '-', '/', '*', ';', ' ') })
const comment: fc.Arbitrary<string> = fc.letrec<{ block: string }>((tie) => ({
  block: fc
    .array(
      fc.oneof(
        { depthSize: 'small' },
        inside.map((text) => text.replace(/[*/]/g, '')),
        tie('block'),
      ),
      { maxLength: 3 },
    )
    .map((parts) => `/*${parts.join(' ')}*/`),
})).block
const safePiece = fc.oneof(
  fc.constantFrom('select', 'a', '1.5', 'x::int', 'a[1:2]', 'f(a := 1)', '(', ')', '||', '/', '*', '-', ';'),
  inside.map((text) => `'${text.replaceAll("'", "''")}'`),
  // Followed by an operator, so that no later string continues it.
  inside.map((text) => `E'${text.replace(/['\\]/g, '\\$&')}' ||`),
  inside.map((text) => `"${text.replaceAll('"', '""')}"`),
  inside.map((text) => `--${text}\n`),
  fc
    .tuple(fc.constantFrom('', 'a', 'Tag_1', 'é'), inside)
    .map(([tag, text]) => `$${tag}$${text.replaceAll('$', '')}$${tag}$`),
  comment,
)
const named = fc.constantFrom('a', 'b_2', '_c', 'Year').map((name) => ({ name }))

test('property: whatever surrounds them, the parameters are found, and all other text is sent unchanged', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(safePiece, named), { maxLength: 30 }), (pieces) => {
      const all = [...pieces, 'end']
      const sql = all.map((piece) => (typeof piece === 'string' ? piece : `:${piece.name}`)).join(' ')
      const names = [...new Set(all.flatMap((piece) => (typeof piece === 'string' ? [] : [piece.name])))]
      expect(parseStatement(sql).names).toEqual(names)
      expect(parseStatement(sql).render((name) => `:${name}`)).toBe(sql)
      expect(sent(sql)).toBe(
        all.map((piece) => (typeof piece === 'string' ? piece : `$${names.indexOf(piece.name) + 1}`)).join(' '),
      )
    }),
  )
})
