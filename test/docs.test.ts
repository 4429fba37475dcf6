import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { page } from '../bench/page.ts'
import { keptResults, schemaJson, withTables } from '../config/generate.ts'

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

test('config/schema.json is what the schema says (npm run docs)', () => {
  expect(read('config/schema.json')).toBe(schemaJson())
})

test('the tables of README.md are what the schema and the kept benchmark run say (npm run docs)', () => {
  const readme = read('README.md')
  expect(withTables(readme)).toBe(readme)
})

test('the benchmark report shows the run that is kept beside it', () => {
  expect(read('bench/results/report.html')).toBe(page(keptResults()))
})

test('the shipped configuration names the schema, so that editors complete it', () => {
  expect(read('config/onramp.yaml').split('\n')[0]).toBe('# yaml-language-server: $schema=schema.json')
})

test('the code map names every file of proxy/, and no other', () => {
  const map = read('proxy/README.md')
  const named = [...map.matchAll(/`((?:[a-z]+\/)?[a-z-]+\.ts)`/g)].map(([, file]) => file)
  const files = [...new Set(globSync('**/*.ts', { cwd: new URL('../proxy', import.meta.url).pathname }))]
  expect([...new Set(named)].sort()).toEqual(files.sort())
})
