// The content of a POST: media type, size and encoding checks.
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { MIMEType } from 'node:util'
import { Problem } from '../../errors.ts'

/** A rejection of content that was not read: its client may go on sending, so the connection ends. */
export class UnreadContent extends Problem {}

/**
 * Reads the content of `request` as text: JSON in UTF-8, at most `maxBytes`. Resolves to nothing if the request has no
 * content and no Content-Type.
 *
 * Rejects with `wrong-media-type`, `body-too-large` or `bad-body` before the rest of the content has arrived, and with
 * `bad-request` if the client disconnects before the end.
 */
export async function readJsonContent(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  const { headers } = request
  const type = headers['content-type']
  const hasContent = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  if (type === undefined && !hasContent) return undefined
  if (!isJson(type)) throw new Problem('wrong-media-type', 'The Content-Type must be application/json.')
  const coding = headers['content-encoding']
  if (coding !== undefined)
    throw new UnreadContent(
      'wrong-media-type',
      `Content-Encoding ${coding} is not supported. Send the body uncompressed.`,
    )
  if (Number(headers['content-length']) > maxBytes) throw tooLarge(maxBytes)
  const content = await collect(request, maxBytes)
  if (!isUtf8(content)) throw new Problem('bad-body', 'The body is not valid UTF-8.')
  return content.toString()
}

function isJson(type: string | undefined): boolean {
  try {
    return type === 'application/json' || (type !== undefined && new MIMEType(type).essence === 'application/json')
  } catch {
    return false // not a media type
  }
}

function collect(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const take = (chunk: Buffer) => {
      bytes += chunk.length
      chunks.push(chunk)
      if (bytes <= maxBytes) return
      request.off('data', take)
      reject(tooLarge(maxBytes))
    }
    request.on('data', take)
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', (cause) =>
      reject(new Problem('bad-request', 'The request ended before its content was complete.', { cause })),
    )
  })
}

function tooLarge(maxBytes: number): UnreadContent {
  return new UnreadContent('body-too-large', `The body is larger than ${maxBytes} bytes, the limit. Send less.`)
}
