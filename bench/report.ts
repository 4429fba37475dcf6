import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { type Claim, holds, type Outcome, rounded } from './scenario.ts'

/** A scenario that has been run. */
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
  /** Processes that wanted a core in the minute before: what others do on this machine costs the figures. */
  loadBefore: number
}

/** A run, as bench/results keeps it. */
export interface Results extends Machine {
  quick: boolean
  seconds: number
  scenarios: Finished[]
}

/** Where and when this runs. */
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
    const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ', changed since'
    return git('rev-parse', '--short', 'HEAD') + changed
  } catch {
    return 'unknown' // not a checkout
  }
}

/** A run, for a terminal. */
export function summary({ scenarios, ...run }: Results): string {
  const lines = [`\n${oneLine(run)}\n`]
  for (const { name, claims, tables, notes, seconds } of scenarios) {
    lines.push(`\n${name} (${seconds.toFixed(0)} s)`)
    for (const claim of claims)
      lines.push(`  ${verdict(claim).padEnd(14)} ${claim.what}: ${claim.measured}${bound(claim)}`)
    for (const { title, head, rows } of tables) lines.push('', ...columns(title, head, rows))
    for (const text of notes) lines.push(`  note: ${text}`)
  }
  return `${lines.join('\n')}\n`
}

function columns(title: string, head: string[], rows: (string | number)[][]): string[] {
  const all = [head, ...rows.map((row) => row.map(String))]
  const widths = head.map((_name, i) => Math.max(...all.map((row) => (row[i] ?? '').length)))
  const line = (row: string[]) =>
    `    ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number))).join('  ')}`
  return [`  ${title}`, ...all.map(line)]
}

/** What README.md says of a run: one row a claim. */
export function readmeTable({ scenarios, ...run }: Results): string {
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const rows = scenarios.flatMap(({ name, claims }) =>
    claims.map(
      (claim, i) =>
        `| ${i === 0 ? `**${name}**` : ''} | ${cell(claim.what)} | ${cell(claim.measured)} | ${claim.floor ?? ''} | ${cell(verdictInWords(claim))} |`,
    ),
  )
  return [
    `${oneLine(run)} All figures, curves and notes: [bench/results/report.html](bench/results/report.html).`,
    '',
    '| scenario | what | measured | has to be | |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}

export function oneLine({
  date,
  commit,
  node,
  processor,
  cores,
  memory,
  quick,
  loadBefore,
}: Omit<Results, 'scenarios'>): string {
  const short = quick ? ' A quick run: its figures are rough.' : ''
  const busy = loadBefore > 1 ? ` Others used the machine too (load ${loadBefore} before).` : ''
  return `${date}, commit ${commit}, Node ${node}, ${processor}, ${cores} cores that load, onramp and PostgreSQL share, ${memory}.${busy}${short}`
}

export function verdict(claim: Claim): string {
  const isHeld = holds(claim)
  return isHeld === undefined ? '' : isHeld ? 'holds' : 'does not hold'
}

/** The verdict, and its cause where it is bad. */
export function verdictInWords(claim: Claim): string {
  const isMissed = holds(claim) === false && claim.cause !== undefined
  return isMissed ? `${verdict(claim)}: ${claim.cause}` : verdict(claim)
}

function bound({ floor }: Claim): string {
  return floor === undefined ? '' : ` (has to be ${floor})`
}
