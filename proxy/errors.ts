// Every error: code, status, sentence.
/** Every error a caller can meet, with its HTTP status. What is particular to one occurrence is its `detail`, a sentence. */
export const problems = {
  'bad-parameters': 400,
  'bad-body': 400,
  'bad-request': 400,
  'not-authorized': 401,
  'cross-site': 403,
  'no-route': 404,
  'no-row': 404,
  'wrong-method': 405,
  'request-timeout': 408,
  'body-too-large': 413,
  'wrong-media-type': 415,
  'expectation-failed': 417,
  'header-too-large': 431,
  'origin-failed': 500,
  internal: 500,
  'not-implemented': 501,
  'upstream-failed': 502,
  'upstream-full': 503,
  'origin-unavailable': 503,
  shed: 503,
  'origin-timeout': 504,
  'upstream-timeout': 504,
} as const satisfies Record<string, number>

export type ProblemCode = keyof typeof problems

/** One thing wrong with a request, by the name of the parameter (or of the setting) it is wrong with. */
export interface Fault {
  parameter: string
  detail: string
}

/** An error that has an answer: thrown anywhere, rendered once, in `problem-reply.ts`. */
export class Problem extends Error {
  readonly code: ProblemCode
  readonly faults: readonly Fault[]

  constructor(code: ProblemCode, detail: string, options: { cause?: unknown; faults?: readonly Fault[] } = {}) {
    super(detail, { cause: options.cause })
    this.name = 'Problem'
    this.code = code
    this.faults = options.faults ?? []
  }

  get status(): number {
    return problems[this.code]
  }
}

/** Why the process does not start, or a check does not pass: whole sentences for the terminal, one a line. Exit code 1. */
export class Refusal extends Error {
  constructor(sentences: string | readonly string[], options: { cause?: unknown } = {}) {
    super(typeof sentences === 'string' ? sentences : sentences.join('\n'), options)
    this.name = 'Refusal'
  }
}

/** The command line was not understood. Exit code 2. */
export class WrongUsage extends Error {}

/** What an unknown value says of itself, for a sentence: never a stack, never an object dump. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0])
  return error instanceof Error ? error.message || error.name : String(error)
}

/** The code that Node or a driver gives an error, such as ECONNREFUSED. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** `value` as a sentence can quote it: JSON, cut after 60 characters. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`
}
