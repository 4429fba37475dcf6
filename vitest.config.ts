import { defineConfig } from 'vitest/config'
import { openRun } from './bench/servers/run-folder.ts'

// The run folder holds everything that tests start and write; it is removed with the run. It is opened here, before any set-up,
// because Vitest itself writes temporary files.
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
      // Model checks and seeded simulations: no network and no real time, but several seconds of CPU.
      { test: { name: 'protocol', include: protocol, testTimeout: 120_000 } },
      {
        test: {
          name: 'live',
          include: ['test/**/*.live.test.ts'],
          globalSetup: 'test/servers.ts',
          // Only a test that hangs reaches these limits: a slow machine must not fail a test.
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // The files share one PostgreSQL and measure times: in parallel they would disturb each other.
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'faults',
          include: ['test/faults/*.test.ts'],
          // A slow machine shows in the measured noise, not in a test that ran out of time.
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // The files measure times, and each breaks servers of its own.
          fileParallelism: false,
        },
      },
    ],
  },
})
