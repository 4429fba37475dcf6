// Request ids: the client's X-Request-Id, or a generated one.
import type { IncomingHttpHeaders } from 'node:http'

/** Whether a given X-Request-Id can be written into logs and fields unchanged. */
export function isRequestId(given: unknown): given is string {
  return typeof given === 'string' && /^[\w.:/+=@~-]{1,128}$/.test(given)
}

/** The id of each request: the one it carries, if that is safe to log, otherwise a generated one. */
export function requestIds(random: () => number): (request: { headers: IncomingHttpHeaders }) => string {
  const prefix = Math.floor(random() * 36 ** 6).toString(36)
  let made = 0
  return ({ headers }) => {
    const given = headers['x-request-id']
    if (isRequestId(given)) return given
    made += 1
    return `${prefix}-${made.toString(36)}`
  }
}
