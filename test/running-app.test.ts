import { expect, test } from 'vitest'
import { describeTiers } from '../proxy/running-app.ts'

const [memory, file, shared] = ['memory', 'file', 'redis'].map((name) => ({ name })) as [Named, Named, Named]
type Named = { name: string }

test.each([
  [[], undefined, ['memory']],
  [[shared], { isConnected: true }, ['memory', 'redis']],
  [[shared], { isConnected: false }, ['memory', 'redis (not reachable now)']],
  [[file, shared], { isConnected: false }, ['memory', 'file', 'redis (not reachable now)']],
  [[file], undefined, ['memory', 'file']],
])('memory and the tiers %j, with Redis %j, are described as %j', (farther, redis, told) => {
  expect(describeTiers({ memory, farther, redis })).toEqual(told)
})
