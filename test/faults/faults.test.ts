import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultResult, keepFaultResults } from '../../bench/fault-results.ts'
import { programs, type Serving } from '../program.ts'
import { postgresFaults } from './of-postgres.ts'
import { redisFaults } from './of-redis.ts'
import { broken, run } from './run.ts'
import { type Stand, startStand } from './stand.ts'

/*
 * One program under a steady load while its Redis fails in every way we know, and another while its PostgreSQL does.
 */

const { configuration, ready } = programs('faults')
let stand: Stand
const results: FaultResult[] = []
beforeAll(async () => {
  stand = await startStand()
})
afterAll(async () => {
  // A run that found a broken promise is not published.
  if (results.length === redisFaults.length + postgresFaults.length) keepFaultResults({ faults: results })
  await stand.stop()
})

// Long timeouts of the database, while Redis is tested: a slow machine must not look like a failing database.
const patient = { statementTimeout: '5s', requestTimeout: '10s' }

describe.each([
  { of: 'Redis', faults: redisFaults, settings: patient },
  { of: 'PostgreSQL', faults: postgresFaults, settings: {} },
])('faults of $of', ({ of, faults, settings }) => {
  let program: Serving
  beforeAll(async () => {
    program = await ready(['--config', configuration(`${of}.yaml`, stand.configuration(settings))])
  })

  test.each(faults)('$name', async (fault) => {
    const said = program.errors().length
    const { log, ...result } = await run(fault, stand, { ...program, log: program.output })
    expect(broken(fault, { ...result, log }), JSON.stringify({ ...result, log }, null, 2)).toEqual([])
    expect(program.child.exitCode).toBeNull()
    // pg prints a deprecation warning about the way it cancels statements itself.
    expect(
      program
        .errors()
        .slice(said)
        .replace(/^.*(DeprecationWarning|--trace-deprecation).*\n/gm, ''),
    ).toBe('')
    results.push(result)
  })

  test('after all faults, the program stops on SIGTERM with exit code 0', async () => {
    program.child.kill('SIGTERM')
    expect(await program.ended).toBe(0)
  })
})
