// Sends an irregular answer through a proxy among other requests, and finds all resulting faults.
import { type WireAnswer, WireClient } from '../wire/client.ts'
import { valuesOf } from '../wire/fields.ts'
import { ownAnswer, requestOf } from '../wire/messages.ts'
import type { ReceivedRequest, ScriptedUpstream } from '../wire/scripted-upstream.ts'
import type { AnswerCase } from './answer-case.ts'
import { requestWith, type Stage } from './stage.ts'

/** The proxy under test, and its upstream. */
export interface Carrier {
  url: string
  upstream: ScriptedUpstream
}

/** The faults for each method of the case. */
export async function allTroubles(stage: Stage, carrier: Carrier, one: AnswerCase): Promise<string[]> {
  const found: string[] = []
  for (const method of one.methods ?? ['GET', 'POST']) found.push(...(await troubles(stage, carrier, one, method)))
  return found
}

/**
 * Runs the case between other requests, on connections kept open on both sides. Returns all faults: a wrong answer, an
 * incomplete answer that looks complete, a connection reused after an irregularity, an unsafe request sent twice.
 */
export async function troubles(stage: Stage, carrier: Carrier, one: AnswerCase, method: string): Promise<string[]> {
  const { url, upstream } = carrier
  const target = stage.fresh()
  const found: string[] = []
  const attacked = await WireClient.to(url)
  const clients = [attacked, await WireClient.to(url), await WireClient.to(url)]
  for (const client of clients) found.push(...(await canary(stage, client)))
  upstream.script(target, one.says, one.says, one.says)
  const answer = await attacked.ask(requestWith(method, target))
  found.push(...misread(answer, one).map((what) => `${method}: ${what}`))
  for (let round = 0; round < 2; round += 1) {
    const others = clients.filter((client) => client !== attacked).map((client) => canary(stage, client))
    found.push(...(await Promise.all([canaryAfter(stage, attacked, url), ...others])).flat())
  }
  for (const client of clients) {
    if (client.unread.length > 0) found.push(`unsolicited bytes ${JSON.stringify(client.unread.toString())}`)
    client.close()
  }
  const times = upstream.to(target)
  if (times.length > (method === 'GET' || method === 'HEAD' ? 2 : 1)) found.push(`it is asked ${times.length} times`)
  if (!one.isFine && isUsedAgain(upstream, times)) found.push('the connection is used again')
  return found
}

/** Sends a unique request. Returns all faults of the answer. */
export async function canary(stage: Stage, client: WireClient): Promise<string[]> {
  const target = stage.fresh()
  const { status, content, isWhole } = await client.ask(requestOf('GET', target))
  if (status === 200 && isWhole && content.toString() === ownAnswer('GET', target)) return []
  return [`${target} is answered ${status} ${JSON.stringify(content.toString())}${isWhole ? '' : ', cut'}`]
}

/** The same for a client whose connection may have been closed without a response: then over another one. */
async function canaryAfter(stage: Stage, client: WireClient, url: string): Promise<string[]> {
  const wrong = await canary(stage, client)
  const hasEnded = !client.isOpen && wrong.every((what) => / 0 "", cut$/.test(what))
  if (!hasEnded) return wrong
  const again = await WireClient.to(url)
  return canary(stage, again).finally(() => again.close())
}

/** All faults of the answer to the bytes of the upstream. */
function misread(answer: WireAnswer, { content, status = 200, isFine }: AnswerCase): string[] {
  const framings = [...valuesOf(answer.fields, 'content-length'), ...valuesOf(answer.fields, 'transfer-encoding')]
  if (framings.length > 1) return [`it is framed twice: ${framings.join(' and ')}`]
  const isExact = answer.isWhole && answer.status === status && answer.content.toString('latin1') === content
  if (isExact) return []
  const isCut = !answer.isWhole && (answer.status === status || answer.status === 0)
  if (!isFine && (isCut || notAProblem(answer, 502, 504).length === 0)) return []
  return [
    `it is taken for ${answer.status} ${JSON.stringify(answer.content.toString())}${answer.isWhole ? '' : ', cut'}`,
  ]
}

/** Whether a connection on which one of `asked` arrived has been reused since. */
export function isUsedAgain(upstream: ScriptedUpstream, asked: readonly ReceivedRequest[]): boolean {
  return asked.some(({ connection, target }) => {
    const all = upstream.asked.filter((one) => one.connection === connection)
    return all.at(-1)?.target !== target
  })
}

/** All reasons why `answer` is not the proxy's own, uncacheable error of this status. */
export function notAProblem({ status, fields, content, isWhole }: WireAnswer, ...statuses: number[]): string[] {
  const expected: [string, string][] = [
    ['Content-Type', 'application/problem+json'],
    ['Cache-Control', 'no-store'],
    ['Cache-Status', 'onramp; fwd=bypass; detail=upstream'],
  ]
  return [
    ...(isWhole ? [] : ['it is cut']),
    ...(statuses.includes(status) ? [] : [`its status is ${status}`]),
    ...expected.flatMap(([name, value]) => {
      const values = valuesOf(fields, name)
      return values.join('|') === value ? [] : [`its ${name} is ${JSON.stringify(values)}`]
    }),
    ...(content.includes(`"status":${status}`) ? [] : [`its content is ${JSON.stringify(content.toString())}`]),
  ]
}
