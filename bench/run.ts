import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { pinThis, processes } from './processes.ts'
import { type Finished, machine, summary } from './report.ts'
import { keepResults } from './results.ts'
import type { Scenario } from './scenario.ts'
import { crowd } from './scenarios/crowd.ts'
import { dashboard } from './scenarios/dashboard.ts'
import { growth } from './scenarios/growth.ts'
import { hitPath } from './scenarios/hit-path.ts'
import { hitRatio } from './scenarios/hit-ratio.ts'
import { outage } from './scenarios/outage.ts'
import { passthrough } from './scenarios/passthrough.ts'
import { peers } from './scenarios/peers.ts'
import { stampede } from './scenarios/stampede.ts'
import { story } from './scenarios/story.ts'
import { surge } from './scenarios/surge.ts'
import { unflattering } from './scenarios/unflattering.ts'
import { writes } from './scenarios/writes.ts'
import { openRun } from './servers/run-folder.ts'
import { openStage, type Stage } from './stage.ts'

const scenarios: Scenario[] = [
  story,
  stampede,
  hitPath,
  outage,
  crowd,
  surge,
  peers,
  hitRatio,
  unflattering,
  growth,
  passthrough,
  writes,
  dashboard,
]
const seed = 2014

const usage = `Usage: npm run bench -- [SCENARIO ...] [--quick] [--json FILE] [--keep]

Measures onramp with real PostgreSQL, real Redis and real load on this machine. Without a name, all scenarios run one after the other.
Progress goes to stderr, the results go to stdout.

  --quick      shorter runs with rough figures: under a minute for each scenario
  --json FILE  also write the results to FILE
  --keep       write bench/results and regenerate the report and the tables; a full run without --quick always does
  --no-keep    do not write bench/results, not even after a full run
  --help       print this text

Scenarios:
${scenarios.map(({ name, question }) => `  ${name.padEnd(13)} ${question}`).join('\n')}
`

const { options, asked } = commandLine()

function commandLine() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      allowNegative: true,
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'string' },
        keep: { type: 'boolean' },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      process.stdout.write(usage)
      process.exit()
    }
    const unknown = positionals.filter((name) => !scenarios.some((scenario) => scenario.name === name))
    if (unknown.length > 0) throw new Error(`Unknown scenario: ${unknown.join(', ')}.`)
    return { options: values, asked: positionals }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`)
    process.exit(2)
  }
}

await openRun()
const children = processes()
let stage: Stage | undefined

const began = performance.now()
const here = machine()
const note = (text: string) =>
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${text}\n`)
/**
 * Deadline of a scenario. A hung scenario ends the run, since its processes would distort the measurements of the scenarios after it.
 */
const mostSeconds = 300
function inTime<T>(running: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Late(`not finished after ${mostSeconds} seconds; the run ends here`)),
      mostSeconds * 1000,
    )
  })
  return Promise.race([running, late]).finally(() => clearTimeout(timer))
}
class Late extends Error {}

const finished: Finished[] = []
try {
  stage = await openStage(children, note)
  for (const scenario of scenarios) {
    if (asked.length > 0 && !asked.includes(scenario.name)) continue
    note(`${scenario.name}: ${scenario.question}`)
    const from = performance.now()
    try {
      const context = { isQuick: options.quick, stage, seed, note: (text: string) => note(`  ${text}`) }
      const outcome = await inTime(scenario.run(context))
      const seconds = (performance.now() - from) / 1000
      finished.push({ name: scenario.name, question: scenario.question, seconds, ...outcome })
    } catch (error) {
      process.exitCode = 1
      note(`${scenario.name} failed: ${error instanceof Error ? error.stack : error}`)
      if (error instanceof Late) break
    }
    // The next scenario starts without the processes of this one.
    pinThis(undefined)
    await children.stopAll()
  }
} finally {
  pinThis(undefined)
  await children.stopAll()
  await stage?.close()
}
const results = { ...here, quick: options.quick, seconds: (performance.now() - began) / 1000, scenarios: finished }
process.stdout.write(summary(results))
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`)
const isWhole = asked.length === 0 && !options.quick && process.exitCode === undefined
if (options.keep ?? isWhole) keepResults(results)
// A scenario past its deadline may still keep the event loop alive.
process.exit()
