import type { Exercise } from './exercise.ts'

/** A tier between memory and Redis: its hits are answered, counted and shown under its own name, and a purge reaches it. */
export const cacheTier: Exercise = {
  title: 'a cache tier',
  mostFiles: 2,
  files: {
    'proxy/cache/overflow.ts': `// The tier for what memory has no room for.
import type { Entry } from './entry.ts'
import type { Key } from './key.ts'
import type { Tier } from './tier.ts'

/** Keeps the last \`maxEntries\` entries, whatever their size. */
export function overflowTier(maxEntries: number): Tier {
  const kept = new Map<Key, Entry>()
  return {
    name: 'overflow',
    label: 'Overflow',
    get: (key) => kept.get(key),
    set(key, entry) {
      kept.delete(key)
      kept.set(key, entry)
      for (const oldest of kept.keys()) if (kept.size > maxEntries) kept.delete(oldest)
      return true
    },
  }
}
`,
  },
  edits: [
    {
      file: 'proxy/app.ts',
      before: "import { memoryTier } from './cache/memory.ts'",
      after: `import { memoryTier } from './cache/memory.ts'
import { overflowTier } from './cache/overflow.ts'`,
    },
    {
      file: 'proxy/app.ts',
      before: 'const farther = [shared]',
      after: 'const farther = [failOpen(overflowTier(1000)), shared]',
    },
  ],
  // The answer is larger than the eighth of memory that one entry may take, so that only the new tier can hold it.
  probe: `import { deepEqual, equal, match } from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { pino } from 'pino'
import { createApp } from '../proxy/app.ts'
import { systemClock } from '../proxy/clock.ts'
import { readConfig } from '../proxy/config/load.ts'
import { ask } from './support.ts'

const databaseUrl = process.env['DATABASE_URL']
if (databaseUrl === undefined) throw new Error('DATABASE_URL names no database to ask.')
const file = 'probe.yaml'
writeFileSync(
  file,
  \`postgres: { url: "\${databaseUrl}", follow: off }
memory: { maxBytes: 1MiB }
routes: { one: { path: /one, sql: "select repeat('x', 300000) as text" } }
\`,
)
const app = await createApp({
  config: readConfig(file, {}),
  databaseUrl,
  readConfig: () => readConfig(file, {}),
  pino: pino({ level: 'silent' }),
  clock: systemClock,
  random: Math.random,
  version: '0',
  nodeVersion: '0',
})
try {
  await app.admin.ready()
  for (const source of ['origin', 'overflow']) {
    const { statusCode, headers } = await ask(app.public.server, '/one')
    equal(statusCode, 200)
    match(String(headers['cache-status']), new RegExp(\`detail=\${source}$\`))
  }
  const { body } = await ask(app.admin.server, '/metrics')
  match(body, /^onramp_responses_total\\{route="one",source="overflow",state="fresh",status="200"\\} 1$/m)
  const stats = await ask(app.admin.server, '/stats')
  match(stats.body, /"overflow":1\\b/)
  const purged = await ask(app.admin.server, {
    method: 'POST',
    url: '/purge',
    headers: { 'content-type': 'application/json' },
    payload: '{"all":true}',
  })
  match(purged.body, /"reached":\\["memory","overflow"\\],"missed":\\[\\]/)
  deepEqual(app.tiers, ['memory', 'overflow'])
} finally {
  await Promise.all([app.public.close(), app.admin.close()])
  await app.close()
}
`,
}
