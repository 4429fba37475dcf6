import { expect, test } from 'vitest'
import { documents, readDocument } from '../config/generate.ts'
import { isShown, stepsOf } from './documents/document.ts'

test('commands, what they print, and files are found in their order', () => {
  const document = `# A title
    $ first | of two
    printed
      by it

    text
Save this as \`my/file.sql\`:

\`\`\`sql
select 1;
  -- $ not a command
\`\`\`

- In a list:

      $ second \\
          --on two lines
      printed
  \`\`\`sh
  $ third &

  after an empty line
  $ fourth
  \`\`\`
   $ no command
`
  expect(
    stepsOf(document).map((step) => (step.kind === 'file' ? [step.path, step.text] : [step.command, ...step.printed])),
  ).toEqual([
    ['first | of two', 'printed', '  by it'],
    ['my/file.sql', 'select 1;\n  -- $ not a command\n'],
    ['second \\\n          --on two lines', 'printed'],
    ['third &', '', 'after an empty line'],
    ['fourth'],
  ])
})

test('a file without an end is told', () => {
  expect(() => stepsOf('Save this as `a`:\n```\nselect 1')).toThrow('Line 2: the file a has no end.')
})

test.each<[string, string, string[], boolean]>([
  ['the same', 'one\ntwo\n', ['one', 'two'], true],
  ['a line more', 'one\ntwo\n', ['one'], false],
  ['a line less', 'one\n', ['one', 'two'], false],
  ['another line', 'one\n', ['two'], false],
  ['any lines, none too', 'one\ntwo\nthree\n', ['…', 'three', '…'], true],
  ['anything within a line', 'a=1 b=2\n', ['a=… b=2'], true],
  ['only within its line', 'a=1\nb=2\n', ['a=…b=2'], false],
  ['signs that mean something in a pattern', 'a.c (x)*\n', ['a.c (x)*'], true],
  ['signs that mean something in a pattern, as others', 'abc\n', ['a.c'], false],
  ['another time to live', 'hit; ttl=57; x\r\n', ['hit; ttl=596; x'], true],
  ['another position', '{"position":"4:3e1f6c0a9b52d784"}', ['{"position":"17:0e1f6c0a9b52d784"}'], true],
  ["npm's own lines", '\n> onramp@0.1.0 start\n> exec env node x\n\nready\n', ['ready'], true],
])('%s', (_what, output, printed, expected) => {
  expect(isShown(output, printed)).toBe(expected)
})

/** Command lines in indented blocks that do not begin with `$ `: no test would run or list them. */
const unmarked = (document: string) =>
  document.match(
    /^ {4,}(?:npm|npx|node|curl|psql|createdb|docker|kubectl|systemctl|redis-cli|jq|onramp (?:check|tune)) .*$/gm,
  ) ?? []

test.each(Object.keys(documents))(
  'every command line of %s is marked with $, so that a test runs or lists it',
  (path) => {
    expect(unmarked(readDocument(path))).toEqual([])
  },
)

test('twin: a command line without its mark is found', () => {
  expect(unmarked('    $ npm ci\n    npm start -- check\n    printed')).toEqual(['    npm start -- check'])
})
