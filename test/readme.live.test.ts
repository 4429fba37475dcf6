import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect, inject, test } from 'vitest'
import { startApp } from './live.ts'
import { findProgram } from './servers.ts'

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')

/** What README.md shows as typed, and as printed below it. */
const shown = [...readme.matchAll(/^ {4}\$ (.*)\n((?: {4}.*\n)*)/gm)].map(([, command, printed]) => ({
  command: command as string,
  printed: (printed as string).replace(/^ {4}/gm, ''),
}))

test('every command that README.md shows prints what README.md shows', async () => {
  findProgram('curl', 'curl', '')
  const app = await startApp(inject('databaseUrl'))
  const here = (text: string) => text.replaceAll('localhost:8080', app.url).replaceAll('localhost:9090', app.adminUrl)
  const run = async (command: string) => (await promisify(execFile)('sh', ['-c', here(command)])).stdout
  try {
    expect(shown.length).toBeGreaterThanOrEqual(4)
    for (const { command, printed } of shown) {
      const same = (text: string) =>
        text
          .replaceAll('\r', '')
          .trim()
          .replace(/ttl=\d+/, 'ttl=…')
      expect(`${command}\n${same(await run(command))}`).toBe(`${command}\n${same(printed)}`)
    }
  } finally {
    await app.stop()
  }
})
