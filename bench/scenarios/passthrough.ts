import { load } from '../load.ts'
import { pinThis, type Served } from '../processes.ts'
import { duration, type Outcome, percent, rounded, type Scenario } from '../scenario.ts'
import { interleaved, medianOf, ratioOf, spreadOf } from '../variants.ts'

const sizes = [1024, 65_536]
const names = ['stream', 'dispatch', 'onramp'] as const
const connections = 32
/** The one the proxies have; the load and the web tier share the other. */
const proxyCore = 1

export const passthrough: Scenario = {
  name: 'passthrough',
  question:
    'What does it cost that a request for the web tier goes through onramp, beside the least that carries one (node:http and undici)?',
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
    for (const bytes of sizes) {
      note(`${bytes / 1024} KiB`)
      for (const name of names) await load(`${served[name].url}/${bytes}`, { connections, seconds: 1 })
      const rounds = await interleaved(names, isQuick ? 3 : 5, async (name) => {
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
          own.reduce((sum, one) => sum + one.failed, 0),
        ])
      }
      for (const way of ['stream', 'dispatch'] as const) {
        const what = `of what is passed on, ${bytes / 1024} KiB, beside undici's ${way} behind node:http`
        const share = ratioOf(rounds.onramp, rounds[way], (one) => one.perSecond)
        const times = ratioOf(rounds.onramp, rounds[way], (one) => one.p99)
        const [least, most] =
          way === 'stream'
            ? [
                { atLeast: 0.9, floor: 'at least 0.9' },
                { atMost: 1.2, floor: 'at most 1.2 times' },
              ]
            : []
        outcome.claims.push(
          { what: `throughput ${what}`, measured: `${rounded(share)} of it`, value: share, ...least },
          { what: `p99 ${what}`, measured: `${rounded(times)} times`, value: times, ...most },
        )
      }
    }
    pinThis(undefined)
    const head = ['variant', 'requests/s', 'spread', 'CPU a request', 'p99', 'failed']
    outcome.tables.push({ title: 'Carried', head, rows })
    outcome.notes.push(
      'The proxies have one core, the load and the web tier behind them the other. `stream` is what undici gives to programs, `dispatch` the bare ground that libraries are built on; neither says who was asking, or limits anything. onramp has the flags of Node that `npm start` gives it, they have none.',
    )
    return outcome
  },
}
