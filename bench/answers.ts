import { writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { newFolder } from './servers/run-folder.ts'

/** An answer as it came over the wire, for another server to give the same bytes. */
export interface Kept {
  path: string
  headers: Record<string, string>
  body: string
}

/** Fields that a server says of its connection, or writes itself. */
const own = new Set(['connection', 'keep-alive', 'date', 'transfer-encoding', 'cache-status', 'age'])

/** Asks `url` for `path` and keeps what comes, under the name `as`. */
export function keep(url: string, path: string, headers: Record<string, string> = {}, as = path): Promise<Kept> {
  return new Promise((resolve, reject) => {
    get(url + path, { headers, agent: false }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (bytes: Buffer) => parts.push(bytes))
      response.on('end', () => {
        if (response.statusCode !== 200) return reject(new Error(`${path} is answered ${response.statusCode}.`))
        const fields = Object.entries(response.headersDistinct).filter(([name]) => !own.has(name))
        const kept = Object.fromEntries(fields.map(([name, values]) => [name, (values as string[]).join(', ')]))
        resolve({ path: as, headers: kept, body: Buffer.concat(parts).toString('base64') })
      })
    }).on('error', reject)
  })
}

/** Writes answers where servers/bare.ts can read them; the path of the file. */
export function answersFile(answers: Kept[]): string {
  const file = join(newFolder('answers'), 'answers.json')
  writeFileSync(file, JSON.stringify(answers))
  return file
}
