import { type FaultResults, readFaultResults, type Share } from '../../bench/fault-results.ts'
import { table } from '../../bench/markdown.ts'

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
    return [one.fault, ...shares, recovery, sqlPerSecond, levels, `${Math.round(one.noiseMs)} ms`]
  })
}

function crowdRows({ crowds: measured, deploy, beside }: FaultResults): string[][] {
  const rows = measured.map(({ name, clients, processes, failed, sql }) => [
    `${clients.toLocaleString('en-US')} clients ask ${processes} processes for one expired key, ${name}`,
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
    name,
    reads.toLocaleString('en-US'),
    `${violations}`,
    ms(everywhereP50Ms),
    ms(everywhereP99Ms),
    `${convergedSeconds.toFixed(1)} s`,
  ])
}
