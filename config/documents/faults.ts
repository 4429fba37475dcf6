import { type FaultResults, readFaultResults, type Share } from '../../bench/fault-results.ts'
import { table } from './markdown.ts'

/** The faults that the fault tests injected, and the failed requests and times during each. */
export function faultsTable(results = readFaultResults()): string {
  const head = [
    'fault',
    'cached: failed',
    'slowest',
    'past `stale`: failed',
    'slowest',
    'new: failed',
    'slowest',
    'recovered after',
    'SQL/s',
    'level',
    'machine noise',
  ]
  return table(head, faultRows(results))
}

/** Crowds on one key, a slow statement beside quick ones, and a deploy. */
export const crowdsTable = (results = readFaultResults()) =>
  table(['situation', 'requests', 'failed', 'SQL'], crowdRows(results))

/** Staleness and order of answers while faults were injected. */
export function coherenceTable(results = readFaultResults()): string {
  const head = ['fault', 'reads', 'violations', 'staleness p50', 'p99', 'synchronized again after']
  return table(head, coherenceRows(results))
}

function faultRows({ faults: measured }: FaultResults): string[][] {
  const failed = ({ failed: some, sent }: Share) => `${some} of ${sent}`
  const slowest = ({ worstAddedMs }: Share) => `${Math.round(worstAddedMs)} ms`
  return measured.map((one) => {
    const isNew = { ...one.cold, failed: one.cold.failed + one.other.failed, sent: one.cold.sent + one.other.sent }
    isNew.worstAddedMs = Math.max(one.cold.worstAddedMs, one.other.worstAddedMs)
    const shares = [one.held, one.old, isNew].flatMap((share) => [failed(share), slowest(share)])
    const well = one.healthySeconds === null ? 'never' : `${one.healthySeconds.toFixed(1)} s`
    const levels = one.levels.join(', ') || 'healthy'
    return [one.fault, ...shares, well, one.sqlPerSecond.toFixed(0), levels, `${Math.round(one.noiseMs)} ms`]
  })
}

function crowdRows({ crowds: measured, deploy, beside }: FaultResults): string[][] {
  const rows = measured.map(({ name, clients, processes, failed, sql }) => [
    `${clients} clients over ${processes} processes on one key whose time is over, ${name}`,
    `${clients}`,
    `${failed}`,
    `${sql}`,
  ])
  if (beside !== undefined) {
    const { asked, failed, p50Ratio, p99Ratio } = beside
    const what = `a quick statement beside \`pg_sleep(5)\` fifty times a second: p50 ${p50Ratio} times, p99 ${p99Ratio} times as long as alone`
    rows.push([what, `${asked}`, `${failed}`, ''])
  }
  if (deploy === undefined) return rows
  const { sent, underWay, broken } = deploy
  rows.push([`SIGTERM with ${underWay} requests under way, the next process takes over`, `${sent}`, `${broken}`, ''])
  return rows
}

function coherenceRows({ coherence: measured = [] }: FaultResults): string[][] {
  const ms = (value: number | null) => (value === null ? '–' : `${Math.round(value)} ms`)
  return measured.map(({ name, reads, violations, everywhereP50Ms, everywhereP99Ms, convergedSeconds }) => [
    name,
    reads.toLocaleString('en-US'),
    `${violations}`,
    ms(everywhereP50Ms),
    ms(everywhereP99Ms),
    `${convergedSeconds.toFixed(1)} s`,
  ])
}
