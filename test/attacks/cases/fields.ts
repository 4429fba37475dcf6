// Attacks by header fields of an attacker's request.
import type { AttackSubject } from '../attack.ts'

/** The fields, by attack. */
export const strangeFields = {
  'X-Forwarded-Host': ['X-Forwarded-Host: evil.example'],
  'X-Forwarded-Scheme': ['X-Forwarded-Scheme: http', 'X-Forwarded-Proto: nothttps', 'X-Forwarded-Port: 1'],
  'X-Original-URL': ['X-Original-URL: /api/states'],
  'X-Rewrite-URL': ['X-Rewrite-URL: /api/counties/01001'],
  'X-HTTP-Method-Override': ['X-HTTP-Method-Override: POST', 'X-HTTP-Method: DELETE', 'X-Method-Override: PUT'],
  Forwarded: ['Forwarded: for=1.1.1.1;host=evil.example;proto=http'],
  'the Host of another site': ['Host: evil.example:1337'],
  Accept: ['Accept: text/html'],
  'Accept for nothing': ['Accept: application/json;q=0'],
  'Accept-Language': ['Accept-Language: xx', 'Accept-Charset: utf-7'],
  'Accept-Encoding of all kinds': ['Accept-Encoding: br, gzip, zstd, x-evil, *'],
  'Accept-Encoding of none': ['Accept-Encoding: identity;q=0, *;q=0'],
  'Accept-Encoding twice': ['Accept-Encoding: gzip', 'Accept-Encoding: br;q=1'],
  'an invalid Accept-Encoding': ['Accept-Encoding: ;;q=,,"'],
  Origin: ['Origin: https://evil.example'],
  'Origin null': ['Origin: null', 'Access-Control-Request-Method: GET'],
  Cookie: ['Cookie: session=1; __Host-a=b'],
  Authorization: ['Authorization: Bearer a', 'Proxy-Authorization: Basic YTpi'],
  Range: ['Range: bytes=0-0', 'If-Range: "a"'],
  'Range over all': ['Range: bytes=0-,0-,0-'],
  'If-Modified-Since': ['If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT'],
  'If-None-Match of anything': ['If-None-Match: *'],
  'If-None-Match of junk': ['If-None-Match: "', 'If-None-Match: W/,,"a'],
  'If-Match': ['If-Match: "a"', 'If-Unmodified-Since: Fri, 01 Jan 1990 00:00:00 GMT'],
  'Cache-Control no-cache': ['Cache-Control: no-cache'],
  'Cache-Control no-store': ['Cache-Control: no-store'],
  'Cache-Control max-age=0': ['Cache-Control: max-age=0, must-revalidate, proxy-revalidate'],
  'Cache-Control only-if-cached': ['Cache-Control: only-if-cached'],
  'an invalid Cache-Control': ['Cache-Control: max-age=999999999999999999999, private="a, no-cache", ='],
  Pragma: ['Pragma: no-cache'],
  Upgrade: ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
  'a WebSocket': ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: YQ==', 'Sec-WebSocket-Version: 13'],
  'Connection that names others': ['Connection: cache-control, etag, host, accept-encoding'],
  'a head over the limit': [`X-Odd: ${'a'.repeat(20_000)}`],
  'bytes that are not text': ['X-Odd: \x80\xff', 'Accept-Encoding: \xff'],
  Expect: ['Expect: 100-continue'],
} satisfies Record<string, string[]>

/** Fields that request less than the whole answer. */
export const ignoredFields = [
  'Range',
  'Range over all',
  'If-Modified-Since',
  'If-Match',
  'Accept',
  'Cache-Control only-if-cached',
] as const

const { 'a head over the limit': tooLarge, ...harmless } = strangeFields

export const fieldAttacks: AttackSubject = {
  'fields of an attacker’s request change nothing for others': [
    ...Object.entries(harmless).map(([name, fields]) => ({ name, requests: [{ fields }] })),
    // The request is rejected.
    { name: 'a head over the limit', requests: [{ fields: tooLarge }], fillsNothing: true },
  ],
}
