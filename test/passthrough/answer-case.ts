// What a case of an odd answer is.
import type { Script } from '../wire/scripted-upstream.ts'

/** Something that the upstream says in answer to one request, and what may come of it. */
export interface AnswerCase {
  name: string
  says: Script
  /** The content, if this can be understood: an answer with exactly this is as good as an error. */
  content?: string
  status?: number
  /** Nothing but exactly this will do. */
  isFine?: true
  methods?: string[]
}

export const ok = 'HTTP/1.1 200 OK\r\n'
export const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`
