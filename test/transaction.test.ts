import { describe, expect, test } from 'vitest'
import type { Message, Rows } from '../proxy/changes/pgoutput.ts'
import {
  maxRowTags,
  readNotice,
  relationKey,
  type Transaction,
  Transactions,
  type Watched,
} from '../proxy/changes/transaction.ts'
import { expandTags, type FollowedTable } from '../proxy/tags.ts'

const plans: FollowedTable = { table: 'plans', columns: ['id'] }
const rates: FollowedTable = { table: 'rates', columns: [] }

function watched(...of: [name: string, ...followed: FollowedTable[]][]): Watched {
  return {
    relations: new Map(of.map(([name, ...followed]) => [relationKey('public', name), followed])),
    tables: new Map(of.flatMap(([, ...followed]) => followed.map((one) => [one.table, one]))),
  }
}
const both = watched(['plans', plans], ['rates', rates])

const relation = (oid: number, name: string, keys: string[] = ['id'], more: string[] = ['name']): Message => ({
  kind: 'relation',
  oid,
  schema: 'public',
  name,
  columns: [
    ...keys.map((key) => ({ name: key, isKey: true })),
    ...more.map((column) => ({ name: column, isKey: false })),
  ],
})
const change = (operation: 'insert' | 'update' | 'delete', oid: number, rows: Rows): Message => ({
  kind: 'change',
  operation,
  oid,
  rows: () => rows,
})
const insert = (oid: number, ...row: (string | null)[]) => change('insert', oid, { new: row })

/** The transaction made of these messages. */
function transaction(
  messages: Message[],
  of: Watched = both,
  transactions = new Transactions(() => of, 'me'),
): Transaction {
  const all: Message[] = [{ kind: 'begin', xid: 7 }, ...messages, { kind: 'commit', end: 1n }]
  const done = all.map((message) => transactions.take(message)).filter((one) => one !== undefined)
  expect(done).toHaveLength(1)
  return done[0] as Transaction
}
const tags = (...messages: Message[]) => [...transaction(messages).tags].sort()

describe('changed rows of a table that routes identify by a column', () => {
  const described = relation(1, 'plans')
  test('become tags by value: the new one of an insert, the old one of a delete, both of an update', () => {
    expect(tags(described, insert(1, 'a', 'x'))).toEqual(['row:plans.id=a', 'table:plans'])
    expect(tags(described, change('delete', 1, { old: { row: ['a', null], isKeyOnly: true } }))).toEqual([
      'row:plans.id=a',
      'table:plans',
    ])
    const moved = change('update', 1, { old: { row: ['a', null], isKeyOnly: true }, new: ['b', 'x'] })
    expect(tags(described, moved)).toEqual(['row:plans.id=a', 'row:plans.id=b', 'table:plans'])
  })
  test('of an update without an old row have an unchanged key', () => {
    expect(tags(described, change('update', 1, { new: ['a', 'y'] }))).toEqual(['row:plans.id=a', 'table:plans'])
  })
  test('with an unknown old value count as all rows', () => {
    const other = relation(1, 'plans', ['key'], ['id'])
    const whole = ['rows:plans', 'table:plans']
    expect(tags(other, change('update', 1, { new: ['k', 'a'] }))).toEqual(whole)
    expect(tags(other, change('update', 1, { old: { row: ['k', null], isKeyOnly: true }, new: ['l', 'a'] }))).toEqual(
      whole,
    )
    expect(tags(other, change('delete', 1, { old: { row: ['k', null], isKeyOnly: true } }))).toEqual(whole)
    expect(tags(other, insert(1, 'k', 'a'))).toEqual(['row:plans.id=a', 'table:plans'])
    const full = { old: { row: ['k', 'a'], isKeyOnly: false }, new: ['k', 'b'] }
    expect(tags(other, change('update', 1, full))).toEqual(['row:plans.id=a', 'row:plans.id=b', 'table:plans'])
  })
  test('with NULL, or a value longer than any parameter, have no row tag', () => {
    expect(tags(described, insert(1, null, 'x'), insert(1, 'x'.repeat(1001), ''))).toEqual(['table:plans'])
    expect(tags(described, insert(1, 'x'.repeat(1000), ''))).toHaveLength(2)
  })
  test('count as all rows when they are too many, at the bound', () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => insert(1, `${i}`, 'x'))
    expect(tags(described, ...many(maxRowTags))).toHaveLength(maxRowTags + 1)
    expect(tags(described, ...many(maxRowTags + 1))).toEqual(['rows:plans', 'table:plans'])
    expect(tags(described, ...many(maxRowTags + 50), relation(2, 'rates'), insert(2, 'a', 'b'))).toEqual([
      'rows:plans',
      'table:plans',
      'table:rates',
    ])
  })
  test('count as all rows if the column is gone', () => {
    expect(tags(relation(1, 'plans', ['key'], []), insert(1, 'k'))).toEqual(['rows:plans', 'table:plans'])
  })
})

test('rows of other tables are not read', () => {
  const unread: Message = { kind: 'change', operation: 'insert', oid: 2, rows: () => expect.unreachable() as never }
  expect(tags(relation(2, 'rates'), unread, unread)).toEqual(['table:rates'])
})
test('TRUNCATE changes all rows of each table', () => {
  expect(tags(relation(1, 'plans'), relation(2, 'rates'), { kind: 'truncate', oids: [1, 2] })).toEqual([
    'rows:plans',
    'table:plans',
    'table:rates',
  ])
})
test('a table described again has changed if the description differs', () => {
  const transactions = new Transactions(() => both, 'me')
  transaction([relation(2, 'rates')], both, transactions)
  expect(transaction([relation(2, 'rates')], both, transactions).tags).toEqual(new Set())
  expect(transaction([relation(2, 'rates', ['id'], ['name', 'note'])], both, transactions).tags).toEqual(
    new Set(['table:rates']),
  )
})
test('a change of a partition is a change of each table it belongs to, and of their rows', () => {
  const years: FollowedTable = { table: 'years', columns: ['id'] }
  const of = watched(['y2014', years, { table: 'y2014', columns: ['name'] }])
  expect([...transaction([relation(1, 'y2014'), insert(1, '1', 'n')], of).tags].sort()).toEqual([
    'row:y2014.name=n',
    'row:years.id=1',
    'table:y2014',
    'table:years',
  ])
})
test('an unknown relation is named, to be looked up', () => {
  const { tags, unknown } = transaction([relation(9, 'made'), insert(9, 'a', 'b')])
  expect([tags, unknown]).toEqual([new Set(), new Set([relationKey('public', 'made')])])
})
test('a change of a relation that was not described throws', () => {
  expect(() => transaction([insert(1, 'a')])).toThrow('has not described')
})

describe('a message to onramp', () => {
  const message = (content: unknown, more: Partial<Extract<Message, { kind: 'message' }>> = {}): Message => ({
    kind: 'message',
    isTransactional: true,
    prefix: 'onramp',
    content: JSON.stringify(content),
    ...more,
  })
  test('in a transaction counts; the tag of a table stands for its rows too', () => {
    expect(tags(message({ tags: ['a', 'table:plans', 'table:rates', 'table:none'] }))).toEqual([
      'a',
      'rows:plans',
      'table:none',
      'table:plans',
      'table:rates',
    ])
    expect(
      tags(message({ tags: ['a'] }, { isTransactional: false }), message({ tags: ['a'] }, { prefix: 'other' })),
    ).toEqual([])
  })
  test('is a heartbeat if this process has sent it; those of others are ignored', () => {
    const { heartbeats } = transaction([message({ beat: 4, sender: 'me' }), message({ beat: 5, sender: 'you' })])
    expect(heartbeats).toEqual([4])
  })
  test.each([
    '',
    'x',
    '7',
    'null',
    '[]',
    '{"tags":7}',
    '{"tags":[7,null]}',
    '{"beat":"1","sender":"me"}',
    '{"beat":1}',
  ])('with content %s is ignored', (content) => expect(readNotice(content)).toEqual({ tags: [], changed: [] }))
})

test('the tag of a table whose rows are identified becomes both of its tags', () => {
  expect(expandTags(['table:plans', 'table:rates', 'plans'], both.tables)).toEqual([
    'table:plans',
    'rows:plans',
    'table:rates',
    'plans',
  ])
})
