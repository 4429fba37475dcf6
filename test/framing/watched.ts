// A changing object, and waiting for its changes.

/** Maximum wait; an event that does not happen within it counts as not happening. */
export const deadlineMs = 3000

/** Checks again at each change, never by the clock. */
export class Watched {
  readonly #lookers = new Set<() => void>()

  protected changed(): void {
    for (const look of [...this.#lookers]) look()
  }

  /** Whether `isSo` becomes true within `ms`. */
  until(isSo: () => boolean, ms = deadlineMs): Promise<boolean> {
    if (isSo()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const done = (so: boolean) => {
        clearTimeout(timer)
        this.#lookers.delete(look)
        resolve(so)
      }
      const look = () => {
        if (isSo()) done(true)
      }
      const timer = setTimeout(() => done(false), ms)
      this.#lookers.add(look)
    })
  }
}
