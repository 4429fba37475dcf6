import { afterAll, beforeAll, expect, test } from 'vitest'
import { programs, type Serving } from '../program.ts'
import { postgresFaults } from './of-postgres.ts'
import { redisFaults } from './of-redis.ts'
import { keepResults, type Results } from './results.ts'
import { broken, run } from './run.ts'
import { type Stand, startStand } from './stand.ts'

/*
 * One program, under a load that never stops asking, through everything that can happen to its Redis and its PostgreSQL.
 */

const { configuration, ready } = programs('faults')
let stand: Stand
let program: Serving
const results: Results['faults'] = []
beforeAll(async () => {
  stand = await startStand()
  program = await ready(['--config', configuration('onramp.yaml', stand.configuration())])
})
afterAll(async () => {
  keepResults({ faults: results })
  await stand.stop()
})

test.each([...redisFaults, ...postgresFaults])('$name', async (fault) => {
  const said = program.errors().length
  const { log, ...result } = await run(fault, stand, { ...program, log: program.output })
  results.push(result)
  expect(broken(fault, { ...result, log }), JSON.stringify({ ...result, log }, null, 2)).toEqual([])
  expect(program.child.exitCode).toBeNull()
  // pg says of its own way to cancel a statement that it will be another one.
  expect(
    program
      .errors()
      .slice(said)
      .replace(/^.*(DeprecationWarning|--trace-deprecation).*\n/gm, ''),
  ).toBe('')
})

test('after all of it, the program ends when it is told to', async () => {
  program.child.kill('SIGTERM')
  expect(await program.ended).toBe(0)
})
