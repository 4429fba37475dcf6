// The replication stream's bytes, read: pure.
/*
 * The part of PostgreSQL's replication protocol that following changes needs: frames of the replication stream, and the
 * messages of the output plugin pgoutput, protocol version 1 with logical messages (PostgreSQL manual, chapter "Frontend/Backend
 * Protocol", "Streaming Replication Protocol" and "Logical Replication Message Formats"). Pure: bytes in, values out.
 */

/** One frame of the replication stream. Positions in the WAL are bytes from its beginning. */
export type Frame =
  | { kind: 'data'; data: Buffer }
  /** `walEnd`: up to where everything has been sent. */
  | { kind: 'keepalive'; walEnd: bigint; isReplyWanted: boolean }

export interface Column {
  name: string
  /** Whether it belongs to the replica identity: only these are in a `key` row. */
  isKey: boolean
}

/** A row as text, column by column in the relation's order. `undefined`: not sent, because it is large and has not changed. */
export type Row = readonly (string | null | undefined)[]

export type Message =
  | { kind: 'begin'; xid: number }
  /** `end`: where its commit ends in the WAL. */
  | { kind: 'commit'; end: bigint }
  | { kind: 'relation'; oid: number; schema: string; name: string; columns: Column[] }
  | { kind: 'change'; operation: 'insert' | 'update' | 'delete'; oid: number; rows: () => Rows }
  | { kind: 'truncate'; oids: number[] }
  /** What `pg_logical_emit_message` was given. */
  | { kind: 'message'; isTransactional: boolean; prefix: string; content: string }
  /** Types and origins: nothing here depends on them. */
  | { kind: 'other' }

/** What a change says of its row. `old`: all of it, or (`isKeyOnly`) only the replica identity; nothing where that is as before. */
export interface Rows {
  old?: { row: Row; isKeyOnly: boolean }
  new?: Row
}

/** Reads one CopyData of the stream. Throws a RangeError for one that is cut off, an Error for one of no known kind. */
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

/** The frame that tells the server what it need not keep: everything up to `position`. */
export function standbyStatus(position: bigint): Buffer {
  const frame = Buffer.alloc(34) // the server's use of our clock, and the reply we could ask for: none
  frame.write('r')
  for (const at of [1, 9, 17]) frame.writeBigUInt64BE(position, at)
  return frame
}

const operations = { I: 'insert', U: 'update', D: 'delete' } as const

/** Reads one message of pgoutput. Rows are read only when they are asked for. Throws as {@link readFrame} does. */
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

/** Reads on and on through bytes; reading past their end is a RangeError. */
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
    if (this.#at + length > this.#bytes.length) throw new RangeError('the replication stream is cut off')
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
    if (end < 0) throw new RangeError('the replication stream is cut off')
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
  /** `read` so many times, with nothing set aside beforehand: the number may be wrong. */
  times<T>(count: number, read: () => T): T[] {
    const all: T[] = []
    for (let i = 0; i < count; i++) all.push(read())
    return all
  }
}
