// The type of a case with an irregular answer.
import type { Script } from '../wire/scripted-upstream.ts'

/** Raw bytes that the upstream sends in answer to one request, and the allowed results. */
export interface AnswerCase {
  name: string
  says: Script
  /** The content, if the answer can be understood: an answer with exactly this content is as good as an error. */
  content?: string
  status?: number
  /** Only an answer with exactly this content passes. */
  isFine?: true
  methods?: string[]
}

export const ok = 'HTTP/1.1 200 OK\r\n'
export const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`
