// A naive cache: the twin of one that follows the rules.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { onTestFinished } from 'vitest'
import { listening } from '../wire/listening.ts'
import type { AttackStage } from './stage.ts'

interface KeptAnswer {
  status: number
  headers: Record<string, string>
  body: Buffer
}

/** Serves routes from the clean process and other paths from the upstream. Returns its URL; it ends with the test. */
export async function naiveCache(
  { clean, upstream }: AttackStage,
  keyOf: (request: IncomingMessage) => string,
): Promise<string> {
  const kept = new Map<string, KeptAnswer>()
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const key = keyOf(request)
    const isRoute = key.startsWith('/api/') && !key.includes('.')
    const url = isRoute ? clean.url + key : upstream.url + request.url
    // The first answer for a key is kept for all.
    const found = kept.get(key) ?? (await answerTo(request, url))
    kept.set(key, found)
    response.writeHead(found.status, found.headers).end(found.body)
  }
  const server = createServer((request, response) => void answer(request, response))
  const port = await listening(server)
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${port}`
}

/** The answer of `url`, sent with all fields of the request. */
async function answerTo({ method, url: target, headers: asked }: IncomingMessage, url: string): Promise<KeptAnswer> {
  const { host, origin, range, 'accept-encoding': coding = 'identity', 'x-forwarded-host': site = host } = asked
  const answer = await fetch(url, {
    method: method === 'HEAD' ? 'HEAD' : 'GET',
    headers: { 'Accept-Encoding': String(coding), ...(range && { Range: range }) },
  })
  const headers: Record<string, string> = {
    ...Object.fromEntries(answer.headers),
    ...(origin && { 'Access-Control-Allow-Origin': origin }),
    'Content-Location': `http://${site}${target}`,
  }
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) delete headers[name]
  return { status: answer.status, headers, body: Buffer.from(await answer.arrayBuffer()) }
}
