import type { Clock } from '../clock.ts'

/** How often this process looks at itself, and how late that may be, in milliseconds. */
const everyMs = 20
const lateMs = 100
/** How many looks in a row must be late: one pause, however long, is no overload, and what has piled up meanwhile is soon done. */
const looks = 5

/** Knows whether this process has more to do than it can, from how late its timers are. Looks until stopped. */
export function busyness(clock: Clock): { readonly isBusy: boolean; stop(): void } {
  let late = 0
  let cancel = () => {}
  const look = () => {
    const dueAt = clock.now() + everyMs
    cancel = clock.after(everyMs, () => {
      late = clock.now() - dueAt > lateMs ? late + 1 : 0
      look()
    })
  }
  look()
  return {
    get isBusy() {
      return late >= looks
    },
    stop: () => cancel(),
  }
}
