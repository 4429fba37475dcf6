// Watches what no stream of changes shows: how the followed tables and functions are made.
import { type FollowedObjects, functionTag, tableTags } from '../tags.ts'
import { type Capabilities, warningsOf } from './capabilities.ts'
import { type CatalogSnapshot, readCatalog } from './catalog.ts'
import type { Client } from './session.ts'

/** Watches for followed tables altered, dropped, made anew; views and functions defined anew; views refreshed. */
export class CatalogWatch {
  #catalog: CatalogSnapshot
  readonly #control: Client
  readonly #capabilities: Capabilities
  readonly #objects: FollowedObjects
  readonly #changed: (tags: readonly string[]) => void

  /** `changed` is told the tags of what is not as it was. */
  constructor(
    control: Client,
    capabilities: Capabilities,
    objects: FollowedObjects,
    changed: (tags: readonly string[]) => void,
  ) {
    this.#catalog = capabilities.catalog
    this.#control = control
    this.#capabilities = capabilities
    this.#objects = objects
    this.#changed = changed
  }

  /** As it was last read. */
  get catalog(): CatalogSnapshot {
    return this.#catalog
  }

  /**
   * Looks again, and tells what has changed. Rejects when what can be followed is not what it was: then the capabilities must be
   * found anew.
   */
  async refresh(): Promise<void> {
    const before = this.#catalog
    this.#catalog = await readCatalog(this.#control, this.#objects)
    const { shapes, functions } = this.#catalog
    const tables = this.#objects.tables.filter(({ table }) => before.shapes.get(table) !== shapes.get(table))
    const defined = this.#objects.functions.filter((name) => before.functions.get(name) !== functions.get(name))
    if (tables.length + defined.length === 0) return
    this.#changed([...tables.flatMap(tableTags), ...defined.map(functionTag)])
    const warnings = warningsOf(this.#catalog, this.#capabilities.mode)
    if (JSON.stringify(warnings) !== JSON.stringify(this.#capabilities.warnings))
      throw new Error('a followed table was made anew, or can be followed no longer')
  }
}
