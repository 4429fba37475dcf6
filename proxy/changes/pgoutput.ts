// The decoder of PostgreSQL's replication stream (pgoutput): pure.
/*
 * The part of PostgreSQL's replication protocol that following changes needs: frames of the replication stream, and
 * messages of the output plugin pgoutput, protocol version 1 with logical messages. Bytes in, values out.
 *
 * PostgreSQL manual, chapter "Frontend/Backend Protocol": "Streaming Replication Protocol" and "Logical Replication
 * Message Formats".
 */

/** One frame of the replication stream. Positions in the WAL are bytes from its beginning. */
export type Frame =
  | { kind: 'data'; data: Buffer }
  /** `walEnd`: the server has sent everything up to here. */
  | { kind: 'keepalive'; walEnd: bigint; isReplyWanted: boolean }

export interface Column {
  name: string
  /** Whether it belongs to the replica identity: an old row with `isKeyOnly` has only these. */
  isKey: boolean
}

/** A row as text, in the relation's order of columns. `undefined`: not sent, because the value is large and has not changed. */
export type Row = readonly (string | null | undefined)[]

export type Message =
  | { kind: 'begin'; xid: number }
  /** `end`: where its commit ends in the WAL. */
  | { kind: 'commit'; end: bigint }
  | { kind: 'relation'; oid: number; schema: string; name: string; columns: Column[] }
  | { kind: 'change'; operation: 'insert' | 'update' | 'delete'; oid: number; rows: () => Rows }
  | { kind: 'truncate'; oids: number[] }
  /** The arguments of `pg_logical_emit_message`. */
  | { kind: 'message'; isTransactional: boolean; prefix: string; content: string }
  /** Types and origins: nothing here depends on them. */
  | { kind: 'other' }

/** The rows of a change. `old`: the whole row, or (`isKeyOnly`) only its replica identity; absent if that has not changed. */
export interface Rows {
  old?: { row: Row; isKeyOnly: boolean }
  new?: Row
}

/** Reads one CopyData message of the stream. Throws a RangeError if it is truncated, an Error if its kind is unknown. */
export function readFrame(chunk: Buffer): Frame {
  const bytes = new Bytes(chunk)
  const kind = bytes.letter()
  if (kind === 'w') {
    bytes.skip(24)
    return { kind: 'data', data: bytes.rest() }
  }
  if (kind !== 'k') throw new Error(`a frame of the replication stream is of an unknown kind: ${kind}`)
  const walEnd = bytes.int64()
  bytes.skip(8)
  return { kind: 'keepalive', walEnd, isReplyWanted: bytes.uint8() === 1 }
}

/** The frame that tells the server it need not keep anything up to `position`. */
export function standbyStatus(position: bigint): Buffer {
  const frame = Buffer.alloc(34) // left zero: the client's clock, and the request for a reply
  frame.write('r')
  for (const at of [1, 9, 17]) frame.writeBigUInt64BE(position, at)
  return frame
}

const operations = { I: 'insert', U: 'update', D: 'delete' } as const

/** Reads one message of pgoutput. Rows are read only on demand. Throws as {@link readFrame} does. */
export function readMessage(data: Buffer): Message {
  const bytes = new Bytes(data)
  const kind = bytes.letter()
  switch (kind) {
    case 'B':
      bytes.skip(16)
      return { kind: 'begin', xid: bytes.uint32() }
    case 'C':
      bytes.skip(9)
      return { kind: 'commit', end: bytes.int64() }
    case 'R':
      return readRelation(bytes)
    case 'I':
    case 'U':
    case 'D': {
      const oid = bytes.uint32()
      return { kind: 'change', operation: operations[kind], oid, rows: () => readRows(new Bytes(data, 5)) }
    }
    case 'T': {
      const count = bytes.uint32()
      bytes.skip(1)
      return { kind: 'truncate', oids: bytes.times(count, () => bytes.uint32()) }
    }
    case 'M': {
      const isTransactional = bytes.uint8() === 1
      bytes.skip(8)
      const prefix = bytes.text()
      return { kind: 'message', isTransactional, prefix, content: bytes.counted() }
    }
    case 'Y':
    case 'O':
      return { kind: 'other' }
    default:
      throw new Error(`a message of pgoutput is of an unknown kind: ${kind}`)
  }
}

function readRelation(bytes: Bytes): Message {
  const [oid, schema, name] = [bytes.uint32(), bytes.text(), bytes.text()]
  bytes.skip(1)
  const columns = bytes.times(bytes.uint16(), () => {
    const isKey = bytes.uint8() === 1
    const column = { name: bytes.text(), isKey }
    bytes.skip(8)
    return column
  })
  return { kind: 'relation', oid, schema: schema === '' ? 'pg_catalog' : schema, name, columns }
}

function readRows(bytes: Bytes): Rows {
  const rows: Rows = {}
  while (!bytes.isAtEnd) {
    const kind = bytes.letter()
    if (kind === 'N') rows.new = readRow(bytes)
    else if (kind === 'K' || kind === 'O') rows.old = { row: readRow(bytes), isKeyOnly: kind === 'K' }
    else throw new Error(`a row of pgoutput is of an unknown kind: ${kind}`)
  }
  return rows
}

function readRow(bytes: Bytes): Row {
  return bytes.times(bytes.uint16(), () => {
    const kind = bytes.letter()
    if (kind === 't') return bytes.counted()
    if (kind === 'n') return null
    if (kind === 'u') return undefined
    throw new Error(`a value of pgoutput is of an unknown kind: ${kind}`)
  })
}

/** Reads bytes in sequence; reading past their end throws a RangeError. */
class Bytes {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }
  #take(length: number): number {
    const at = this.#at
    this.skip(length)
    return at
  }
  skip(length: number): void {
    if (this.#at + length > this.#bytes.length) throw new RangeError('a message of the replication stream is truncated')
    this.#at += length
  }
  letter(): string {
    return String.fromCharCode(this.uint8())
  }
  uint8(): number {
    return this.#bytes.readUInt8(this.#take(1))
  }
  uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2))
  }
  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }
  int64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8))
  }
  rest(): Buffer {
    return this.#bytes.subarray(this.#at)
  }

  /** Text up to a zero byte. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end < 0) throw new RangeError('a message of the replication stream is truncated')
    const text = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end + 1
    return text
  }
  /** Text after its length. */
  counted(): string {
    const length = this.uint32()
    const at = this.#take(length)
    return this.#bytes.toString('utf8', at, at + length)
  }
  /** Calls `read` so many times. Allocates nothing in advance: the count may be wrong. */
  times<T>(count: number, read: () => T): T[] {
    const all: T[] = []
    for (let i = 0; i < count; i++) all.push(read())
    return all
  }
}
