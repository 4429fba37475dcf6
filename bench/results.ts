import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { page } from './page.ts'
import type { Results } from './report.ts'

/** Writes a run to bench/results, and makes the report and the tables of the documents from it. */
export function keepResults(results: Results): void {
  const folder = new URL('results/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL('latest.json', folder), `${JSON.stringify(results, null, 1)}\n`)
  writeFileSync(new URL('report.html', folder), page(results))
  execFileSync(process.execPath, [fileURLToPath(new URL('../config/generate.ts', import.meta.url))])
}
