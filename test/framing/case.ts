// The type of a framing case, and its allowed outcomes.
import type { Field } from '../wire/fields.ts'

/** A request as the upstream must receive it. */
export interface ExpectedRequest {
  method: string
  target: string
  content?: string
  trailers?: Field[]
  /** Required fields, and names that must be absent. */
  has?: Field[]
  lacks?: string[]
}

/** One allowed outcome. */
export interface Outcome {
  /** The statuses that the client gets; 'refused' is any status that rejects the request. */
  answers: (number | 'refused')[]
  /** The requests that the upstream gets. */
  seen: ExpectedRequest[]
  /** Whether the connection is closed by the other side. */
  closes: boolean
}

/** The bytes of a client on one connection. `ID` is replaced by a name unique to the case. */
export interface FramingCase {
  name: string
  /** Latin1: one character is one byte. */
  bytes: string
  /** All safe outcomes. */
  expected: Outcome[]
  /** The action of the client after its last byte, if it does not wait for the answer. */
  after?: 'end' | 'reset'
  /** Why a relay that breaks the rules reveals nothing about it. */
  withoutTwin?: string
}

/** Cases by subject. */
export type Subject = Readonly<Record<string, readonly FramingCase[]>>

const refusal: Outcome = { answers: ['refused'], seen: [], closes: true }
const carriage = (seen: ExpectedRequest[]): Outcome => ({ answers: seen.map(() => 200), seen, closes: false })

export const refused: Outcome[] = [refusal]

const unanswered: Outcome = { answers: [], seen: [], closes: true }

export const refusedOrUnanswered: Outcome[] = [unanswered, refusal]

export function carried(...seen: ExpectedRequest[]): Outcome[] {
  return [carriage(seen)]
}

/** Outcomes where the RFC leaves the choice: rejected, or passed on exactly. */
export function refusedOrCarried(seen: ExpectedRequest): Outcome[] {
  return [refusal, carriage([seen])]
}

/**
 * A valid request with bytes behind it that must not be taken for one: the valid request is answered, or its connection
 * cut.
 */
export function cutBehind(seen: ExpectedRequest): Outcome[] {
  return [
    { answers: [200, 'refused'], seen: [seen], closes: true },
    { answers: [200], seen: [seen], closes: true },
    { answers: [], seen: [seen], closes: true },
    unanswered,
  ]
}
