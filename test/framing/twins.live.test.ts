// Tests of the oracle. Relays that break the rules let everything through that must be stopped. The oracle must then
// find it unsafe at the upstream: as invalid bytes, or as a request that should not have arrived.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FramingCase } from './case.ts'
import { carelessRelay, type Relay, verbatimRelay } from './relays.ts'
import { framingRunner } from './runner.ts'
import { StrictClient } from './strict-client.ts'
import { guarded, harmless } from './subjects.ts'

const runner = framingRunner()

describe('twin: through a relay that breaks the rules it is found unsafe', () => {
  let verbatim: Relay
  let careless: Relay
  beforeAll(async () => {
    verbatim = await verbatimRelay(runner.upstream.port)
    careless = await carelessRelay(runner.upstream.port)
  })
  afterAll(async () => {
    await Promise.all([verbatim.stop(), careless.stop()])
  })

  for (const one of guarded)
    test(one.name, async () => {
      const passed = one.after === undefined ? await runner.unsafe(one, verbatim.port, { isTwin: true }) : []
      const isFound = passed.some((fault) => /^(violation|seen): /.test(fault))
      expect(isFound || (await isFoundBehind(careless, one))).toBe(true)
    })

  for (const one of harmless)
    test(`control: ${one.name}, goes through unharmed`, async () => {
      expect(await runner.unsafe(one, verbatim.port, { isTwin: true })).toEqual([])
    })
})

/** Whether the upstream gets invalid bytes, or other requests than allowed, when `relay` has rewritten the request. */
async function isFoundBehind(relay: Relay, { bytes, after, expected }: FramingCase): Promise<boolean> {
  const { upstream } = runner
  upstream.forget()
  const client = new StrictClient(relay.port)
  client.send(bytes)
  if (after === 'reset') await client.reset()
  else client.end()
  await upstream.until(() => upstream.violations.length + upstream.requests.length > 0)
  const isSafe = expected.some(({ seen }) => seen.length === upstream.requests.length)
  const isFound = !isSafe || upstream.violations.length > 0
  client.close()
  upstream.forget()
  return isFound
}
