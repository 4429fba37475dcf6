import { readFileSync, writeFileSync } from 'node:fs'
import { type Results, resultsTable, summaryTable } from '../bench/report.ts'
import { jsonSchema } from '../proxy/config/json-schema.ts'
import { codeMap } from './documents/code-map.ts'
import { eventsTable, logFieldsTable } from './documents/events.ts'
import { coherenceTable, crowdsTable, faultsTable } from './documents/faults.ts'
import { withParts } from './documents/markdown.ts'
import { metricsTable } from './documents/metrics.ts'
import { parametersTable, routeSettingsTable, settingsTable } from './documents/settings.ts'

/*
 * Writes config/schema.json, for editors, and the parts of the documents that come from the code or from measurements.
 * `npm run docs`; test/docs.test.ts fails when one of them is stale.
 */

export function schemaJson(): string {
  return `${JSON.stringify({ title: 'onramp', ...jsonSchema() }, null, 2)}\n`
}

/** The benchmark run that the documents show. */
export function keptResults(): Results {
  return JSON.parse(readFileSync(new URL('../bench/results/latest.json', import.meta.url), 'utf8')) as Results
}

/** The generated parts of each document, by the name of their place in it. */
export const documents: Readonly<Record<string, Readonly<Record<string, () => string>>>> = {
  'README.md': { summary: () => summaryTable(keptResults()) },
  'config/README.md': {
    settings: settingsTable,
    'route-settings': routeSettingsTable,
    parameters: parametersTable,
  },
  'config/deploy/README.md': { metrics: metricsTable, events: eventsTable, 'log-fields': logFieldsTable },
  'bench/README.md': { benchmarks: () => resultsTable(keptResults()) },
  'test/README.md': { faults: faultsTable, crowds: crowdsTable, coherence: coherenceTable },
  'proxy/README.md': { 'code-map': codeMap },
  'CONTRIBUTING.md': {},
}

const root = new URL('../', import.meta.url)

export const readDocument = (path: string) => readFileSync(new URL(path, root), 'utf8')

if (import.meta.main) {
  writeFileSync(new URL('config/schema.json', root), schemaJson())
  for (const [path, parts] of Object.entries(documents)) {
    writeFileSync(new URL(path, root), withParts(readDocument(path), parts))
  }
}
