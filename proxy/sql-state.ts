// The SQLSTATE of a PostgreSQL error.

/**
 * The SQLSTATE of `error`, or nothing if it is not a PostgreSQL error. Such an error is recognized by its shape: the
 * system's `EPIPE` has five characters too, but no severity.
 */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return undefined
  const { severity, code } = error
  if (typeof severity !== 'string' || typeof code !== 'string') return undefined
  return /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}
