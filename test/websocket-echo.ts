// A WebSocket server that echoes.
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

/** Echoes every frame without its mask, and closes after a close frame (RFC 6455, server side). */
export function echo(request: IncomingMessage, socket: Duplex, early: Buffer): void {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  let waiting = early
  const read = (bytes: Buffer) => {
    waiting = Buffer.concat([waiting, bytes])
    for (let frame = firstFrame(waiting); frame !== undefined; frame = firstFrame(waiting)) {
      waiting = waiting.subarray(frame.size)
      socket.write(Buffer.concat([header(frame.first, frame.payload.length), frame.payload]))
      if ((frame.first & 0x0f) === 8) socket.end()
    }
  }
  socket.on('error', () => {}) // the client may disconnect without a close frame
  socket.on('end', () => socket.end())
  socket.on('data', read)
  read(Buffer.alloc(0))
}

interface Frame {
  /** FIN and opcode. */
  first: number
  payload: Buffer
  /** With its header and mask, in bytes. */
  size: number
}

function firstFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined
  const short = bytes.readUInt8(1) & 0x7f
  const at = short === 126 ? 4 : short === 127 ? 10 : 2
  if (bytes.length < at + 4) return undefined
  const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
  const size = at + 4 + length
  if (bytes.length < size) return undefined
  const mask = bytes.subarray(at, at + 4)
  const payload = Buffer.from(bytes.subarray(at + 4, size))
  for (const [i, byte] of payload.entries()) payload[i] = byte ^ mask.readUInt8(i % 4)
  return { first: bytes.readUInt8(0), payload, size }
}

function header(first: number, length: number): Buffer {
  if (length < 126) return Buffer.from([first, length])
  const long = length > 0xffff
  const bytes = Buffer.alloc(long ? 10 : 4)
  bytes.writeUInt8(first, 0)
  bytes.writeUInt8(long ? 127 : 126, 1)
  if (long) bytes.writeBigUInt64BE(BigInt(length), 2)
  else bytes.writeUInt16BE(length, 2)
  return bytes
}
