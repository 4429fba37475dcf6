import { describe, expect, test } from 'vitest'
import { Problem } from '../proxy/errors.ts'
import { corsFor, isPreflight, preflightFields } from '../proxy/http/cors.ts'
import { type RequestHead, readRequestHead } from '../proxy/http/head.ts'
import { downstreamFields, isLooping, trailerFields, upstreamFields } from '../proxy/http/upstream/fields.ts'

const stranger = { address: '192.0.2.1', isEncrypted: false, isTrusted: false }
const trusted = { ...stranger, isTrusted: true }
function headOf(fields: string[], httpVersion = '1.1', method = 'POST', host = 'a.example:80'): RequestHead {
  const head = readRequestHead({ method, url: '/', httpVersion, rawHeaders: ['Host', host, ...fields] })
  if (head instanceof Problem) throw head
  return head
}
/** The fields passed on, by name in lower case; several values are joined by `|`. */
const sent = (fields: string[], sender: Parameters<typeof upstreamFields>[1] = { ...stranger }, httpVersion = '1.1') =>
  joined(upstreamFields(headOf(fields, httpVersion), sender))
function joined(fields: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {}
  for (let i = 0; i < fields.length; i += 2) {
    const name = String(fields[i]).toLowerCase()
    values[name] = name in values ? `${values[name]}|${fields[i + 1]}` : String(fields[i + 1])
  }
  return values
}

describe('to the upstream', () => {
  const always = {
    host: 'a.example:80',
    'x-forwarded-for': '192.0.2.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'a.example:80',
    forwarded: 'for=192.0.2.1;host="a.example:80";proto=http',
    via: '1.1 onramp',
  }

  test("go the client's fields in their order and spelling, and its forwarding fields", () => {
    expect(
      upstreamFields(headOf(['X-b', '1', 'x-B', '2', 'Cookie', 'c', 'traceparent', 't']), { ...stranger }),
    ).toEqual([
      ...['Host', 'a.example:80', 'X-b', '1', 'x-B', '2', 'Cookie', 'c', 'traceparent', 't'],
      ...['X-Forwarded-For', '192.0.2.1', 'X-Forwarded-Proto', 'http', 'X-Forwarded-Host', 'a.example:80'],
      ...['Forwarded', 'for=192.0.2.1;host="a.example:80";proto=http', 'Via', '1.1 onramp'],
    ])
  })

  test('go no hop-by-hop fields, none that Connection names, none that frames the message', () => {
    const hop = ['Connection', 'X-Secret, close, Keep-Alive', 'X-Secret', 's', 'Keep-Alive', 'timeout=5']
    const more = ['Proxy-Connection', 'x', 'TE', 'gzip', 'Upgrade', 'h2c', 'Trailer', 'X', 'Content-Length', '3']
    expect(sent([...hop, ...more, 'Expect', '100-continue'])).toEqual(always)
  })

  test('goes Host, even if Connection names it', () => {
    expect(sent(['Connection', 'Host, Content-Length']).host).toBe('a.example:80')
  })

  test.each([
    'X-Forwarded-For',
    'x_forwarded_for',
    'X-Forwarded_Proto',
    'X-Forwarded-Port',
    'X-Forwarded',
    'Forwarded',
    'X-Real-IP',
    'X_Real-Ip',
    'Proxy',
  ])('%s of an untrusted peer does not go', (name) => {
    expect(sent([name, '6.6.6.6'])).toEqual(always)
  })

  test('the forwarding fields of a trusted peer are kept and extended', () => {
    const said = [
      ...['X-Forwarded-For', '198.51.100.7', 'X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'b.example'],
      ...['Forwarded', 'for=198.51.100.7', 'X-Forwarded-Port', '443', 'X-Real-IP', '198.51.100.7', 'Proxy', 'evil'],
    ]
    expect(sent(said, { ...trusted })).toEqual({
      ...always,
      'x-forwarded-for': '198.51.100.7, 192.0.2.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'b.example',
      'x-forwarded-port': '443',
      'x-real-ip': '198.51.100.7',
      forwarded: 'for=198.51.100.7, for=192.0.2.1;host="a.example:80";proto=http',
    })
  })

  test('an encrypted connection, an IPv6 address and a Unix socket are reported correctly', () => {
    expect(sent([], { ...stranger, isEncrypted: true })).toMatchObject({ 'x-forwarded-proto': 'https' })
    expect(sent([], { ...stranger, address: '2001:db8::1' })).toMatchObject({
      'x-forwarded-for': '2001:db8::1',
      forwarded: 'for="[2001:db8::1]";host="a.example:80";proto=http',
    })
    const { 'x-forwarded-for': none, forwarded } = sent([], { ...stranger, address: undefined })
    expect([none, forwarded]).toEqual([undefined, 'for=unknown;host="a.example:80";proto=http'])
  })

  test('the forwarding fields of one Host are not used for another', () => {
    const sender = { ...stranger }
    const of = (host: string) => joined(upstreamFields(headOf([], '1.1', 'GET', host), sender))['x-forwarded-host']
    expect(['a', 'a', 'b', 'a'].map(of)).toEqual(['a', 'a', 'b', 'a'])
  })

  test('Via is extended with the version of the request', () => {
    expect(sent(['Via', '1.0 first', 'via', '1.1 second'], { ...stranger }, '1.0').via).toBe(
      '1.0 first, 1.1 second, 1.0 onramp',
    )
  })

  test('TE passes on trailers, and no transfer coding', () => {
    expect(sent(['TE', 'gzip;q=0.5, trailers']).te).toBe('trailers')
    expect(sent(['TE', 'gzip']).te).toBeUndefined()
  })

  test('Max-Forwards is decremented for OPTIONS, and ignored for other methods', () => {
    const of = (method: string) =>
      joined(upstreamFields(headOf(['Max-Forwards', '3'], '1.1', method), { ...stranger }))['max-forwards']
    expect([of('OPTIONS'), of('TRACE'), of('GET')]).toEqual(['2', '2', '3'])
  })

  test('a request that has passed onramp eight times is in a loop', () => {
    const via = (times: number) => headOf(Array.from({ length: times }, () => ['Via', '1.1 onramp']).flat())
    expect([isLooping(via(7)), isLooping(via(8))]).toEqual([false, true])
    expect(isLooping(headOf(['Via', Array.from({ length: 8 }, () => '1.1 onramp').join(', ')]))).toBe(true)
    expect(isLooping(headOf(['Via', '1.1 onramp, 1.1 other']))).toBe(false)
  })
})

describe('to the client', () => {
  test('go the fields of the upstream, and Via', () => {
    expect(downstreamFields({ status: 200, rawHeaders: ['Set-Cookie', 'a', 'set-cookie', 'b'] }, true)).toEqual([
      ...['Set-Cookie', 'a', 'set-cookie', 'b', 'Via', '1.1 onramp'],
    ])
  })

  test('go no hop-by-hop fields, and none that Connection names except the length', () => {
    const rawHeaders = ['Connection', 'x-a, Content-Length', 'X-A', '1', 'Keep-Alive', 'x', 'Content-Length', '3']
    expect(joined(downstreamFields({ status: 200, rawHeaders }, true) ?? [])).toEqual({
      'content-length': '3',
      via: '1.1 onramp',
    })
  })

  test('goes no length with a status that has none', () => {
    const rawHeaders = ['Content-Length', '3']
    expect(downstreamFields({ status: 204, rawHeaders }, false)).toEqual(['Via', '1.1 onramp'])
    expect(downstreamFields({ status: 304, rawHeaders }, false)).toEqual([...rawHeaders, 'Via', '1.1 onramp'])
  })

  test('goes Trailer only if trailers can follow', () => {
    const rawHeaders = ['Transfer-Encoding', 'chunked', 'Trailer', 'X']
    expect(downstreamFields({ status: 200, rawHeaders }, true)).toEqual(['Trailer', 'X', 'Via', '1.1 onramp'])
    expect(downstreamFields({ status: 200, rawHeaders }, false)).toEqual(['Via', '1.1 onramp'])
    expect(downstreamFields({ status: 200, rawHeaders: ['Trailer', 'X'] }, true)).toEqual(['Via', '1.1 onramp'])
  })

  test.each([['gzip, chunked'], ['identity'], [''], ['chunked, chunked']])(
    'a message with Transfer-Encoding %j is rejected',
    (value) => {
      expect(downstreamFields({ status: 200, rawHeaders: ['Transfer-Encoding', value] }, true)).toBeUndefined()
    },
  )
})

test('trailers are passed on, except fields that frame, route or authenticate', () => {
  const raw = ['X-Sum', '1', 'Content-Length', '5', 'Host', 'b', 'Set-Cookie', 'a', 'Transfer-Encoding', 'chunked']
  expect(trailerFields([...raw, 'X-Forwarded-For', '6.6.6.6', 'Authorization', 'x'])).toEqual([['X-Sum', '1']])
})

describe('pages of other origins', () => {
  const exposed = { 'Access-Control-Expose-Headers': 'Age, Cache-Status, ETag' }

  test('get no fields unless configured', () => {
    expect(corsFor([]).fieldsFor({ origin: 'https://a.example' })).toEqual({})
  })

  test('may read if their origin is listed; every response then varies by Origin', () => {
    const { fieldsFor: cors } = corsFor(['https://a.example'])
    expect(cors({ origin: 'https://a.example' })).toEqual({
      'Access-Control-Allow-Origin': 'https://a.example',
      ...exposed,
      Vary: 'Origin',
    })
    for (const origin of [undefined, 'https://b.example', 'https://a.example.evil', 'null', 'http://a.example'])
      expect(cors(origin === undefined ? {} : { origin })).toEqual({ Vary: 'Origin' })
  })

  test('may all read with *, without credentials', () => {
    const fields = corsFor(['*']).fieldsFor({ origin: 'https://a.example' })
    expect(fields).toEqual({ 'Access-Control-Allow-Origin': '*', ...exposed })
    expect(Object.keys({ ...fields, ...preflightFields(['GET']) })).not.toContain('Access-Control-Allow-Credentials')
  })

  test('send a preflight with OPTIONS, Origin and the intended method', () => {
    const asking = { origin: 'https://a.example', 'access-control-request-method': 'POST' }
    expect(isPreflight('OPTIONS', asking)).toBe(true)
    expect([isPreflight('GET', asking), isPreflight('OPTIONS', { origin: 'https://a.example' })]).toEqual([
      false,
      false,
    ])
    expect(preflightFields(['GET', 'HEAD', 'POST'])['Access-Control-Allow-Methods']).toBe('GET, HEAD, POST')
  })
})
