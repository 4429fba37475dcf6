import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Rows, readFrame, readMessage, standbyStatus } from '../proxy/changes/pgoutput.ts'

/*
 * Bytes as in chapter "Frontend/Backend Protocol" of the PostgreSQL manual: Int8, Int16, Int32 and Int64 in network
 * byte order, String with a zero byte at its end.
 */

const int8 = (value: number) => Buffer.from([value])
const int16 = (value: number) => Buffer.from(Uint16Array.of(value).buffer).swap16()
const int32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer).swap32()
const int64 = (value: bigint) => Buffer.from(BigUint64Array.of(value).buffer).swap64()
const string = (text: string) => Buffer.from(`${text}\0`)
const bytes = (...parts: (Buffer | string)[]) => Buffer.concat(parts.map((part) => Buffer.from(part as string)))
const value = (text: string) => bytes('t', int32(Buffer.byteLength(text)), text)

describe('frames', () => {
  test('XLogData yields the message in it', () => {
    const frame = bytes('w', int64(1n), int64(2n), int64(3n), 'message')
    expect(readFrame(frame)).toEqual({ kind: 'data', data: Buffer.from('message') })
  })
  test.each([0, 1])('a keepalive yields the end of the sent WAL, and whether a reply is wanted (%i)', (wanted) => {
    const frame = bytes('k', int64(0xffff_ffff_ffn), int64(3n), int8(wanted))
    expect(readFrame(frame)).toEqual({ kind: 'keepalive', walEnd: 0xffff_ffff_ffn, isReplyWanted: wanted === 1 })
  })
  test('a standby status update has the position three times, and asks for no reply', () => {
    const position = 0x1_2345_6789n
    expect(standbyStatus(position)).toEqual(
      bytes('r', int64(position), int64(position), int64(position), int64(0n), int8(0)),
    )
  })
})

const relation = bytes(
  'R',
  int32(4_000_000_000),
  string('public'),
  string('plans'),
  'd',
  int16(2),
  ...[
    bytes(int8(1), string('plan_id'), int32(25), int32(0xffffffff)),
    bytes(int8(0), string('näme'), int32(25), int32(0)),
  ],
)
const update = bytes('U', int32(7), 'O', int16(3), value('é'), 'n', 'u', 'N', int16(1), value(''))

describe('messages', () => {
  test.each([
    ['begin', bytes('B', int64(1n), int64(2n), int32(4_294_967_295)), { kind: 'begin', xid: 4_294_967_295 }],
    ['commit', bytes('C', int8(0), int64(1n), int64(99n), int64(2n)), { kind: 'commit', end: 99n }],
    [
      'relation',
      relation,
      {
        kind: 'relation',
        oid: 4_000_000_000,
        schema: 'public',
        name: 'plans',
        columns: [
          { name: 'plan_id', isKey: true },
          { name: 'näme', isKey: false },
        ],
      },
    ],
    ['truncate', bytes('T', int32(2), int8(3), int32(5), int32(6)), { kind: 'truncate', oids: [5, 6] }],
    [
      'logical message',
      bytes('M', int8(1), int64(1n), string('onramp'), int32(2), '{}'),
      { kind: 'message', isTransactional: true, prefix: 'onramp', content: '{}' },
    ],
    ['type', bytes('Y', int32(1), string('a'), string('b')), { kind: 'other' }],
    ['origin', bytes('O', int64(1n), string('a')), { kind: 'other' }],
  ])('%s', (_name, data, message) => expect(readMessage(data)).toEqual(message))

  const rowsOf = (data: Buffer): Rows => {
    const message = readMessage(data)
    if (message.kind !== 'change') throw new Error(message.kind)
    return message.rows()
  }
  test('an update with its whole old row: text, NULL, and a value that was not sent', () => {
    expect(readMessage(update)).toMatchObject({ kind: 'change', operation: 'update', oid: 7 })
    expect(rowsOf(update)).toEqual({ old: { row: ['é', null, undefined], isKeyOnly: false }, new: [''] })
  })
  test('an insert, and a delete with the key of its old row', () => {
    expect(rowsOf(bytes('I', int32(7), 'N', int16(1), value('a')))).toEqual({ new: ['a'] })
    expect(rowsOf(bytes('D', int32(7), 'K', int16(1), value('a')))).toEqual({ old: { row: ['a'], isKeyOnly: true } })
  })
})

/** Reads the whole message. Returns its content, or the kind of its fault. */
function outcome(read: () => unknown): string {
  try {
    read()
    return 'read'
  } catch (error) {
    return error instanceof RangeError ? 'cut off' : /of an unknown kind/.test(String(error)) ? 'unknown' : `${error}`
  }
}
const readAll = (data: Buffer) => () => {
  const message = readMessage(data)
  if (message.kind === 'change') message.rows()
}

test('a message truncated anywhere is refused: no missing part is made up', () => {
  const whole = [relation, update, bytes('B', int64(1n), int64(2n), int32(3)), bytes('T', int32(1), int8(0), int32(5))]
  for (const data of whole) {
    expect(outcome(readAll(data))).toBe('read')
    for (let length = 0; length < data.length; length++) {
      const is = outcome(readAll(data.subarray(0, length)))
      // An update that ends before its new row: no server sends that, and it reads as the old row alone.
      expect(['cut off', ...(data === update ? ['read'] : [])], `${length} of ${data}`).toContain(is)
    }
  }
})

test('malformed bytes are refused in bounded time, whatever lengths they claim', () => {
  const letter = fc.constantFrom(...'BCRIUDTMYOwk?')
  fc.assert(
    fc.property(letter, fc.uint8Array({ maxLength: 60 }), (kind, rest) => {
      const data = bytes(kind, Buffer.from(rest))
      expect(['read', 'cut off', 'unknown']).toContain(outcome(readAll(data)))
      expect(['read', 'cut off', 'unknown']).toContain(outcome(() => readFrame(data)))
    }),
    { numRuns: 2000 },
  )
  expect(outcome(readAll(bytes('T', int32(0xffffffff), int8(0), int32(1))))).toBe('cut off')
  expect(outcome(readAll(bytes('I', int32(1), 'N', int16(1), 't', int32(0xffffffff), 'a')))).toBe('cut off')
})
