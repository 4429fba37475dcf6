import { load } from '../load.ts'
import { after } from '../processes.ts'
import { duration, percent, rounded, type Scenario, times } from '../scenario.ts'
import { compare, interleaved, medianOf, spreadOf } from '../variants.ts'

const pages = 3
const names = ['none', 'three'] as const

export const dashboard: Scenario = {
  name: 'dashboard',
  question: 'How much do three open dashboard pages slow down cache hits?',
  async run({ stage, isQuick }) {
    const onramp = await stage.onramp()
    const admin = /admin +(http:\S+)/.exec(onramp.printed())?.[1] as string
    const url = `${onramp.url}/api/states`
    await load(url, { connections: 32, seconds: 2 })
    const rounds = await interleaved(names, 3, async (name) => {
      const opened = await Promise.all(Array.from({ length: name === 'three' ? pages : 0 }, () => openPage(admin)))
      const before = onramp.cpuSeconds()
      const measured = await load(url, { connections: 32, seconds: isQuick ? 1 : 2 })
      const cpuMs = ((onramp.cpuSeconds() - before) / measured.count) * 1000
      for (const close of opened) close()
      return { perSecond: measured.perSecond, cpuMs, p99: measured.percentile(0.99) }
    })
    // The cost of a page does not depend on the load, and is below the noise of a load. So it is measured without one.
    const seconds = isQuick ? 4 : 6
    const idle = await interleaved(names, 2, async (name) => {
      const opened = await Promise.all(Array.from({ length: name === 'three' ? pages : 0 }, () => openPage(admin)))
      const before = onramp.cpuSeconds()
      await after(seconds * 1000)
      const core = (onramp.cpuSeconds() - before) / seconds
      for (const close of opened) close()
      return { core }
    })
    // The kernel counts CPU time in hundredths of a second.
    const least = 0.01 / seconds
    const core = medianOf(idle.three, (one) => one.core) - medianOf(idle.none, (one) => one.core)
    const share = compare(rounds.three, rounds.none, (one) => one.perSecond)
    return {
      claims: [
        {
          id: 'throughput',
          measure: 'Throughput of hits with three dashboard pages open, compared with none',
          measured: times(share),
          better: 'more',
          ...share,
        },
        {
          id: 'core',
          measure: 'CPU for three open dashboard pages',
          measured: core < least ? `less than ${percent(least)} of a core` : `${percent(core)} of a core`,
          value: core,
          atMost: 0.01,
          target: 'at most 1 % of a core',
        },
      ],
      tables: [
        {
          title: 'Hits while dashboard pages are open',
          head: ['open pages', 'requests/s', 'spread', 'CPU per request', 'CPU spread', 'p99'],
          rows: names.map((name) => [
            name,
            rounded(medianOf(rounds[name], (one) => one.perSecond)),
            percent(spreadOf(rounds[name], (one) => one.perSecond)),
            duration(medianOf(rounds[name], (one) => one.cpuMs)),
            percent(spreadOf(rounds[name], (one) => one.cpuMs)),
            duration(medianOf(rounds[name], (one) => one.p99)),
          ]),
        },
      ],
      charts: [],
      notes: [
        `Hits: ${rounds.none.length} rounds of ${isQuick ? 'one second' : 'two seconds'}. The CPU of the pages is less than the noise of such a load, so it is measured without one.`,
        'A page is simulated by its requests: the event stream, and the history once at the start and again with each step.',
      ],
    }
  },
}

/** Sends the requests of an open page; returns a function that closes it. */
async function openPage(admin: string): Promise<() => void> {
  const closing = new AbortController()
  const events = await fetch(`${admin}/events`, { signal: closing.signal })
  const past = async (since: number) => {
    const response = await fetch(`${admin}/dashboard/history?since=${since}`, { signal: closing.signal })
    return ((await response.json()) as { steps: number }).steps
  }
  let steps = await past(0)
  const live = async () => {
    for await (const chunk of events.body as ReadableStream<Uint8Array>) {
      const found = /"historySteps":(\d+)/.exec(new TextDecoder().decode(chunk))
      if (found !== null && Number(found[1]) > steps) steps = await past(steps)
    }
  }
  live().catch(() => {}) // aborted by closing
  return () => closing.abort()
}
