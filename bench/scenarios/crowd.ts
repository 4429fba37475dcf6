import { bringCrowd, waitOf } from '../crowd.ts'
import { load } from '../load.ts'
import { type Chart, counted, duration, type Outcome, percent, rounded, type Scenario } from '../scenario.ts'
import { freePort } from '../servers/programs.ts'
import { searches } from '../shoppers.ts'
import type { Onramp } from '../stage.ts'

const everySeconds = 10
/** Below the usual limit of 20,000 descriptors, since the kernel distributes connections unevenly. */
const perProcess = 14_500

export const crowd: Scenario = {
  name: 'crowd',
  question:
    '83,000 people keep a connection open, and each asks every ten seconds. Is anyone refused, how long do they wait, and what does a connection cost?',
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
    // The kernel assigns connections to processes at random. Repeats until every process has cached every path.
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
          id: 'connections-held',
          measure: 'Connections held at once',
          measured: `${counted(seen.opened)} of ${counted(people)}`,
          value: seen.opened,
          atLeast: people,
          target: 'all',
        },
        {
          id: 'connections-lost',
          measure: 'Connections refused, or closed early by onramp',
          measured: `${seen.refused} refused, ${seen.closedEarly} closed`,
          value: seen.refused + seen.closedEarly,
          atMost: 0,
          target: '0',
        },
        {
          id: 'wait-p99',
          measure: `p99 wait of ${counted(people)} people`,
          measured: duration(waitOf(seen, 0.99)),
          value: waitOf(seen, 0.99),
          atMost: 343,
          target: 'at most 343 ms, the response time of the real marketplace in 2014',
        },
        {
          id: 'memory',
          measure: 'Memory of onramp per connection',
          measured: `${rounded(perConnection / 1024)} KiB`,
          value: perConnection,
          atMost: 16 * 1024,
          target: 'at most 16 KiB',
        },
        {
          id: 'failed',
          measure: 'Failed requests on these connections',
          measured: `${counted(seen.failed)} of ${counted(seen.asked)}`,
          value: seen.failed,
          atMost: 0,
          target: '0',
        },
      ],
      tables: [
        {
          title: `Open connections to ${count} processes of onramp`,
          head: [
            'connections',
            'requests/s',
            'p50',
            'p99',
            'maximum',
            'CPU of all onramp processes',
            'CPU of all load generators',
            'CPU per request',
          ],
          rows: [
            [
              counted(seen.opened),
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
        'A wait counts from the moment a request was due, whether or not the load generator was late.',
        'Connections come from addresses 127.x.y.1, since one address has 28,000 ports. The load generator has several processes, since each may have 20,000 descriptors.',
        'Memory per connection: growth of the resident memory of all onramp processes from the first connection to the last, divided by the connections. All answers were cached before.',
      ],
    }
    return outcome
  },
}

/** The wait at each percentile. */
function distribution(sorted: Float64Array): Chart {
  const shares = Array.from({ length: 100 }, (_none, i) => (i + 1) / 100)
  const points = shares.map((share): [number, number] => [
    share * 100,
    sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0,
  ])
  return {
    title: 'Wait by percentile',
    kind: 'lines',
    x: 'percentile of the requests',
    y: 'wait in ms (log scale)',
    isLog: true,
    series: [{ name: 'wait', points }],
  }
}
