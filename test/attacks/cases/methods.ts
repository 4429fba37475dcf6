// Attacks by methods and targets that a route does not support, and by other methods before the GET.
import type { Attack, AttackSubject } from '../attack.ts'

const otherMethods = ['DELETE', 'PUT', 'PATCH', 'OPTIONS', 'TRACE', 'POST', 'PROPFIND', 'PURGE', 'QUERY']

const authorities: { name: string; prefix: string; host: string; status: number }[] = [
  { name: 'of its Host', prefix: 'http://web.example', host: 'web.example', status: 200 },
  { name: 'of a Host that is not ours', prefix: 'http://evil.example', host: 'evil.example', status: 200 },
  { name: 'of another than its Host', prefix: 'http://evil.example', host: 'web.example', status: 400 },
  { name: 'with a user', prefix: 'http://a@web.example', host: 'web.example', status: 400 },
  { name: 'of another scheme', prefix: 'ftp://web.example', host: 'web.example', status: 400 },
]

export const methodAttacks: AttackSubject = {
  'a target that names its authority': authorities.map(
    ({ name, prefix, host, status }): Attack => ({
      name: `${name} makes no other entry`,
      requests: [{ target: `${prefix}{target}`, fields: [`Host: ${host}`], expected: { status: [status] } }],
      ...(status !== 200 && { fillsNothing: true }),
    }),
  ),
  'errors do not affect others': [
    { name: 'HEAD first leaves a whole answer for GET', requests: [{ method: 'HEAD' }] },
    ...['br', 'gzip'].map((coding): Attack => {
      const request = { fields: [`Accept-Encoding: ${coding}`] }
      return {
        name: `who asks for ${coding} first leaves the plain answer plain`,
        requests: [request, request, request],
        reads: ['large search'],
      }
    }),
  ],
  'a method that a route does not support': otherMethods.map(
    (method): Attack => ({
      name: `${method} goes to the upstream, and does not affect the entry`,
      requests: [{ method, expected: { isUpstreams: true } }],
      // A search may be requested with POST.
      reads: method === 'POST' ? ['county'] : ['county', 'search'],
      fillsNothing: true,
    }),
  ),
}
