import { load } from '../load.ts'
import { pinThis, type Served } from '../processes.ts'
import { duration, type Outcome, percent, rounded, type Scenario, times } from '../scenario.ts'
import { compare, interleaved, medianOf, spreadOf } from '../variants.ts'

const sizes = [1024, 65_536]
const names = ['stream', 'dispatch', 'onramp'] as const
const connections = 32
/** The core of the proxies. The load generator and the upstream share the other. */
const proxyCore = 1
const slowest =
  'Not measured, but likely: each piece of a body is new memory outside of the JavaScript heap, so the slowest requests wait for the garbage collector.'

export const passthrough: Scenario = {
  name: 'passthrough',
  question:
    'What does a request for the upstream cost when it passes through onramp, compared with a minimal proxy (node:http and undici)?',
  async run({ stage, isQuick, note }) {
    pinThis(0)
    const web = await stage.processes.node('./servers/upstream.ts', [], { core: 0 })
    const served: Record<(typeof names)[number], Served> = {
      stream: await stage.processes.node('./servers/bare-proxy.ts', [web.url, 'stream'], { core: proxyCore }),
      dispatch: await stage.processes.node('./servers/bare-proxy.ts', [web.url, 'dispatch'], { core: proxyCore }),
      onramp: await stage.onramp({
        core: proxyCore,
        change: (settings) => {
          settings.upstream = { url: web.url }
        },
      }),
    }
    const outcome: Outcome = { claims: [], tables: [], charts: [], notes: [] }
    const rows: (string | number)[][] = []
    const count = isQuick ? 3 : 5
    for (const bytes of sizes) {
      note(`${bytes / 1024} KiB`)
      for (const name of names) await load(`${served[name].url}/${bytes}`, { connections, seconds: 1 })
      const rounds = await interleaved(names, count, async (name) => {
        const before = served[name].cpuSeconds()
        const measured = await load(`${served[name].url}/${bytes}`, { connections, seconds: 1 })
        return {
          perSecond: measured.perSecond,
          p99: measured.percentile(0.99),
          cpuMs: ((served[name].cpuSeconds() - before) / measured.count) * 1000,
          failed: measured.failed,
        }
      })
      for (const name of names) {
        const own = rounds[name]
        rows.push([
          `${bytes / 1024} KiB, ${name === 'onramp' ? 'onramp' : `bare (undici ${name})`}`,
          rounded(medianOf(own, (one) => one.perSecond)),
          percent(spreadOf(own, (one) => one.perSecond)),
          duration(medianOf(own, (one) => one.cpuMs)),
          duration(medianOf(own, (one) => one.p99)),
          percent(spreadOf(own, (one) => one.p99)),
          own.reduce((sum, one) => sum + one.failed, 0),
        ])
      }
      for (const way of ['stream', 'dispatch'] as const) {
        const name = `requests passed through, ${bytes / 1024} KiB, compared with undici.${way} behind node:http`
        const id = `${bytes / 1024}KiB-${way}`
        const share = compare(rounds.onramp, rounds[way], (one) => one.perSecond)
        const slower = compare(rounds.onramp, rounds[way], (one) => one.p99)
        const [least, most] =
          way === 'stream'
            ? [
                { atLeast: 0.9, target: 'at least 0.9 times' },
                { atMost: 1.2, target: 'at most 1.2 times', cause: slowest },
              ]
            : []
        outcome.claims.push(
          {
            id: `throughput-${id}`,
            measure: `Throughput of ${name}`,
            measured: times(share),
            better: 'more',
            ...share,
            ...least,
          },
          {
            id: `p99-${id}`,
            measure: `Wait (p99) of ${name}`,
            measured: times(slower),
            better: 'less',
            ...slower,
            ...most,
          },
        )
      }
    }
    pinThis(undefined)
    const head = ['variant', 'requests/s', 'spread', 'CPU per request', 'p99', 'p99 spread', 'failed']
    outcome.tables.push({ title: 'Requests passed through to the upstream, by body size and proxy', head, rows })
    outcome.notes.push(
      `The proxies take turns for ${count} rounds of one second. They have one core. The load generator and the upstream have the other.`,
      "undici.stream is undici's interface for programs, undici.dispatch the lower one for libraries. These bare proxies add no forwarding headers and enforce no limits.",
      'onramp runs with the Node flags of `npm start`, the bare proxies with none.',
    )
    return outcome
  },
}
