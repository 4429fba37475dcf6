// The id of a request: taken over, or made.
import type { IncomingHttpHeaders } from 'node:http'

/** Whether what came as X-Request-Id can be written into logs and fields as it is. */
export function isRequestId(given: unknown): given is string {
  return typeof given === 'string' && /^[\w.:/+=@~-]{1,128}$/.test(given)
}

/** The id of each request: the one it came with, where that can be written into a log as it is; else one of this process's own. */
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
