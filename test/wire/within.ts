// A timeout for a promise.

/** Rejects with the name `what` if `promise` does not settle within `ms`. */
export function within<T>(promise: Promise<T>, what: string, ms = 5000): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`${what} has not come within ${ms} ms`)), ms)
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
