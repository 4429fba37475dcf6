// A small upstream with pages for a browser, and content of any length.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gate } from './support.ts'
import { echo } from './websocket-echo.ts'
import { listening } from './wire/listening.ts'

/** Responds to the requests for one path. */
export type Page = (request: IncomingMessage, response: ServerResponse, query: URLSearchParams) => unknown

export interface UpstreamServer {
  url: string
  /** By path. A test may add pages. */
  pages: Map<string, Page>
  /** Every request so far, oldest first. */
  seen: IncomingMessage[]
  stop(): Promise<void>
}

/**
 * Starts a small upstream: a page with a stylesheet, a script and an image, a login, an upload, events, a WebSocket echo, and content
 * of any length. It listens on a TCP port, or on the Unix socket `at`.
 */
export async function startUpstream(at?: string): Promise<UpstreamServer> {
  const pages = new Map(Object.entries({ ...site, ...accounts(), ...events(), ...contents }))
  const seen: IncomingMessage[] = []
  const server = createServer((request, response) => {
    seen.push(request)
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://upstream')
    const page = pages.get(pathname)
    if (page === undefined) return void response.writeHead(404).end('no such page')
    Promise.resolve(page(request, response, searchParams)).catch((error: unknown) =>
      response.destroy(error instanceof Error ? error : new Error(String(error))),
    )
  })
  server.on('upgrade', (request: IncomingMessage, socket, early) => {
    seen.push(request)
    echo(request, socket, early)
  })
  if (at !== undefined) await once(server.listen(at), 'listening')
  return {
    url: at === undefined ? `http://127.0.0.1:${await listening(server)}` : `unix:${at}`,
    pages,
    seen,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const site: Record<string, Page> = {
  '/': (_request, response) => html(response, welcome),
  '/careless': (_request, response) =>
    html(response, '<!doctype html><link rel="icon" href="/logo.png"><script src="/no-such.js"></script>'),
  '/style.css': (_request, response) =>
    response.writeHead(200, { 'Content-Type': 'text/css' }).end('h1 { color: rgb(1, 2, 3) }'),
  '/app.js': (_request, response) => response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(script),
  '/logo.png': (_request, response) => response.writeHead(200, { 'Content-Type': 'image/png' }).end(logo),
  '/headers': (request, response) => json(response, request.headers),
}

/** A login, and an upload from a form. */
function accounts(): Record<string, Page> {
  const users = new Map<string, string>()
  return {
    async '/login'(request, response) {
      const form = await formOf(request)
      const session = randomBytes(8).toString('hex')
      users.set(session, String(form.get('name')))
      response.setHeader('Set-Cookie', [`session=${session}; Path=/; HttpOnly; SameSite=Lax`, 'theme=dark; Path=/'])
      response.writeHead(303, { Location: '/account' }).end()
    },
    '/account'(request, response) {
      const session = /session=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? ''
      const name = users.get(session) ?? 'stranger'
      html(response, `<!doctype html><link rel="icon" href="/logo.png"><h1>Hello ${name}</h1>`)
    },
    async '/attach'(request, response) {
      const form = await formOf(request)
      const file = form.get('file')
      if (!(file instanceof File)) throw new Error('The form has no file.')
      const { bytes, digest } = await digestOf(file.stream())
      html(
        response,
        `<!doctype html><link rel="icon" href="/logo.png"><h1>${form.get('title')}</h1><p>${file.name} ${bytes} ${digest}</p>`,
      )
    },
  }
}

/** Sends each event after the page has reported the previous one: a proxy that buffers would stop after the first. */
function events(): Record<string, Page> {
  const reports = [1, 2, 3].map(gate)
  return {
    async '/events'(request, response) {
      if (request.headers['last-event-id'] !== undefined) return response.writeHead(204).end()
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      for (const [i, report] of reports.entries()) {
        response.write(`retry: 20\nid: ${i}\ndata: event ${i}\n\n`)
        await report.opened
      }
      response.end()
    },
    '/report'(_request, response, query) {
      reports[Number(query.get('id'))]?.open()
      response.writeHead(204).end()
    },
  }
}

const contents: Record<string, Page> = {
  /** Sends `bytes` of content: with Content-Length, or chunked with `chunked`. */
  async '/download'(_request, response, query) {
    const bytes = Number(query.get('bytes'))
    if (!query.has('chunked')) response.setHeader('Content-Length', bytes)
    for (const piece of content(bytes)) if (!response.write(piece)) await drained(response)
    response.end()
  },
  /** Reports the size and the digest of the content it received. */
  async '/upload'(request, response) {
    json(response, { ...(await digestOf(request)), framing: request.headers['transfer-encoding'] ?? 'sized' })
  },
}

const logo = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

const welcome = `<!doctype html>
<html lang="en">
<title>An upstream</title>
<link rel="icon" href="/logo.png">
<link rel="stylesheet" href="/style.css">
<h1>Welcome</h1>
<img src="/logo.png" alt="logo">
<form method="post" action="/login"><input name="name"><button id="login">Log in</button></form>
<form method="post" action="/attach" enctype="multipart/form-data">
  <input name="title"><input type="file" name="file"><button id="attach">Attach</button>
</form>
<script src="/app.js"></script>
`

/** The functions that tests call in the page. It sets the state `ready` once they are defined. */
const script = `
async function ask(path, options) {
  const response = await fetch(path, options)
  return { status: response.status, cacheStatus: response.headers.get('cache-status'), body: await response.json() }
}
function echoes(texts) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/echo')
    const received = []
    socket.onopen = () => socket.send(texts[0])
    socket.onmessage = ({ data }) => {
      received.push(data)
      if (received.length < texts.length) socket.send(texts[received.length])
      else socket.close(1000, 'done')
    }
    socket.onclose = ({ code, wasClean }) => resolve({ received, code, wasClean })
    socket.onerror = () => reject(new Error('the WebSocket failed'))
  })
}
function events() {
  return new Promise((resolve) => {
    const source = new EventSource('/events')
    const received = []
    source.onmessage = ({ data, lastEventId }) => {
      received.push(data)
      fetch('/report?id=' + lastEventId)
    }
    source.onerror = () => source.readyState === EventSource.CLOSED && resolve(received)
  })
}
document.documentElement.dataset.state = 'ready'
`

function html(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(text)
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(value))
}

async function formOf(request: IncomingMessage): Promise<FormData> {
  const headers = { 'Content-Type': request.headers['content-type'] ?? '' }
  return new Response(await buffer(request), { headers }).formData()
}

const piece = randomBytes(65_536)

/** Yields `bytes` of content in chunks, all different: a lost, repeated or moved chunk changes the digest. */
export function* content(bytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += piece.length) {
    const copy = Buffer.from(piece.subarray(0, Math.min(piece.length, bytes - at)))
    if (copy.length >= 6) copy.writeUIntBE(at, 0, 6)
    yield copy
  }
}

export interface Digested {
  bytes: number
  digest: string
}

/** Reads `stream` to its end. `step` is called for each chunk with the bytes so far. */
export async function digestOf(
  stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  step: (bytes: number) => void = () => {},
): Promise<Digested> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const part of stream) {
    hash.update(part)
    bytes += part.length
    step(bytes)
  }
  return { bytes, digest: hash.digest('base64url') }
}

/** Resolves when `stream` accepts more, or is closed. */
export function drained(stream: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    stream.on('drain', done).on('close', done)
  })
}
