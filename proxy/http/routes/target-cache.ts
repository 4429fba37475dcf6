// Bounded map of the most recent request targets.
/**
 * A map of the last `size` to `2 × size` names. It forgets by dropping its older half at once.
 *
 * Nothing is deleted one by one. A frequent name is moved to the newer half at most once per `size` new names.
 */
export class TargetCache<T> {
  readonly #size: number
  #newer = new Map<string, T>()
  #older = new Map<string, T>()

  constructor(size: number) {
    this.#size = size
  }

  get(name: string): T | undefined {
    const newer = this.#newer.get(name)
    if (newer !== undefined) return newer
    const older = this.#older.get(name)
    if (older !== undefined) this.set(name, older)
    return older
  }

  set(name: string, value: T): void {
    if (this.#newer.size >= this.#size) {
      this.#older = this.#newer
      this.#newer = new Map()
    }
    this.#newer.set(name, value)
  }
}
