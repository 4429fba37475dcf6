import pg from 'pg'
import { expect, test } from 'vitest'
import { sqlState } from '../proxy/sql-state.ts'

const databaseError = (fields: Partial<pg.DatabaseError>) =>
  Object.assign(new pg.DatabaseError('refused', 7, 'error'), fields)

test('the SQLSTATE of a PostgreSQL error is the code that the server sent', () => {
  expect(sqlState(databaseError({ severity: 'ERROR', code: '42710' }))).toBe('42710')
  expect(sqlState(databaseError({ severity: 'FATAL', code: '57P03' }))).toBe('57P03')
})

test.each([
  ['a system error code of five characters', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })],
  ['a system error code', Object.assign(new Error('refused'), { code: 'ECONNREFUSED', severity: 'ERROR' })],
  ['no code', databaseError({ severity: 'ERROR' })],
  ['no error', { severity: 'ERROR', code: '42710' }],
  ['nothing', undefined],
])('%s is no SQLSTATE', (_, error) => expect(sqlState(error)).toBeUndefined())
