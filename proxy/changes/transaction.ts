// Transactions of the replication stream, and the tags they change: pure.
import { expandTags, type FollowedTable, rowsTag, rowTag, tableTag, tableTags } from '../tags.ts'
import type { Column, Message, Row } from './pgoutput.ts'

/** The followed tables of a relation: itself, and those it is a partition or a child of. Keyed by {@link relationKey}. */
export type Relations = ReadonlyMap<string, readonly FollowedTable[]>

/** The followed tables, by name and by relation. */
export interface Watched {
  tables: ReadonlyMap<string, FollowedTable>
  relations: Relations
}

export const relationKey = (schema: string, name: string): string => JSON.stringify([schema, name])

/** A committed transaction, as far as it matters here. */
export interface Transaction {
  xid: number
  tags: Set<string>
  /** Changed relations that the catalog did not show: new ones, or tables that are not followed. */
  unknown: Set<string>
  /** Numbers of this process's own heartbeats. */
  heartbeats: number[]
}

/** Most row tags of one table in a transaction. Above that, all rows of the table count as changed. */
export const maxRowTags = 200
/** In characters. No parameter is longer, so no entry depends on a longer value. */
export const maxValueLength = 1000

/** Builds transactions from the messages of one replication stream. Pure; keeps at most `maxRowTags` tags a table. */
export class Transactions {
  readonly #watched: () => Watched
  /** As the stream has described them, by their OID. */
  readonly #described = new Map<number, { key: string; columns: Column[] }>()
  readonly #sender: string
  /** `whole`: relations whose further changes add no tags. */
  #current: (Transaction & { rows: Map<string, Set<string>>; whole: Set<number> }) | undefined

  /** `sender` distinguishes this process's heartbeats from those of others. */
  constructor(watched: () => Watched, sender: string) {
    this.#watched = watched
    this.#sender = sender
  }

  /** Whether a transaction has begun and not ended yet. */
  get isInside(): boolean {
    return this.#current !== undefined
  }

  /** Takes the next message. Returns the transaction if the message was its commit. */
  take(message: Message): Transaction | undefined {
    switch (message.kind) {
      case 'begin':
        this.#current = {
          xid: message.xid,
          tags: new Set(),
          unknown: new Set(),
          heartbeats: [],
          rows: new Map(),
          whole: new Set(),
        }
        return undefined
      case 'commit':
        return this.#commit()
      case 'relation':
        this.#describe(message)
        return undefined
      case 'change':
        this.#change(message)
        return undefined
      case 'truncate':
        for (const oid of message.oids) this.#touch(this.#relation(oid).key)
        return undefined
      case 'message':
        if (message.isTransactional && message.prefix === 'onramp') this.#takeNotice(message.content)
        return undefined
      case 'other':
        return undefined
      default:
        return message satisfies never
    }
  }

  #commit(): Transaction | undefined {
    const current = this.#current
    this.#current = undefined
    if (current === undefined) return undefined
    for (const tags of current.rows.values()) for (const tag of tags) current.tags.add(tag)
    return current
  }

  /** A relation described again with other columns has been altered, by this transaction or by one before it. */
  #describe({ oid, schema, name, columns }: Extract<Message, { kind: 'relation' }>): void {
    const before = this.#described.get(oid)
    const now = { key: relationKey(schema, name), columns }
    this.#described.set(oid, now)
    if (before === undefined || JSON.stringify(before) === JSON.stringify(now)) return
    this.#touch(before.key)
    this.#touch(now.key)
  }

  #change({ oid, operation, rows }: Extract<Message, { kind: 'change' }>): void {
    if (this.#current?.whole.has(oid)) return
    const { key, columns } = this.#relation(oid)
    const followed = this.#watched().relations.get(key)
    if (followed === undefined || followed.every((one) => one.columns.length === 0)) {
      this.#touch(key)
      this.#current?.whole.add(oid)
      return
    }
    const { old, new: after } = rows()
    for (const one of followed) {
      this.#current?.tags.add(tableTag(one.table))
      for (const name of one.columns) {
        const at = columns.findIndex((column) => column.name === name)
        const isKey = columns[at]?.isKey === true
        // An update sends no old row if the replica identity has not changed.
        const isOldKnown = operation === 'insert' || isKey || (old !== undefined && !old.isKeyOnly)
        if (at < 0 || !isOldKnown) this.#overflow(one)
        else this.#rows(one, name, [old?.row[at], after?.[at]])
      }
    }
  }

  #rows(followed: FollowedTable, column: string, values: (Row[number] | undefined)[]): void {
    const { table } = followed
    const tags = this.#current?.rows.get(table) ?? new Set()
    this.#current?.rows.set(table, tags)
    if (tags.has(rowsTag(table))) return
    for (const value of values) {
      // NULL equals no parameter, and a value that is not sent has not changed.
      if (typeof value === 'string' && value.length <= maxValueLength) tags.add(rowTag(table, column, value))
    }
    if (tags.size > maxRowTags) this.#overflow(followed)
  }

  #overflow(followed: FollowedTable): void {
    this.#current?.rows.set(followed.table, new Set(tableTags(followed)))
  }

  /** All rows of a relation may have changed. */
  #touch(key: string): void {
    const followed = this.#watched().relations.get(key)
    if (followed === undefined) this.#current?.unknown.add(key)
    for (const one of followed ?? []) {
      this.#current?.tags.add(tableTag(one.table))
      if (one.columns.length > 0) this.#overflow(one)
    }
  }

  #relation(oid: number): { key: string; columns: Column[] } {
    const relation = this.#described.get(oid)
    if (relation === undefined) throw new Error('the replication stream changes a relation it has not described')
    return relation
  }

  #takeNotice(content: string): void {
    const { tags, heartbeat } = readNotice(content)
    for (const tag of expandTags(tags, this.#watched().tables)) this.#current?.tags.add(tag)
    if (heartbeat?.sender === this.#sender) this.#current?.heartbeats.push(heartbeat.number)
  }
}

/** A message to onramp over the database: a logical message, or a notification. */
export interface Notice {
  tags: string[]
  /** Tags as onramp's own triggers send them: of a table, and of its changed rows. */
  changed: string[]
  heartbeat?: { sender: string; number: number }
}

/** Reads `{"tags":[...]}` and onramp's own messages. Anything else is ignored, because every role may write there. */
export function readNotice(content: string): Notice {
  let given: unknown
  try {
    given = JSON.parse(content)
  } catch {
    given = undefined // not meant for onramp, or malformed: there is nobody to report it to
  }
  const { tags, changed, beat, sender } = noticeFields(given)
  const isHeartbeat = typeof beat === 'number' && typeof sender === 'string'
  const texts = (list: unknown) => (Array.isArray(list) ? list.filter((tag) => typeof tag === 'string') : [])
  return { tags: texts(tags), changed: texts(changed), ...(isHeartbeat && { heartbeat: { sender, number: beat } }) }
}

function noticeFields(given: unknown): { tags?: unknown; changed?: unknown; beat?: unknown; sender?: unknown } {
  return typeof given === 'object' && given !== null ? given : {}
}
