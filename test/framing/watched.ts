// Something that changes, and whose changes are waited for.

/** The most that anything is waited for: what does not happen by then is taken not to happen. */
export const deadlineMs = 3000

/** Looks again with each change, never by the clock. */
export class Watched {
  readonly #lookers = new Set<() => void>()

  protected changed(): void {
    for (const look of [...this.#lookers]) look()
  }

  /** Whether `isSo` comes true within `ms`. */
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
