import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { type Claim, holds, type Outcome, rounded } from './scenario.ts'

/** The outcome of a scenario, with its question. */
export interface Finished extends Outcome {
  name: string
  question: string
  seconds: number
}

export interface Machine {
  date: string
  commit: string
  node: string
  kernel: string
  processor: string
  cores: number
  memory: string
  /** Load average of the minute before the run. Above 1, other processes used the machine and the figures suffer. */
  loadBefore: number
}

/** A run, as bench/results/latest.json keeps it. */
export interface Results extends Machine {
  quick: boolean
  seconds: number
  scenarios: Finished[]
}

/** Describes the machine, the commit and the date of this run. */
export function machine(): Machine {
  const [first] = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    node: process.version,
    kernel: `Linux ${release()}`,
    processor: first?.model ?? 'unknown',
    cores: cpus().length,
    memory: `${rounded(totalmem() / 1024 ** 3)} GiB`,
    loadBefore: Number((loadavg()[0] as number).toFixed(2)),
  }
}

function commit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8', stdio: 'pipe' }).trim()
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with uncommitted changes'
    return git('rev-parse', '--short', 'HEAD') + changed
  } catch {
    return 'unknown' // not a git checkout
  }
}

/** A run as text for a terminal. */
export function summary(results: Results): string {
  const lines = [`\n${machineLine(results)}\n`]
  for (const { name, claims, tables, notes, seconds } of results.scenarios) {
    lines.push(`\n${name} (${seconds.toFixed(0)} s)`)
    for (const claim of claims) {
      const target = claim.target === undefined ? '' : ` (target: ${claim.target})`
      lines.push(`  ${verdict(claim).padEnd(14)} ${claim.measure}: ${claim.measured}${target}`)
      if (isMissed(claim)) lines.push(`  ${''.padEnd(14)} cause: ${causeOf(claim)}`)
    }
    for (const { title, head, rows } of tables) lines.push('', ...columns(title, head, rows))
    for (const text of notes) lines.push(`  note: ${text}`)
  }
  return `${lines.join('\n')}\n\n${verdictLine(results)}\n`
}

function columns(title: string, head: string[], rows: (string | number)[][]): string[] {
  const all = [head, ...rows.map((row) => row.map(String))]
  const widths = head.map((_name, i) => Math.max(...all.map((row) => (row[i] ?? '').length)))
  const line = (row: string[]) =>
    `    ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number))).join('  ')}`
  return [`  ${title}`, ...all.map(line)]
}

/** All claims of a run as a Markdown table, below a line about the machine: for bench/README.md. */
export function resultsTable(results: Results): string {
  const rows = results.scenarios.flatMap(({ name, claims }) =>
    claims.map((claim, i) => [
      i === 0 ? `**${name}**` : '',
      claim.measure,
      claim.measured,
      claim.target ?? '',
      isMissed(claim) ? `**does not hold**: ${causeOf(claim)}` : verdict(claim),
    ]),
  )
  return [
    machineLine(results),
    '',
    markdownTable(['scenario', 'measure', 'measured', 'target', 'verdict'], rows),
    '',
    verdictLine(results),
  ].join('\n')
}

/** The claims for the top README. A run without one of them has no row for it. */
const headlines: readonly [scenario: string, claim: string][] = [
  ['story', 'slow-wait'],
  ['story', 'slow-sql-saved'],
  ['outage', 'redis-gone-failed'],
  ['crowd', 'connections-held'],
  ['hit-path', 'memory-1KB-plain'],
]

/** For the top README: the headline figures, each target that does not hold, and the number of targets that hold. */
export function summaryTable(results: Results): string {
  const rows = headlines.flatMap(([scenario, id]) => {
    const claim = results.scenarios.find(({ name }) => name === scenario)?.claims.find((one) => one.id === id)
    if (claim === undefined) return []
    const target = claim.target === undefined ? '' : `${claim.target}: ${emphasized(claim)}`
    return [[claim.measure, claim.measured, target]]
  })
  const { held, missed } = targetsOf(results)
  for (const { claim } of missed) {
    if (rows.every(([measure]) => measure !== claim.measure))
      rows.push([claim.measure, claim.measured, `${claim.target}: ${emphasized(claim)}`])
  }
  rows.push(['Targets that hold, in all scenarios', `${held.length} of ${held.length + missed.length}`, ''])
  return [machineLine(results), '', markdownTable(['measure', 'measured', 'target'], rows)].join('\n')
}

function markdownTable(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** Where and when a run was made, in one paragraph. */
export function machineLine(run: Omit<Results, 'scenarios'>): string {
  const { date, commit, node, processor, cores, memory, kernel } = run
  const lines = [
    `Measured ${date} at commit ${commit}: ${processor}, ${cores} cores, ${memory} of memory, ${kernel}, Node ${node}.`,
    `Load generator, onramp, PostgreSQL and Redis share the ${cores} cores.`,
  ]
  lines.push(`The run took ${(run.seconds / 60).toFixed(0)} minutes.`)
  if (run.loadBefore > 1)
    lines.push(`Other processes used the machine too: load average ${run.loadBefore} before the run.`)
  if (run.quick) lines.push('This was a quick run: its figures are rough.')
  return lines.join(' ')
}

/** How many targets hold, and the names of those that do not. */
function verdictLine(results: Results): string {
  const { held, missed } = targetsOf(results)
  const count = `${held.length} of ${held.length + missed.length} targets hold.`
  if (missed.length === 0) return count
  return `${count} Those that do not: ${missed.map(({ scenario, claim }) => `${claim.measure} (${scenario})`).join('; ')}.`
}

export interface Judged {
  scenario: string
  claim: Claim
}

/** The claims that have a target, by whether they hold. */
export function targetsOf({ scenarios }: Results): { held: Judged[]; missed: Judged[] } {
  const all = scenarios.flatMap(({ name, claims }) => claims.map((claim) => ({ scenario: name, claim })))
  return {
    held: all.filter(({ claim }) => holds(claim) === true),
    missed: all.filter(({ claim }) => isMissed(claim)),
  }
}

export function isMissed(claim: Claim): boolean {
  return holds(claim) === false
}

export function verdict(claim: Claim): '' | 'holds' | 'does not hold' {
  const isHeld = holds(claim)
  return isHeld === undefined ? '' : isHeld ? 'holds' : 'does not hold'
}

function emphasized(claim: Claim): string {
  return isMissed(claim) ? `**${verdict(claim)}**` : verdict(claim)
}

/** The cause of a miss, so far as profiles have shown one. */
export function causeOf({ cause }: Claim): string {
  return cause ?? 'The cause is not known.'
}
