import { existsSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(posix.join(root, path), 'utf8')
const exists = (path: string) => existsSync(posix.join(root, path))

const labels = ['Context', 'Decision', 'Rejected', 'Consequence', 'Guarded by'] as const

interface NotedDecision {
  title: string
  /** Each part with its label, in the order in which they stand. */
  parts: (readonly [label: string, text: string])[]
}

/** The decisions of a document: each has a heading of the fourth level, in the section "Decisions". */
function decisionsIn(document: string): NotedDecision[] {
  const [, section = ''] = document.split(/^## Decisions$/m)
  const [, ...texts] = section.split(/^#### /m)
  return texts.map((text) => {
    const [title = '', ...lines] = text.split(/^#{1,3} /m)[0]?.split('\n') ?? []
    const parts = lines
      .join('\n')
      .split(/^- \*\*/m)
      .slice(1)
    return { title, parts: parts.map(partOf) }
  })
}

function partOf(text: string): readonly [string, string] {
  const [label = '', content = ''] = text.split(/\*\*:([\s\S]*)/)
  return [label, content.trim()]
}

/** Every fault of a decision, a sentence each. */
function faultsOf({ title, parts }: NotedDecision): string[] {
  const guards = pathsIn(parts.find(([label]) => label === 'Guarded by')?.[1] ?? '')
  const tests = guards.filter((path) => /^test\/.*\.test\.ts$/.test(path))
  return [
    ...(parts.map(([label]) => label).join() === labels.join()
      ? []
      : [`${title}: its parts are not ${labels.join(', ')}`]),
    ...parts.filter(([, text]) => text.length < 8).map(([label]) => `${title}: ${label} says nothing`),
    ...(tests.length > 0 ? [] : [`${title}: no test guards it`]),
    ...guards.filter((path) => !exists(path)).map((path) => `${title}: ${path} does not exist`),
  ]
}

/** Files and folders that a document names in code spans. */
function pathsIn(text: string): string[] {
  const spans = [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span)
  const isPath = (span: string) =>
    /^(?:[\w.-]+\/)+[\w.-]*$|^[\w-][\w.-]*\.(?:ts|js|json|md|yaml|sql|html|css)$/.test(span)
  return spans.filter(isPath)
}

/** The paths in `text` that are neither at the root nor beside the document `path`. */
const missingPaths = (path: string, text: string) =>
  pathsIn(text).filter((one) => !exists(one) && !exists(posix.join(posix.dirname(path), one)))

const decisions = decisionsIn(read('proxy/README.md'))

test('each decision says its context, choice, alternatives and consequence, and names a test that guards it', () => {
  expect(decisions.flatMap(faultsOf)).toEqual([])
  expect(decisions.length).toBeGreaterThan(40)
})

test('no two decisions have the same heading', () => {
  const titles = decisions.map(({ title }) => title)
  expect(titles.length).toBe(new Set(titles).size)
})

test.each(['proxy/README.md', 'CONTRIBUTING.md', 'test/README.md'])('every file that %s names exists', (path) => {
  const text = read(path)
  expect(missingPaths(path, text)).toEqual([])
  expect(pathsIn(text).length).toBeGreaterThan(5)
})

test('a decision without a part, a guard or a file is found', () => {
  const all = ['Context', 'Decision', 'Rejected', 'Consequence'].map((label) => `- **${label}**: a sentence.\n`)
  const decision = (...lines: string[]) => `## Decisions\n\n### A subject\n\n#### A title\n\n${lines.join('')}`
  const faults = (...lines: string[]) => decisionsIn(decision(...lines)).flatMap(faultsOf)
  const guard = '- **Guarded by**: `test/docs.test.ts`.\n'
  const parts = 'A title: its parts are not Context, Decision, Rejected, Consequence, Guarded by'
  expect(faults(...all, guard, '\n### Another subject\n\nText.')).toEqual([])
  expect(faults(...all.slice(1), guard)).toEqual([parts])
  expect(faults(guard, ...all)).toEqual([parts])
  expect(faults(...all)).toEqual([parts, 'A title: no test guards it'])
  expect(faults(...all, '- **Guarded by**: `bench/run.ts`.\n')).toEqual(['A title: no test guards it'])
  expect(faults(...all, '- **Guarded by**: `test/none.test.ts`.\n')).toEqual([
    'A title: test/none.test.ts does not exist',
  ])
  expect(faults(...all.with(2, '- **Rejected**: \n'), guard)).toEqual(['A title: Rejected says nothing'])
})

test('a file is looked for beside the document and at the root; addresses, requests and packages are no files', () => {
  const text =
    '`proxy/main.ts` `main.ts` [app](app.ts#top) `none.ts` [none](http/none.ts) `/stats` `@scope/name` https://a.b/c.ts [a](https://a.b)'
  expect(missingPaths('proxy/README.md', text)).toEqual(['none.ts'])
})
