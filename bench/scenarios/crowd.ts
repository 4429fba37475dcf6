import { bringCrowd, waitOf } from '../crowd.ts'
import { load } from '../load.ts'
import { type Chart, duration, type Outcome, percent, rounded, type Scenario } from '../scenario.ts'
import { freePort } from '../servers/programs.ts'
import { searches } from '../shoppers.ts'
import type { Onramp } from '../stage.ts'

const everySeconds = 10
/** Each may have 20,000 descriptors, and the system does not deal connections out quite evenly. */
const perProcess = 14_500

export const crowd: Scenario = {
  name: 'crowd',
  question:
    'Eighty-three thousand people keep a connection open and ask every ten seconds: is anybody refused, what do they wait, what does a connection cost?',
  async run({ stage, isQuick, note, seed }) {
    const people = isQuick ? 10_000 : 83_000
    const count = Math.max(2, Math.ceil(people / perProcess))
    const port = await freePort()
    const all: Onramp[] = []
    note(`${count} processes of onramp on one port`)
    for (let i = 0; i < count; i += 1) {
      all.push(
        await stage.onramp({
          port,
          change: (settings) => {
            settings.listen = { ...settings.listen, reusePort: true }
            settings.limits = { maxConnections: 19_500 }
          },
        }),
      )
    }
    const paths = searches(stage.popularity, seed, 300)
    // Each connection goes to one process, by chance, and asks for everything: until every process has it.
    const entriesOf = async (one: Onramp) => (await one.stats()).memory.entries
    while ((await Promise.all(all.map(entriesOf))).some((entries) => entries < new Set(paths).size))
      await load(`http://127.0.0.1:${port}`, { connections: 8 * count, seconds: 2, paths: () => paths })
    const sum = (of: (one: Onramp) => number) => all.reduce((total, one) => total + of(one), 0)
    const before = { memory: sum((one) => one.memoryBytes()), cpu: 0, at: 0 }
    let held = before
    note(`${people} connections`)
    const holdSeconds = isQuick ? 12 : 21
    const seen = await bringCrowd(
      { host: '127.0.0.1', port, people, openSeconds: isQuick ? 6 : 30, holdSeconds, everySeconds, paths },
      () => {
        held = { memory: sum((one) => one.memoryBytes()), cpu: sum((one) => one.cpuSeconds()), at: performance.now() }
      },
    )
    const cpu = (sum((one) => one.cpuSeconds()) - held.cpu) / holdSeconds
    await Promise.all(all.map((one) => one.stop()))
    const perConnection = (held.memory - before.memory) / Math.max(1, seen.opened)
    const outcome: Outcome = {
      claims: [
        {
          what: `connections held at once, of ${people.toLocaleString('en-US')}`,
          measured: seen.opened.toLocaleString('en-US'),
          value: seen.opened,
          atLeast: people,
          floor: 'all',
        },
        {
          what: 'refused, or closed early',
          measured: `${seen.refused}, ${seen.closedEarly}`,
          value: seen.refused + seen.closedEarly,
          atMost: 0,
          floor: 'none',
        },
        {
          what: 'wait, 99th percentile',
          measured: duration(waitOf(seen, 0.99)),
          value: waitOf(seen, 0.99),
          atMost: 343,
          floor: 'under 343 ms',
        },
        {
          what: 'memory of onramp a connection',
          measured: `${rounded(perConnection / 1024)} KiB`,
          value: perConnection,
          atMost: 16 * 1024,
          floor: 'at most 16 KiB',
        },
        { what: 'failed', measured: `${seen.failed} of ${seen.asked}`, value: seen.failed, atMost: 0, floor: 'none' },
      ],
      tables: [
        {
          title: `The crowd, ${count} processes of onramp`,
          head: [
            'connections',
            'requests/s',
            'p50',
            'p99',
            'longest',
            'CPU of onramp',
            'CPU of the load',
            'CPU a request',
          ],
          rows: [
            [
              seen.opened.toLocaleString('en-US'),
              rounded(seen.asked / holdSeconds),
              duration(waitOf(seen, 0.5)),
              duration(waitOf(seen, 0.99)),
              duration(waitOf(seen, 1)),
              `${percent(cpu)} of a core`,
              `${percent(seen.generatorCpuSeconds / holdSeconds)} of a core`,
              duration(((cpu * holdSeconds) / Math.max(1, seen.asked)) * 1000),
            ],
          ],
        },
      ],
      charts: [distribution(seen.waits)],
      notes: [
        'A wait counts from the moment a person was due to ask. Connections come from addresses 127.x.y.1, since one address has 28,000 ports; the load is spread over processes, since each may have 20,000 descriptors.',
        'Memory is what all processes of onramp grew by from the first connection to the last, once their answers were in memory.',
      ],
    }
    return outcome
  },
}

/** What share waited how long at most. */
function distribution(sorted: Float64Array): Chart {
  const shares = Array.from({ length: 100 }, (_none, i) => (i + 1) / 100)
  const points = shares.map((share): [number, number] => [
    share * 100,
    sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0,
  ])
  return {
    title: 'What share of the crowd waits at most how long',
    kind: 'lines',
    x: 'percent of the requests',
    y: 'milliseconds',
    isLog: true,
    series: [{ name: 'wait', points }],
  }
}
