/**
 * Every error a caller can meet: its HTTP status, and the sentence it starts with (RFC 9457 `title`).
 *
 * What is particular to one occurrence goes into the `detail` of the {@link Problem}.
 */
export const problems = {
  'bad-parameters': { status: 400, title: 'The parameters do not fit' },
  'bad-body': { status: 400, title: 'The body is not what this route takes' },
  'bad-request': { status: 400, title: 'The request could not be read' },
  'not-authorized': { status: 401, title: 'A valid token is needed' },
  'no-route': { status: 404, title: 'Nothing is served here' },
  'no-row': { status: 404, title: 'There is no such row' },
  'wrong-method': { status: 405, title: 'This method is not allowed here' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'wrong-media-type': { status: 415, title: 'The body must be application/json' },
  'header-too-large': { status: 431, title: 'The header is too large' },
  'origin-failed': { status: 500, title: 'The database could not answer this statement' },
  internal: { status: 500, title: 'Something went wrong here' },
  'origin-unavailable': { status: 503, title: 'The database is not reachable' },
  'origin-timeout': { status: 504, title: 'The database did not answer in time' },
} as const satisfies Record<string, { status: number; title: string }>

export type ProblemCode = keyof typeof problems

/** One thing wrong with a request, by the name of the parameter (or of the setting) it is wrong with. */
export interface Fault {
  parameter: string
  detail: string
}

/** An error that has an answer: thrown anywhere, rendered once, in `http/reply`. */
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
    return problems[this.code].status
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

/** `value` as a sentence can quote it: JSON, cut after 60 characters. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`
}
