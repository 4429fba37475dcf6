// Differences between the result of a framing case and an allowed outcome.
import { valuesOf } from '../wire/fields.ts'
import type { ExpectedRequest, Outcome } from './case.ts'
import type { StrictAnswer, StrictRequest } from './strict-http.ts'

/** The result of a case. */
export interface Result {
  answers: readonly StrictAnswer[]
  /** The requests that the upstream received. */
  seen: readonly StrictRequest[]
  /** Whether the connection was closed by the other side. */
  closed: boolean
}

/** Statuses that reject a request. */
const refusals = new Set([400, 408, 411, 413, 414, 417, 431, 501, 505])

export function isAnswered(outcome: Outcome, answers: readonly StrictAnswer[]): boolean {
  return (
    answers.length === outcome.answers.length &&
    answers.every(({ status }, i) => {
      const expected = outcome.answers[i]
      return expected === 'refused' ? refusals.has(status) : expected === status
    })
  )
}

/** Each difference, prefixed with its place: answer, closing, or seen. */
export function differencesTo(outcome: Outcome, { answers, seen, closed }: Result): string[] {
  const found: string[] = []
  if (!isAnswered(outcome, answers)) {
    const statuses = answers.map(({ status }) => status)
    found.push(`answer: ${statuses.join() || 'none'} for ${outcome.answers.join() || 'none'}`)
  }
  if (outcome.closes && !closed) found.push('closing: it is left to the client')
  if (seen.length !== outcome.seen.length)
    found.push(`seen: ${seen.length} for ${outcome.seen.length}, ${JSON.stringify(seen)}`)
  // The upstream's answers belong to its requests, in order.
  for (const [i, answer] of answers.filter((one) => one.answers !== '').entries())
    found.push(...answerDifferences(outcome.seen[i], answer))
  for (const [i, expected] of outcome.seen.entries()) {
    const request = seen[i]
    if (request !== undefined) found.push(...requestDifferences(expected, request))
  }
  return found
}

function answerDifferences(expected: ExpectedRequest | undefined, { answers, content }: StrictAnswer): string[] {
  const name = `${expected?.method} ${expected?.target}`
  const isSame = answers === name && content === (expected?.method === 'HEAD' ? '' : name)
  return isSame ? [] : [`answer: of ${answers} for ${name}`]
}

function requestDifferences(expected: ExpectedRequest, request: StrictRequest): string[] {
  const { method, target, content = '', trailers = [], has = [], lacks = [] } = expected
  const found: string[] = []
  const is = JSON.stringify([request.method, request.target, request.content, request.trailers])
  const to = JSON.stringify([method, target, content, trailers])
  if (is !== to) found.push(`seen: ${is} for ${to}`)
  for (const [name, value] of has) {
    const values = valuesOf(request.fields, name)
    if (!values.includes(value)) found.push(`seen: ${name} of ${JSON.stringify(values)} for ${JSON.stringify(value)}`)
  }
  for (const name of lacks) if (valuesOf(request.fields, name).length > 0) found.push(`seen: ${name}`)
  return found
}
