import { writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { newFolder } from './servers/run-folder.ts'

/** A recorded answer, for a bare server that sends the same bytes. */
export interface Kept {
  path: string
  headers: Record<string, string>
  body: string
}

/** Header fields that concern the connection, or that each server writes itself: not recorded. */
const own = new Set(['connection', 'keep-alive', 'date', 'transfer-encoding', 'cache-status', 'age'])

/** Records the answer of `url` for `path`; `as` is the path under which the bare server serves it. Rejects unless it is a 200. */
export function keep(url: string, path: string, headers: Record<string, string> = {}, as = path): Promise<Kept> {
  return new Promise((resolve, reject) => {
    get(url + path, { headers, agent: false }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (bytes: Buffer) => parts.push(bytes))
      response.on('end', () => {
        if (response.statusCode !== 200)
          return reject(new Error(`${path} was answered with status ${response.statusCode}, not 200.`))
        const fields = Object.entries(response.headersDistinct).filter(([name]) => !own.has(name))
        const kept = Object.fromEntries(fields.map(([name, values]) => [name, (values as string[]).join(', ')]))
        resolve({ path: as, headers: kept, body: Buffer.concat(parts).toString('base64') })
      })
    }).on('error', reject)
  })
}

/** Writes answers to a file for servers/bare.ts, and returns its path. */
export function answersFile(answers: Kept[]): string {
  const file = join(newFolder('answers'), 'answers.json')
  writeFileSync(file, JSON.stringify(answers))
  return file
}
