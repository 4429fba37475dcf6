import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultResult, keepFaultResults } from '../../bench/fault-results.ts'
import { programs, type Serving } from '../program.ts'
import { postgresFaults } from './of-postgres.ts'
import { redisFaults } from './of-redis.ts'
import { broken, run } from './run.ts'
import { type Stand, startStand } from './stand.ts'

/*
 * A program under a load that never stops asking, through everything that can happen to its Redis, and another through
 * everything that can happen to its PostgreSQL.
 */

const { configuration, ready } = programs('faults')
let stand: Stand
const results: FaultResult[] = []
beforeAll(async () => {
  stand = await startStand()
})
afterAll(async () => {
  // A run that found a promise broken is not told of.
  if (results.length === redisFaults.length + postgresFaults.length) keepFaultResults({ faults: results })
  await stand.stop()
})

// The database has time enough while Redis is looked at: a busy machine is not to look like a failing one.
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
    // pg says of its own way to cancel a statement that it will be another one.
    expect(
      program
        .errors()
        .slice(said)
        .replace(/^.*(DeprecationWarning|--trace-deprecation).*\n/gm, ''),
    ).toBe('')
    results.push(result)
  })

  test('after all of it, the program ends when it is told to', async () => {
    program.child.kill('SIGTERM')
    expect(await program.ended).toBe(0)
  })
})
