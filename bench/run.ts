import { dashboard } from './scenarios/dashboard.ts'
import { passthrough } from './scenarios/passthrough.ts'

/*
 * `npm run bench [-- NAME] [-- --quick]`: runs a scenario, or all, and prints what it measured as ratios of one run.
 */

const scenarios: Record<string, (isQuick: boolean) => Promise<object[]>> = {
  dashboard: (isQuick) => dashboard(isQuick ? { rounds: 4, seconds: 2 } : {}),
  passthrough: (isQuick) => passthrough(isQuick ? { rounds: 4, seconds: 2 } : {}),
}

const asked = process.argv.slice(2).filter((argument) => argument !== '--quick')
const unknown = asked.filter((name) => !(name in scenarios))
if (unknown.length > 0) {
  process.stderr.write(`There is no scenario ${unknown.join(', ')}; there are ${Object.keys(scenarios).join(', ')}.\n`)
  process.exit(2)
}
for (const name of asked.length > 0 ? asked : Object.keys(scenarios)) {
  const rows = await (scenarios[name] as (isQuick: boolean) => Promise<object[]>)(process.argv.includes('--quick'))
  process.stdout.write(`${name}\n${JSON.stringify(rows, null, 2)}\n`)
}
