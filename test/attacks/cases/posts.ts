// Attacks by POST to a route.
import type { Attack, AttackRequest, AttackSubject } from '../attack.ts'

const json = ['Content-Type: application/json']
/** The content of a POST for the same read as the target. */
const body = '{"county":"51059","ages":[{ages}],"limit":3}'
const withMembers = (members: string) => body.replace('{', `{${members},`)

function posting(name: string, request: AttackRequest): Attack {
  const target = '/api/plans/search'
  return { name, requests: [{ method: 'POST', target, fields: json, content: body, ...request }], reads: ['search'] }
}

const refused = { status: [400, 415], fields: { 'Cache-Control': ['no-store'] } }

function refusal(name: string, request: AttackRequest): Attack {
  return { ...posting(name, { ...request, expected: refused }), fillsNothing: true }
}

export const postAttacks: AttackSubject = {
  'POST to a route': [
    posting('is one entry with GET, whichever comes first', {}),
    ...[
      posting('with another read in its query', { target: '/api/plans/search?county=01001&ages=1&limit=1' }),
      posting('with names that are none of its', {
        content: withMembers('"admin":true,"constructor":1,"County":"01001"'),
      }),
      posting('with a name of prototypes', { content: withMembers('"__proto__":{"county":"01001"}') }),
      posting('that says that it is a GET', { fields: [...json, 'X-HTTP-Method-Override: GET'] }),
      posting('in other words for the same numbers', { content: body.replace('"limit":3', '"limit":3.0') }),
    ].map((attack) => ({ ...attack, name: `${attack.name} changes nothing for others` })),
    ...[
      refusal('a member twice', { content: withMembers('"limit":200') }),
      refusal('a member twice, one escaped', { content: withMembers('"l\\u0069mit":200') }),
      refusal('a form', {
        fields: ['Content-Type: application/x-www-form-urlencoded'],
        content: 'county=51059&ages={ages}&limit=3',
      }),
      refusal('text', { fields: ['Content-Type: text/plain'] }),
      refusal('half of it', { content: body.slice(0, -5) }),
      refusal('a list of it', { content: `[${body}]` }),
      refusal('nested values', { content: body.replace('"limit":3', '"limit":{"$gt":1}') }),
    ].map((attack) => ({ ...attack, name: `of ${attack.name} is refused, and leaves nothing` })),
  ],
}
