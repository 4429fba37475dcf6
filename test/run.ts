import { openRun } from '../bench/servers/run-folder.ts'

/** What all tests start and write goes with their run, whatever becomes of it. */
export default async function setup(): Promise<void> {
  await openRun()
}
