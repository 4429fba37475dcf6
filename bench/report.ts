import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { table } from './markdown.ts'
import { type Claim, holds, isWithinNoise, type Outcome, rounded } from './scenario.ts'

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
    processor: `${first?.model ?? 'unknown'}${generation()}`,
    cores: cpus().length,
    memory: `${rounded(totalmem() / 1024 ** 3)} GiB`,
    loadBefore: Number((loadavg()[0] as number).toFixed(2)),
  }
}

/** The family and the model of the processor, since virtual machines hide its name. Empty if the kernel names none. */
function generation(): string {
  try {
    const [, family, model] =
      /^cpu family\s*: (\d+)\nmodel\s*: (\d+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? []
    return family === undefined ? '' : ` (family ${family}, model ${model})`
  } catch {
    return ''
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
  const width = Math.max(0, ...results.scenarios.flatMap(({ claims }) => claims.map((claim) => verdict(claim).length)))
  for (const { name, claims, tables, notes, seconds } of results.scenarios) {
    lines.push(`\n${name} (${seconds.toFixed(0)} s)`)
    for (const claim of claims) {
      const target = goal(claim) === '' ? '' : ` (target: ${goal(claim)})`
      lines.push(`  ${verdict(claim).padEnd(width)} ${claim.measure}: ${claim.measured}${target}`)
      if (isMissed(claim)) lines.push(`  ${''.padEnd(width)} cause: ${causeOf(claim)}`)
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
      goal(claim),
      isMissed(claim) ? `${emphasized(claim)}: ${causeOf(claim)}` : verdict(claim),
    ]),
  )
  return [
    machineLine(results),
    '',
    table(['scenario', 'measure', 'measured', 'target', 'verdict'], rows),
    '',
    verdictLine(results),
  ].join('\n')
}

/** The rows of the top README. A run without a claim of a row does not have this row. */
const headlines: readonly { scenario: string; claims: readonly string[]; measure?: string }[] = [
  { scenario: 'story', claims: ['optimized-wait'] },
  { scenario: 'story', claims: ['slow-wait'] },
  { scenario: 'story', claims: ['optimized-sql-saved'] },
  { scenario: 'outage', claims: ['redis-gone-failed'] },
  { scenario: 'crowd', claims: ['connections-held'] },
  {
    scenario: 'hit-path',
    claims: ['memory-1KB-plain-throughput', 'memory-1KB-plain-cpu'],
    measure: 'Hit in memory, 1 KB, beside bare node:http',
  },
  { scenario: 'surge', claims: ['cold'] },
]

function claimOf({ scenarios }: Results, scenario: string, id: string): Claim | undefined {
  return scenarios.find(({ name }) => name === scenario)?.claims.find((one) => one.id === id)
}

/** For the top README: the headline figures, the number of targets that hold, and the names of those that do not. */
export function summaryTable(results: Results): string {
  const { held, missed } = targetsOf(results)
  const row = (claims: Claim[], measure = claims[0]?.measure ?? '') => {
    const targets = claims.map((claim) => (claim.target === undefined ? '' : `${claim.target}: ${emphasized(claim)}`))
    return [measure, claims.map(({ measured }) => measured).join('; '), targets.filter(Boolean).join('; ')]
  }
  const rows = headlines.flatMap(({ scenario, claims, measure }) => {
    const found = claims.flatMap((id) => claimOf(results, scenario, id) ?? [])
    return found.length === claims.length ? [row(found, measure)] : []
  })
  const { date, processor, cores } = results
  const names = new Set(missed.map(({ scenario }) => `\`${scenario}\``))
  const not = missed.length === 0 ? '' : ` ${missed.length} do not, in ${[...names].join(', ')}.`
  return [
    `Measured ${date} on ${processor}, ${cores} cores shared by load generator, onramp, PostgreSQL and Redis.`,
    `${held.length} of ${held.length + missed.length} targets hold.${not}`,
    '',
    table(['measure', 'measured', 'target'], rows),
  ].join('\n')
}

/** The gain, the cost and the limits in one sentence each. `{scenario/claim}` stands for a measured figure. */
const shortly = [
  'Gain, for shoppers who never pause. With the statement as the example ships it, each waits {story/optimized-wait}. With a slow statement: {story/slow-wait}.',
  'Gain, for PostgreSQL. SQL statements saved by a warm cache: {story/optimized-sql-saved}. With keys by county and household and 64 MiB, the hit ratio is {hit-ratio/county-and-household}.',
  'Cost of a hit of 1 KB, compared with a bare node:http server: {hit-path/memory-1KB-plain-throughput}, and {hit-path/memory-1KB-plain-cpu}.',
  'No gain if every key is different. Compared with a handler without a cache: {unflattering/every-key-different}.',
  'Failures. In a surge to a cold cache, {surge/cold}. To a warm cache, {surge/warm}. While Redis is gone, {outage/redis-gone-failed}.',
]

/** A run in a few sentences. One without its figures is left out. */
export function inShort(results: Results): string[] {
  return shortly.flatMap((text) => {
    let isWhole = true
    const filled = text.replace(/\{([^/}]+)\/([^}]+)\}/g, (_all, scenario: string, id: string) => {
      const claim = claimOf(results, scenario, id)
      isWhole &&= claim !== undefined
      return claim?.measured ?? ''
    })
    return isWhole ? [filled] : []
  })
}

/** Where and when a run was made, in one paragraph. */
export function machineLine(run: Omit<Results, 'scenarios'>): string {
  const { date, commit, node, processor, cores, memory, kernel } = run
  const lines = [
    `Measured ${date} at commit ${commit}: ${processor}, ${cores} cores, ${memory} of memory, ${kernel}, Node ${node}.`,
    `Load generator, onramp, PostgreSQL and Redis share the ${cores} cores.`,
    `The run took ${(run.seconds / 60).toFixed(0)} minutes.`,
  ]
  if (run.loadBefore > 1)
    lines.push(`Other processes used the machine too: load average ${run.loadBefore} before the run.`)
  if (run.quick) lines.push('This was a quick run: its figures are rough.')
  return lines.join(' ')
}

/** The number of targets that hold, the names of those that do not, and the scenarios without a target. */
function verdictLine(results: Results): string {
  const { held, missed } = targetsOf(results)
  const without = withoutTarget(results)
  const free = without.length === 0 ? [] : [`Scenarios without a target: ${without.join(', ')}.`]
  const names = new Set(missed.map(({ scenario, claim }) => `- \`${scenario}\`: ${claim.measure}`))
  const all = `${held.length} of ${held.length + missed.length} targets hold.`
  if (names.size === 0) return [all, ...free].join(' ')
  return [`${all} Those that do not:`, '', ...names, ...(free.length > 0 ? ['', ...free] : [])].join('\n')
}

/** The names of the scenarios of which no claim has a target. */
export function withoutTarget({ scenarios }: Results): string[] {
  return scenarios.filter(({ claims }) => claims.every((claim) => holds(claim) === undefined)).map(({ name }) => name)
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

/** Empty without a target. */
export function verdict(claim: Claim): string {
  const isHeld = holds(claim)
  if (isHeld === undefined) return ''
  return `${isHeld ? 'holds' : 'does not hold'}${isWithinNoise(claim) ? ', within the noise' : ''}`
}

function emphasized(claim: Claim): string {
  return isMissed(claim) ? `**${verdict(claim)}**` : verdict(claim)
}

/** The target of a claim, or else the direction that is better. */
export function goal({ target, better }: Claim): string {
  return target ?? (better === undefined ? '' : `none; ${better} is better`)
}

/** The cause of a miss, so far as profiles have shown one. */
export function causeOf({ cause }: Claim): string {
  return cause ?? 'The cause is not known.'
}
