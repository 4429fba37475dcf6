import { defineConfig } from 'vitest/config'

const protocol = ['test/model.test.ts', 'test/simulation.test.ts']

/** A test that ran out of time on a busy machine is tried once more, which is told. A wrong answer is wrong the first time. */
const outOfTime = { count: 1, condition: /timed out in \d+ms/ }

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'fast',
          isolate: false,
          include: ['test/**/*.test.ts'],
          exclude: ['test/**/*.live.test.ts', 'test/faults/**', ...protocol],
        },
      },
      // Many small worlds, each looked at whole or from a seed: no network and no real time, but more than a moment.
      { test: { name: 'protocol', include: protocol, testTimeout: 120_000 } },
      {
        test: {
          name: 'live',
          include: ['test/**/*.live.test.ts'],
          globalSetup: 'test/servers.ts',
          testTimeout: 30_000,
          hookTimeout: 60_000,
          retry: outOfTime,
          // They share one PostgreSQL, and measure: side by side they would disturb each other.
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'faults',
          include: ['test/faults/*.test.ts'],
          // A machine that has other things to do is to be told by what is measured, not by a test that ran out of time.
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // They measure, and have servers of their own to break.
          fileParallelism: false,
        },
      },
    ],
  },
})
