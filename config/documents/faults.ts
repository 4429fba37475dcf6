import { type FaultResults, readFaultResults, type Share } from '../../bench/fault-results.ts'
import { table } from './markdown.ts'

/** Plainer names for some rows of the kept results. */
export const plainNames = {
  faults: {
    'Redis over 500 bytes a second': 'Redis limited to 500 bytes a second',
    'Redis half-open: answers are lost': 'Redis half-open: its replies are lost',
    'Redis wants a password': 'Redis requires a password',
    'Redis is something else (PostgreSQL at its port)': 'Another server (PostgreSQL) on the port of Redis',
    'PostgreSQL over 200 bytes a second': 'PostgreSQL limited to 200 bytes a second',
    'PostgreSQL half-open: answers are lost': 'PostgreSQL half-open: its replies are lost',
    'PostgreSQL is something else (Redis at its port)': 'Another server (Redis) on the port of PostgreSQL',
    'PostgreSQL lets nobody in': 'PostgreSQL refuses every login',
    'PostgreSQL ends connections amid statements': 'PostgreSQL ends connections during statements',
    'PostgreSQL and Redis gone, both': 'PostgreSQL and Redis both killed',
  },
  crowds: { 'Redis there': 'Redis available', 'Redis gone': 'Redis unavailable' },
  coherence: {
    nothing: 'no fault',
    'Redis without the tail of its log': 'Redis loses the end of its log',
    'the leader killed': 'leader killed',
    'the slot dropped': 'replication slot dropped',
    'a synchronous standby that does not answer': 'synchronous standby does not reply',
  },
} satisfies Record<string, Record<string, string>>

const plainName = (names: Readonly<Record<string, string>>, name: string) => names[name] ?? name

/** The faults that the fault tests injected, and the failed requests and times during each. */
export function faultsTable(results = readFaultResults()): string {
  const requests = ['cached', 'past `stale`', 'new'].flatMap((kind) => [`${kind}: failed`, `${kind}: slowest`])
  const head = ['fault', ...requests, 'recovery', 'SQL per second', 'level', 'idle server: slowest']
  return table(head, faultRows(results))
}

/** Crowds on one key, a slow statement beside quick ones, and a deploy. */
export const crowdsTable = (results = readFaultResults()) =>
  table(['situation', 'requests', 'failed', 'SQL statements'], crowdRows(results))

/** Staleness and order of answers while faults were injected. */
export function coherenceTable(results = readFaultResults()): string {
  const head = ['fault', 'reads', 'violations', 'last stale read: p50', 'last stale read: p99', 'synchronized after']
  return table(head, coherenceRows(results))
}

function faultRows({ faults: measured }: FaultResults): string[][] {
  const failed = ({ failed: some, sent }: Share) => `${some} of ${sent}`
  const slowest = ({ worstAddedMs }: Share) => `${Math.round(worstAddedMs)} ms`
  return measured.map((one) => {
    const isNew = { ...one.cold, failed: one.cold.failed + one.other.failed, sent: one.cold.sent + one.other.sent }
    isNew.worstAddedMs = Math.max(one.cold.worstAddedMs, one.other.worstAddedMs)
    const shares = [one.held, one.old, isNew].flatMap((share) => [failed(share), slowest(share)])
    const recovery = one.healthySeconds === null ? 'never' : `${one.healthySeconds.toFixed(1)} s`
    const levels = one.levels.join(', ') || 'healthy'
    const sqlPerSecond = one.sqlPerSecond.toFixed(0)
    return [
      plainName(plainNames.faults, one.fault),
      ...shares,
      recovery,
      sqlPerSecond,
      levels,
      `${Math.round(one.noiseMs)} ms`,
    ]
  })
}

function crowdRows({ crowds: measured, deploy, beside }: FaultResults): string[][] {
  const rows = measured.map(({ name, clients, processes, failed, sql }) => [
    `${clients.toLocaleString('en-US')} clients ask ${processes} processes for one expired key, ${plainName(plainNames.crowds, name)}`,
    `${clients}`,
    `${failed}`,
    `${sql}`,
  ])
  if (beside !== undefined) {
    const { asked, failed, p50Ratio, p99Ratio } = beside
    const situation = `a quick statement while \`pg_sleep(5)\` is requested fifty times a second: p50 ${p50Ratio} times, p99 ${p99Ratio} times its value alone`
    rows.push([situation, `${asked}`, `${failed}`, ''])
  }
  if (deploy === undefined) return rows
  const { sent, underWay, broken } = deploy
  rows.push([`SIGTERM during ${underWay} requests; a second process takes the new ones`, `${sent}`, `${broken}`, ''])
  return rows
}

function coherenceRows({ coherence: measured = [] }: FaultResults): string[][] {
  const ms = (value: number | null) => (value === null ? '–' : `${Math.round(value)} ms`)
  return measured.map(({ name, reads, violations, everywhereP50Ms, everywhereP99Ms, convergedSeconds }) => [
    plainName(plainNames.coherence, name),
    reads.toLocaleString('en-US'),
    `${violations}`,
    ms(everywhereP50Ms),
    ms(everywhereP99Ms),
    `${convergedSeconds.toFixed(1)} s`,
  ])
}
