import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, inject, test } from 'vitest'
import { findProgram } from '../bench/servers/programs.ts'
import { until } from '../bench/until.ts'
import { startApp } from './live.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

const asItWas = `update plans set plan_name = 'Piñon Connect 5400' where plan_id = '57724AK0100002'`

/** What README.md shows as typed, and as printed below it. */
const shown = [...readme.matchAll(/^ {4}\$ (.*)\n((?: {4}.*\n)*)/gm)].map(([, command, printed]) => ({
  command: command as string,
  printed: (printed as string).replace(/^ {4}/gm, ''),
}))

test('every command that README.md shows prints what README.md shows', async () => {
  findProgram('curl', 'curl')
  findProgram('psql', 'postgresql-client')
  const app = await startApp(inject('databaseUrl'), {}, (config) => ({
    ...config,
    postgres: { ...config.postgres, follow: 'replication' },
  }))
  const here = (text: string) =>
    text
      .replaceAll('localhost:8080', app.url)
      .replaceAll('localhost:9090', app.adminUrl)
      .replaceAll(/postgres:\S+/g, inject('ownerUrl'))
  const run = async (command: string) => (await promisify(execFile)('sh', ['-c', here(command)])).stdout
  try {
    expect(shown.length).toBeGreaterThanOrEqual(4)
    for (const { command, printed } of shown) {
      const same = (text: string) =>
        text
          .replaceAll('\r', '')
          .trim()
          .replace(/ttl=\d+/, 'ttl=…')
          .replace(/"position":"\d+:\w{16}"/, '"position":"…"')
      // A changed row is seen once the change has arrived: at once for people, who type.
      if (command.includes('/api/plans/5')) await until(async () => same(await run(command)), same(printed))
      else expect(`${command}\n${same(await run(command))}`).toBe(`${command}\n${same(printed)}`)
    }
  } finally {
    await promisify(execFile)('psql', [inject('ownerUrl'), '-c', asItWas])
    await app.stop()
  }
})
