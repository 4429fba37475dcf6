// Relays that break the rules, between a client and the upstream: twins of a correct proxy.
import { connect, createServer, type Socket } from 'node:net'
import { listening } from '../wire/listening.ts'
import { type Input, readAnswer } from './strict-http.ts'

export interface Relay {
  port: number
  stop(): Promise<void>
}

/** Passes every byte on unchanged, over one upstream connection per client. */
export function verbatimRelay(upstreamPort: number): Promise<Relay> {
  return relay((client) => {
    const server = connect({ port: upstreamPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    server.on('error', () => client.destroy())
    client.on('error', () => server.destroy())
    client.pipe(server)
    server.pipe(client)
  })
}

/** Reads until its client has nothing more to send, and passes whatever arrived on as one request. */
export function carelessRelay(upstreamPort: number): Promise<Relay> {
  return relay((client) => {
    let bytes = ''
    client.setEncoding('latin1')
    client.on('data', (more: string) => {
      bytes += more
    })
    client.on('error', () => {})
    let isSent = false
    const send = () => {
      if (isSent || bytes === '') return void client.end()
      isSent = true
      const server = connect({ port: upstreamPort, host: '127.0.0.1', allowHalfOpen: true })
      server.write(madeWhole(bytes), 'latin1')
      server.on('error', () => {})
      server.pipe(client)
    }
    client.on('end', send)
    client.on('close', send)
  })
}

/**
 * A request made of `bytes`: any line end is accepted, invalid fields are dropped, the length is that of the received
 * content.
 */
function madeWhole(bytes: string): string {
  const end = /\r?\n\r?\n/.exec(bytes)
  const [start = '', ...lines] = (end === null ? bytes : bytes.slice(0, end.index)).split(/\r?\n/)
  const content = end === null ? '' : bytes.slice(end.index + end[0].length)
  const fields = lines.filter((text) => /^[\w-]+:/.test(text) && !/^(content-length|transfer-enc)/i.test(text))
  const head = [start.includes(' HTTP/') ? start : 'GET / HTTP/1.1', ...fields]
  if (!fields.some((text) => /^host:/i.test(text))) head.push('Host: a.example')
  return [...head, `Content-Length: ${content.length}`, '', content].join('\r\n')
}

/**
 * Passes every byte on over one connection shared by all clients, and gives each answer to the longest waiting client.
 */
export function sharingRelay(upstreamPort: number): Promise<Relay> {
  const server = connect({ port: upstreamPort, host: '127.0.0.1', noDelay: true })
  const waiting: Socket[] = []
  const answers: string[] = []
  const input: Input = { bytes: '', isEnded: false }
  let raw = ''
  let reading = readAnswer(input, () => false)
  const give = () => {
    for (const bytes of answers.splice(0, waiting.length)) waiting.shift()?.end(bytes, 'latin1')
  }
  server.setEncoding('latin1')
  server.on('error', () => {})
  server.on('data', (bytes) => {
    input.bytes += bytes
    raw += bytes
    while (input.bytes !== '' && reading.next().done) {
      answers.push(raw.slice(0, raw.length - input.bytes.length))
      raw = input.bytes
      reading = readAnswer(input, () => false)
    }
    give()
  })
  const serve = (client: Socket) => {
    client.on('error', () => {})
    client.on('data', (bytes) => {
      waiting.push(client)
      server.write(bytes)
      give()
    })
  }
  return relay(serve, () => server.destroy())
}

async function relay(serve: (client: Socket) => void, stopped = () => {}): Promise<Relay> {
  const clients = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    clients.add(client)
    client.on('close', () => clients.delete(client))
    serve(client)
  })
  return {
    port: await listening(server),
    async stop() {
      stopped()
      for (const client of clients) client.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
