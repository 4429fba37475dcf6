// What a framing case is, and the ways a case may end.
import type { Field } from '../wire/fields.ts'

/** A request as the upstream is to get it. */
export interface ExpectedRequest {
  method: string
  target: string
  content?: string
  trailers?: Field[]
  /** Fields that are there, and names that are not. */
  has?: Field[]
  lacks?: string[]
}

/** One way a case may end. */
export interface Outcome {
  /** The statuses the client gets; 'refused' is any that says the request could not be taken. */
  answers: (number | 'refused')[]
  /** The requests the upstream gets. */
  seen: ExpectedRequest[]
  /** Whether the connection is closed without the client's doing. */
  closes: boolean
}

/** What a client sends on one connection. In all of it, `ID` becomes a name that no other case has. */
export interface FramingCase {
  name: string
  /** Latin1: one character is one byte. */
  bytes: string
  /** Every one of these is safe. */
  expected: Outcome[]
  /** What the client does after the last byte, if it does not wait for its answer. */
  after?: 'end' | 'reset'
  /** Why nothing can be learned of it through a relay that keeps no rule. */
  withoutTwin?: string
}

/** Cases by what they are about. */
export type Subject = Readonly<Record<string, readonly FramingCase[]>>

const refusal: Outcome = { answers: ['refused'], seen: [], closes: true }
const carriage = (seen: ExpectedRequest[]): Outcome => ({ answers: seen.map(() => 200), seen, closes: false })

export const refused: Outcome[] = [refusal]

const unanswered: Outcome = { answers: [], seen: [], closes: true }

export const refusedOrUnanswered: Outcome[] = [unanswered, refusal]

export function carried(...seen: ExpectedRequest[]): Outcome[] {
  return [carriage(seen)]
}

/** Where the RFC leaves it to the recipient: refused, or carried exactly. */
export function refusedOrCarried(seen: ExpectedRequest): Outcome[] {
  return [refusal, carriage([seen])]
}

/** A good request, and behind it what must not be taken for one: the good one is answered, or its connection is cut. */
export function cutBehind(seen: ExpectedRequest): Outcome[] {
  return [
    { answers: [200, 'refused'], seen: [seen], closes: true },
    { answers: [200], seen: [seen], closes: true },
    { answers: [], seen: [seen], closes: true },
    unanswered,
  ]
}
