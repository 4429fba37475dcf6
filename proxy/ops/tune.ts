// The `onramp tune` command: the advice of a running onramp, for the terminal.
import { request } from 'node:http'
import { z } from 'zod'
import { httpAddress, isSocketPath, isWildcard } from '../address.ts'
import { messageOf, Refusal } from '../errors.ts'
import { type Advice, adviceKinds } from './advice.ts'

/** The configured address of the admin listener. */
interface AdminAddress {
  host: string
  port: number
}

type SpokenAdvice = Pick<Advice, 'route' | 'kind' | 'text'>

/** The part of /stats that is shown. */
const tunedStats = z.object({
  advice: z.array(z.object({ route: z.string(), kind: z.enum(adviceKinds), text: z.string() })),
  uptimeSeconds: z.number(),
})
type TunedStats = z.infer<typeof tunedStats>

/** Timeout of the request to the running onramp, in milliseconds. */
const timeoutMs = 5000

/** Fetches the advice of the onramp with this admin listener, as lines for the terminal. Throws a {@link Refusal}. */
export async function tune(admin: AdminAddress): Promise<string> {
  if (admin.port === 0 && !isSocketPath(admin.host))
    throw new Refusal(
      'admin.port is 0 (any free port), so its address is unknown. Set ADMIN_PORT to the port that onramp printed at its start.',
    )
  const where = isSocketPath(admin.host) ? admin.host : httpAddress(reachable(admin.host), admin.port)
  const text = await get(admin, '/stats').catch((cause) => {
    throw new Refusal(`No onramp answers on ${where} (the admin listener): ${messageOf(cause)}`, { cause })
  })
  const stats = parseStats(text)
  if (stats === undefined)
    throw new Refusal(`The server on ${where} is not an onramp admin listener. Check admin.host and admin.port.`)
  return adviceInWords(stats.advice, stats.uptimeSeconds)
}

/** Changes first, then routes that need none, then routes with too few measurements. */
export function adviceInWords(advice: readonly SpokenAdvice[], uptimeSeconds: number): string {
  const measured = advice.filter(({ kind }) => kind !== 'unmeasured')
  const toDo = measured.filter(({ kind }) => kind !== 'keep')
  const unmeasured = advice.filter(({ kind }) => kind === 'unmeasured')
  if (advice.length === 0)
    return `No measurements in the ${Math.round(uptimeSeconds)} s since the start: no route has read the database.`
  const lines = (some: readonly SpokenAdvice[]) => some.map(({ route, text }) => `  ${route}: ${text}`)
  return [
    ...(toDo.length > 0 ? ['To do:', ...lines(toDo)] : ['Nothing to do.']),
    ...(measured.length > toDo.length
      ? ['', 'No change needed:', ...lines(measured.filter((one) => !toDo.includes(one)))]
      : []),
    ...(unmeasured.length > 0 ? ['', 'Too few measurements:', ...lines(unmeasured)] : []),
  ].join('\n')
}

function get({ host, port }: AdminAddress, path: string): Promise<string> {
  const target = isSocketPath(host) ? { socketPath: host.slice('unix:'.length) } : { host: reachable(host), port }
  return new Promise((resolve, reject) => {
    const asking = request({ ...target, path, timeout: timeoutMs }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => resolve(Buffer.concat(pieces).toString()))
    })
    asking.on('timeout', () => asking.destroy(new Error(`no reply within ${timeoutMs / 1000} s`)))
    asking.on('error', reject)
    asking.end()
  })
}

function parseStats(text: string): TunedStats | undefined {
  try {
    return tunedStats.safeParse(JSON.parse(text)).data
  } catch {
    return undefined // the caller reports it
  }
}

function reachable(host: string): string {
  return isWildcard(host) ? '127.0.0.1' : host
}
