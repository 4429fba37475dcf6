// The content of a POST: its media type, its size, its characters.
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { MIMEType } from 'node:util'
import { Problem } from '../../errors.ts'

/** A refusal of content that has not been read: its client may go on sending, so the connection ends. */
export class UnreadContent extends Problem {}

/**
 * Reads the content of `request`, JSON in UTF-8 of at most `maxBytes`, as text; nothing where it has none and says so.
 *
 * Rejects with `wrong-media-type`, `body-too-large` or `bad-body` before the rest of the content has come, and with `bad-request` when
 * the client leaves in the middle of it.
 */
export async function readJsonContent(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  const { headers } = request
  const type = headers['content-type']
  const hasContent = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  if (type === undefined && !hasContent) return undefined
  if (!isJson(type)) throw new Problem('wrong-media-type', 'Its Content-Type is not application/json.')
  const coding = headers['content-encoding']
  if (coding !== undefined)
    throw new UnreadContent('wrong-media-type', `A body with Content-Encoding ${coding} is not taken.`)
  if (Number(headers['content-length']) > maxBytes) throw tooLarge()
  const content = await collect(request, maxBytes)
  if (!isUtf8(content)) throw new Problem('bad-body', 'The body is not UTF-8.')
  return content.toString()
}

function isJson(type: string | undefined): boolean {
  try {
    return type === 'application/json' || (type !== undefined && new MIMEType(type).essence === 'application/json')
  } catch {
    return false // it is no media type at all
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
      reject(tooLarge())
    }
    request.on('data', take)
    request.on('end', () => resolve(Buffer.concat(chunks)))
    request.on('error', (cause) => reject(new Problem('bad-request', 'The request ends here.', { cause })))
  })
}

function tooLarge(): UnreadContent {
  return new UnreadContent('body-too-large', 'The body is larger than this server takes.')
}
