import { defineConfig } from 'vitest/config'
import { openRun } from './bench/servers/run-folder.ts'

// Whatever tests start and write goes with their run. Here, and not in a set-up, because Vitest has temporary files of its own.
await openRun()

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
          // Only what would never end comes to these: a busy machine is not to fail a test.
          testTimeout: 120_000,
          hookTimeout: 120_000,
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
