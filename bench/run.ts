import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { pinThis, processes } from './processes.ts'
import { type Finished, machine, summary } from './report.ts'
import { keepResults } from './results.ts'
import type { Scenario } from './scenario.ts'
import { crowd } from './scenarios/crowd.ts'
import { hitPath } from './scenarios/hit-path.ts'
import { outage } from './scenarios/outage.ts'
import { passthrough } from './scenarios/passthrough.ts'
import { stampede } from './scenarios/stampede.ts'
import { story } from './scenarios/story.ts'
import { openStage, type Stage } from './stage.ts'

/*
 * `npm run bench [-- NAME ...] [--quick] [--json FILE]`: runs the scenarios named, or all, one after the other. A full run of all is kept in
 * bench/results, and README.md says what it found; --keep does that for any run.
 */

const scenarios: Scenario[] = [story, stampede, hitPath, outage, crowd, passthrough]
const seed = 2014

const { values: options, positionals: asked } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, json: { type: 'string' }, keep: { type: 'boolean' } },
})
const unknown = asked.filter((name) => !scenarios.some((scenario) => scenario.name === name))
if (unknown.length > 0) {
  process.stderr.write(
    `There is no scenario ${unknown.join(', ')}; there are ${scenarios.map((one) => one.name).join(', ')}.\n`,
  )
  process.exit(2)
}

const children = processes()
let stage: Stage | undefined
let isStopping = false
async function stop(): Promise<void> {
  if (isStopping) return
  isStopping = true
  pinThis(undefined)
  await children.stopAll()
  await stage?.close()
}
process.on('exit', () => children.killAll())
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    process.stderr.write('\nstopping\n')
    stop().finally(() => process.exit(130))
  })
}

const began = performance.now()
const here = machine()
const note = (text: string) =>
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${text}\n`)
const finished: Finished[] = []
try {
  stage = await openStage(children, note)
  for (const scenario of scenarios) {
    if (asked.length > 0 && !asked.includes(scenario.name)) continue
    note(`${scenario.name}: ${scenario.question}`)
    const from = performance.now()
    try {
      const context = { isQuick: options.quick, stage, seed, note: (text: string) => note(`  ${text}`) }
      const outcome = await scenario.run(context)
      const seconds = (performance.now() - from) / 1000
      finished.push({ name: scenario.name, question: scenario.question, seconds, ...outcome })
    } catch (error) {
      if (isStopping) break
      process.exitCode = 1
      note(`${scenario.name} failed: ${error instanceof Error ? error.stack : error}`)
    }
    // Whatever a scenario has left, the next one starts with nothing running.
    pinThis(undefined)
    await children.stopAll()
  }
} finally {
  await stop()
}
const results = { ...here, quick: options.quick, seconds: (performance.now() - began) / 1000, scenarios: finished }
process.stdout.write(summary(results))
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`)
if (options.keep ?? (asked.length === 0 && !options.quick && process.exitCode === undefined)) keepResults(results)
