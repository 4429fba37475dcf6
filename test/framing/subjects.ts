// All framing cases, and the ones that a proxy must stop.
import type { FramingCase, Outcome, Subject } from './case.ts'
import { chunkCases } from './cases/chunks.ts'
import { codingCases } from './cases/codings.ts'
import { connectionCases } from './cases/connection.ts'
import { contentCases } from './cases/content.ts'
import { expectCases } from './cases/expect.ts'
import { fieldCases } from './cases/fields.ts'
import { hostCases } from './cases/host.ts'
import { incompleteCases } from './cases/incomplete.ts'
import { lengthCases } from './cases/lengths.ts'
import { pipeliningCases } from './cases/pipelining.ts'
import { requestLineCases } from './cases/request-line.ts'
import { sizeCases } from './cases/size.ts'
import { targetCases } from './cases/target.ts'
import { trailerCases } from './cases/trailers.ts'
import { upgradeCases } from './cases/upgrade.ts'

export const subjects: Subject = {
  ...lengthCases,
  ...codingCases,
  ...chunkCases,
  ...trailerCases,
  ...requestLineCases,
  ...targetCases,
  ...fieldCases,
  ...hostCases,
  ...sizeCases,
  ...contentCases,
  ...connectionCases,
  ...expectCases,
  ...upgradeCases,
  ...incompleteCases,
  ...pipeliningCases,
}

/** All cases, with the subject in their name. */
const all: readonly FramingCase[] = Object.entries(subjects).flatMap(([subject, cases]) =>
  cases.map((one) => ({ ...one, name: `${subject}: ${one.name}` })),
)

/** Cases that a proxy must stop, in whole or in part. */
export const guarded = all.filter(
  ({ expected, withoutTwin }) => withoutTwin === undefined && !expected.some(isCarriage),
)

/** Cases that are rejected in every outcome. */
export const refusedCases = guarded.filter(
  ({ expected: [first, ...more], after }) =>
    first?.answers[0] === 'refused' && more.length === 0 && after === undefined,
)

/** Cases that may pass unchanged. */
export const harmless = all.filter(
  ({ expected, withoutTwin }) =>
    withoutTwin === undefined &&
    expected.length === 1 &&
    expected.every((outcome) => isCarriage(outcome) && outcome.seen.every(({ lacks }) => lacks === undefined)),
)

/** Whether every request is passed on and answered. */
function isCarriage({ answers, seen, closes }: Outcome): boolean {
  return !closes && seen.length === answers.length && answers.every((status) => status === 200)
}
