import { defineConfig } from 'vitest/config'

const protocol = ['test/model.test.ts', 'test/simulation.test.ts']

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
          // Of what is measured: a machine that hiccups does so once. What is wrong fails twice, and a second try is told.
          retry: 1,
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
