import type { Exercise } from './exercise.ts'

/** A metric of a new fact: the kind of fact, the place that observes it, and its counter. */
export const metric: Exercise = {
  title: 'a metric',
  mostFiles: 3,
  edits: [
    {
      file: 'proxy/observation.ts',
      before: "  | { kind: 'variant-failed'; error: unknown }",
      after: `  | { kind: 'variant-built'; encoding: string }
  | { kind: 'variant-failed'; error: unknown }`,
    },
    {
      file: 'proxy/cache/variants.ts',
      before:
        '    this.#memory.attach(key, entry, encoding, bytes.length < entry.body.length ? ownBytes(bytes) : null)',
      after: `    this.#memory.attach(key, entry, encoding, bytes.length < entry.body.length ? ownBytes(bytes) : null)
    this.#observe({ kind: 'variant-built', encoding })`,
    },
    {
      file: 'proxy/ops/metrics.ts',
      before: '  readonly #logGaps = this.#counter(',
      after: `  readonly #variants = this.#counter('variants_built_total', 'Compressed variants built, by encoding.', ['encoding'])
  readonly #logGaps = this.#counter(`,
    },
    {
      file: 'proxy/ops/metrics.ts',
      before: "    'log-gap': () => this.#logGaps.inc(),",
      after: `    'variant-built': ({ encoding }) => this.#variants.inc({ encoding }),
    'log-gap': () => this.#logGaps.inc(),`,
    },
  ],
  probe: `import { match } from 'node:assert/strict'
import { spellKey } from '../proxy/cache/key.ts'
import { memoryTier } from '../proxy/cache/memory.ts'
import { VariantBuilder } from '../proxy/cache/variants.ts'
import { Metrics } from '../proxy/ops/metrics.ts'
import { entryOf, gate } from './support.ts'

const metrics = new Metrics()
const built = gate()
const memory = memoryTier(1024 ** 2, metrics.observe)
const key = spellKey('one', '1', {})
memory.set(key, entryOf('x'.repeat(10_000)))
new VariantBuilder(memory, (fact) => {
  metrics.observe(fact)
  built.open()
}).want(key, 'gzip')
await built.opened
match(await metrics.text(), /^onramp_variants_built_total\\{encoding="gzip"\\} 1$/m)
`,
}
