import { describe, expect, test } from 'vitest'
import { Problem } from '../proxy/errors.ts'
import { type RequestHead, readRequestHead } from '../proxy/http/head.ts'

/** The result of reading the head `fields` (and the rest of `over`). */
const read = (fields: string[] = [], over: { method?: string; url?: string; httpVersion?: string } = {}) =>
  readRequestHead({
    method: 'GET',
    url: '/',
    httpVersion: '1.1',
    rawHeaders: ['Host', 'a.example', ...fields],
    ...over,
  })
const taken = (...given: Parameters<typeof read>): RequestHead => {
  const head = read(...given)
  if (head instanceof Problem) throw head
  return head
}
const status = (...given: Parameters<typeof read>) => {
  const head = read(...given)
  return head instanceof Problem ? head.status : 'taken'
}

describe('a target', () => {
  test.each([
    ['/', '/', ''],
    ['/a?b=c?d', '/a', 'b=c?d'],
    ['/a?', '/a', ''],
    ['//a/../b', '//a/../b', ''],
    ['/a\\b"<>', '/a\\b"<>', ''],
    ['http://a.example/x?y', '/x', 'y'],
    ['HTTP://A.EXAMPLE', '/', ''],
    ['http://a.example?y', '/', 'y'],
  ])('%s has the path %s and the query %j, and is not changed', (url, path, query) => {
    expect(taken([], { url })).toMatchObject({ target: url, path, query })
  })

  test.each([
    '',
    '*',
    '*/a',
    'a',
    '?a',
    '/a#b',
    '/#',
    'http://b.example/',
    'http://a.example:80/',
    'http://u@a.example/',
    'ftp://a.example/',
    'http:/a.example/',
    'http://',
  ])('%j is rejected', (url) => {
    expect(status([], { url })).toBe(400)
  })

  test('* is allowed for OPTIONS only', () => {
    expect(taken([], { url: '*', method: 'OPTIONS' }).path).toBe('*')
  })
})

describe('a length', () => {
  test.each([
    [['Content-Length', '0'], 0],
    [['content-length', '007'], 7],
    [['Content-Length', String(Number.MAX_SAFE_INTEGER)], Number.MAX_SAFE_INTEGER],
    [['Transfer-Encoding', 'chunked'], 'chunked'],
    [['transfer-encoding', 'CHUNKED'], 'chunked'],
    [[], undefined],
  ])('%j is %j', (fields, content) => {
    expect(taken(fields, { method: 'POST' }).content).toBe(content)
  })

  test.each([
    [400, ['Content-Length', '5', 'Content-Length', '5']],
    [400, ['Content-Length', '5', 'Transfer-Encoding', 'chunked']],
    [400, ['Transfer-Encoding', 'chunked', 'Content-Length', '5']],
    [400, ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked']],
    [400, ['Content-Length', '9007199254740992']],
    [400, ['Content-Length', '18446744073709551615']],
    [400, ['Content-Length', '00000000000000005']],
    [400, ['Content-Length', '+5']],
    [400, ['Content-Length', '']],
    [400, ['Transfer_Encoding', 'chunked']],
    [400, ['content_length', '5']],
    [501, ['Transfer-Encoding', 'gzip, chunked']],
    [501, ['Transfer-Encoding', ',chunked']],
    [501, ['Transfer-Encoding', 'identity']],
    [501, ['Transfer-Encoding', 'xchunked']],
    [501, ['Transfer-Encoding', '']],
    [501, ['Transfer-Encoding', 'identity', 'Transfer-Encoding', 'chunked']],
  ])('%i: %j', (expected, fields) => {
    expect(status(fields as string[], { method: 'POST' })).toBe(expected)
  })

  test('in chunks is invalid in HTTP/1.0', () => {
    expect(status(['Transfer-Encoding', 'chunked'], { method: 'POST', httpVersion: '1.0' })).toBe(400)
  })

  test('is invalid for TRACE', () => {
    expect(status(['Content-Length', '1'], { method: 'TRACE' })).toBe(400)
    expect(status(['Content-Length', '0'], { method: 'TRACE' })).toBe('taken')
  })
})

describe('a Host', () => {
  const host = (...values: string[]) =>
    readRequestHead({
      method: 'GET',
      url: '/',
      httpVersion: '1.1',
      rawHeaders: values.flatMap((value) => ['Host', value]),
    })

  test.each(['a', 'a_b.example:8080', '127.0.0.1', '[::1]:80', 'a:', 'xn--a'])('%s is valid', (value) => {
    expect(host(value)).toMatchObject({ host: value })
  })

  test.each([
    [],
    [''],
    ['a', 'a'],
    ['a', 'b'],
    ['a/b'],
    ['a@b'],
    ['a b'],
    ['a:b'],
    ['[::1'],
    ['a"b'],
    ['a\\b'],
    ['a#b'],
  ])('%j is invalid', (...values) => {
    expect(host(...(values as string[]))).toMatchObject({ status: 400 })
  })

  test('may be missing in HTTP/1.0', () => {
    expect(readRequestHead({ method: 'GET', url: '/', httpVersion: '1.0', rawHeaders: [] })).toMatchObject({
      host: undefined,
    })
  })
})

test.each(['0.9', '2.0', '1.2', '3.0'])('HTTP/%s is rejected', (httpVersion) => {
  expect(status([], { httpVersion })).toBe(400)
})

test.each(['CONNECT', 'SOURCE', 'DESCRIBE', 'get', 'FOO', ''])('the method %j is rejected', (method) => {
  expect(status([], { method })).toBe(501)
})

test.each(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'])(
  'the method %s is',
  (method) => {
    expect(taken([], { method }).method).toBe(method)
  },
)

test('Connection is read over all its fields, whatever its spacing and case', () => {
  expect(taken(['Connection', 'Close , X-A', 'connection', ',te,']).connection).toEqual(['close', 'x-a', 'te'])
  expect(taken().connection).toEqual([])
})

test('Expect supports 100-continue only', () => {
  expect(taken(['Expect', '100-Continue']).expectsContinue).toBe(true)
  expect(status(['Expect', 'a miracle'])).toBe(417)
})
