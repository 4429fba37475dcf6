// What was found for the targets asked for last: a bounded map.
/**
 * What was found for names of late: a map of the last `size` to twice as many, that forgets by dropping its older half at once.
 *
 * Nothing is deleted one by one, and a name asked for often is moved to the younger half once in `size` others.
 */
export class TargetCache<T> {
  readonly #size: number
  #younger = new Map<string, T>()
  #older = new Map<string, T>()

  constructor(size: number) {
    this.#size = size
  }

  get(name: string): T | undefined {
    const younger = this.#younger.get(name)
    if (younger !== undefined) return younger
    const older = this.#older.get(name)
    if (older !== undefined) this.set(name, older)
    return older
  }

  set(name: string, value: T): void {
    if (this.#younger.size >= this.#size) {
      this.#older = this.#younger
      this.#younger = new Map()
    }
    this.#younger.set(name, value)
  }
}
