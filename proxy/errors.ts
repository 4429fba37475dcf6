// The errors: problem codes with their HTTP statuses, refusals, and error messages as text.
/** Every error that a client can receive, with its HTTP status. The `detail` sentence describes one occurrence. */
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

/** One fault in a request, with the name of the parameter or setting that has it. */
export interface Fault {
  parameter: string
  detail: string
}

/** An error with an HTTP response. Thrown anywhere, rendered in `problem-reply.ts` only. */
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

/** Why the process does not start, or why a check fails: full sentences for the terminal, one per line. Exit code 1. */
export class Refusal extends Error {
  constructor(sentences: string | readonly string[], options: { cause?: unknown } = {}) {
    super(typeof sentences === 'string' ? sentences : sentences.join('\n'), options)
    this.name = 'Refusal'
  }
}

/** Invalid command line. Exit code 2. */
export class WrongUsage extends Error {}

/** The message of an unknown thrown value, for use in a sentence. Never a stack trace or an object dump. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0])
  return error instanceof Error ? error.message || error.name : String(error)
}

/** The code that Node or a driver gave the error, such as ECONNREFUSED. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** `value` as JSON, cut after 60 characters, to be quoted in a sentence. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`
}
