import { describe, expect, test } from 'vitest'
import { httpAddress, isLoopback, networks, withoutSecrets } from '../proxy/address.ts'

describe('a loopback address', () => {
  test.each(['127.0.0.1', '127.0.0.2', '127.255.255.255', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', 'localhost'])(
    'is %s',
    (host) => {
      expect(isLoopback(host)).toBe(true)
    },
  )

  test.each([
    ...['0.0.0.0', '::', '::0', '126.255.255.255', '128.0.0.0', '10.0.0.1', '192.168.0.1', '169.254.169.254'],
    ...['::2', 'fe80::1', '::ffff:0.0.0.0', '::ffff:10.0.0.1', '2001:db8::1', '::127.0.0.1'],
    ...['', '*', 'localhost.example.com', 'notlocalhost', '127.0.0.1.example.com', 'example.com', '127.0.0.1:80'],
  ])('is not %j, which other machines can reach', (host) => {
    expect(isLoopback(host)).toBe(false)
  })

  test.each(['fe80::1%eth0', 'fe80::1%1', '::1%lo', '::%', '127.0.0.1%lo'])(
    'is decided for %s without an error',
    (host) => {
      expect(isLoopback(host)).toBeTypeOf('boolean')
    },
  )
})

test('an IPv6 address is written in brackets (RFC 3986, 3.2.2)', () => {
  expect(httpAddress('127.0.0.1', 8080)).toBe('http://127.0.0.1:8080')
  expect(httpAddress('localhost', 80)).toBe('http://localhost:80')
  expect(httpAddress('::1', 8080)).toBe('http://[::1]:8080')
  expect(new URL(httpAddress('::', 9090)).port).toBe('9090')
})

test('the path of a Unix socket is reached from this machine only', () => {
  expect(isLoopback('unix:/run/onramp.sock')).toBe(true)
})

describe('networks', () => {
  test.each([
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['2001:db8::/32', '2001:db8::1', true],
    ['::1', '::1', true],
    ['::1', '::2', false],
    ['0.0.0.0/0', '203.0.113.9', true],
  ])('%s: %s is %s', (text, address, isIn) => {
    expect(networks([text]).check(address, address.includes(':') ? 'ipv6' : 'ipv4')).toBe(isIn)
  })

  test.each([
    '',
    'localhost',
    '10.0.0.0/33',
    '::/129',
    '10.0.0/8',
    '10.0.0.0/x',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
  ])('%j is refused', (text) => {
    expect(() => networks([text])).toThrow(`${text} is neither an IP address nor a network such as 10.0.0.0/8`)
  })
})

describe('an address in a log or a message', () => {
  test('has its host, user and database, and nothing else', () => {
    expect(withoutSecrets('postgres://app:hunter2@db.internal:5432/marketplace')).toBe(
      'postgres://app@db.internal:5432/marketplace',
    )
    expect(withoutSecrets('redis://:hunter2@cache:6379/0')).toBe('redis://cache:6379/0')
    expect(withoutSecrets('rediss://cache')).toBe('rediss://cache')
  })

  test.each([
    'postgres://app:hunter2@db/market',
    'postgres://db/market?password=hunter2',
    'postgres://db/market?user=app&password=hunter2&sslmode=require',
    'postgres://app:hunter2%40x@db/market',
    'postgres://app:p:hunter2@db/market',
    'redis://:hunter2@cache/0#hunter2',
    'postgres://app:hunter2@[::1]:5432/market',
    'host=db password=hunter2',
    'hunter2',
    '//app:hunter2@db',
    'postgres://app:hunter2@db:notaport/market',
    'postgres://app:hunter2@',
  ])('does not show the password of %s', (url) => {
    expect(withoutSecrets(url)).not.toContain('hunter2')
  })

  test('is not shown at all if it is no URL', () => {
    for (const text of ['', 'hunter2', 'a b', 'host=db password=hunter2'])
      expect(withoutSecrets(text)).toBe('(not shown)')
  })
})
