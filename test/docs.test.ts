import { existsSync, readFileSync } from 'node:fs'
import { basename } from 'node:path/posix'
import { expect, test } from 'vitest'
import { page } from '../bench/page.ts'
import { crowdsTable, faultsTable } from '../config/documents/faults.ts'
import { withParts } from '../config/documents/markdown.ts'
import { documents, keptResults, readDocument, schemaJson } from '../config/generate.ts'

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

test('config/schema.json is what the schema says (npm run docs)', () => {
  expect(read('config/schema.json')).toBe(schemaJson())
})

test.each(Object.entries(documents))('the generated parts of %s are current (npm run docs)', (path, parts) => {
  const document = readDocument(path)
  expect(withParts(document, parts)).toBe(document)
})

test('the benchmark report shows the run that is kept beside it', () => {
  expect(read('bench/results/report.html')).toBe(page(keptResults()))
})

test('the table of faults says what a run measured', () => {
  const share = { sent: 10, failed: 0, worstAddedMs: 12.3, typicalAddedMs: 0 }
  const fault = {
    fault: 'Redis unavailable',
    held: share,
    old: share,
    cold: { ...share, failed: 1 },
    other: { ...share, failed: 2, worstAddedMs: 45.6 },
    healthySeconds: 1.26,
    isHealthy: true,
    sqlPerSecondBefore: 30,
    sqlPerSecond: 29.6,
    levels: ['memory-only'],
    breakers: ['redis'],
    noiseMs: 3.2,
    shed: 0,
  }
  const crowd = { name: 'Redis available', clients: 1000, processes: 4, failed: 0, sql: 1, lifetimes: 1 }
  const results = { faults: [fault], crowds: [crowd] }
  expect(faultsTable(results)).toContain(
    '| Redis unavailable | 0 of 10 | 12 ms | 0 of 10 | 12 ms | 3 of 20 | 46 ms | 1.3 s | 30 | memory-only | 3 ms |',
  )
  expect(crowdsTable(results)).toContain('one expired key, Redis available | 1000 | 0 | 1 |')
})

test('the shipped configuration names the schema, so that editors complete it', () => {
  expect(read('config/onramp.yaml').split('\n')[0]).toBe('# yaml-language-server: $schema=schema.json')
})

/** The anchors of a document: one for each heading, as GitHub makes them. */
function anchorsOf(document: string): Set<string> {
  const headings = document.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm)
  const plain = (heading: string) => heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
  return new Set(
    [...headings].map(([, heading = '']) =>
      plain(heading)
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    ),
  )
}

/** Links of the document at `path` to files that do not exist, or to headings that the file does not have. */
function brokenLinks(path: string, text: string): string[] {
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
  return links.filter((target) => {
    if (/^https?:/.test(target)) return false
    const [file = '', anchor] = target.split('#')
    const url = new URL(file === '' ? basename(path) : file, new URL(`../${path}`, import.meta.url))
    if (!existsSync(url)) return true
    return anchor !== undefined && !anchorsOf(readFileSync(url, 'utf8')).has(anchor)
  })
}

test.each(Object.keys(documents))('every link of %s leads to a file, and to a heading of it', (path) => {
  expect(brokenLinks(path, readDocument(path))).toEqual([])
})

test('twin: a link to a missing file or heading is found', () => {
  const text = '[a](README.md) [b](missing.md) [c](#what-are-its-limits) [d](config/README.md#nothing) [e](https://x)'
  expect(brokenLinks('README.md', text)).toEqual(['missing.md', 'config/README.md#nothing'])
})
