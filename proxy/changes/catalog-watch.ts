// The catalog watch: detects changed definitions of tables and functions, which no change stream shows.
import { type FollowedObjects, functionTag, tableTags } from '../tags.ts'
import { type Capabilities, warningsOf } from './capabilities.ts'
import { type CatalogSnapshot, readCatalog } from './catalog.ts'
import type { Client } from './session.ts'

/**
 * Detects followed tables that were altered, dropped or recreated; views and functions that were redefined; views that
 * were refreshed.
 */
export class CatalogWatch {
  #catalog: CatalogSnapshot
  readonly #control: Client
  readonly #capabilities: Capabilities
  readonly #objects: FollowedObjects
  readonly #changed: (tags: readonly string[]) => void

  /** `changed` is called with the tags of the changed tables and functions. */
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
   * Reads the catalog again, and reports changes. Rejects when the tables that can be followed are no longer the same:
   * the capabilities must then be found again.
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
      throw new Error('a followed table was recreated, or can no longer be followed')
  }
}
