import type { Exercise } from './exercise.ts'

/** A setting of a route: read from the configuration, applied, shown by `/routes`, and taken over by a reload. */
export const routeOption: Exercise = {
  title: 'a route option',
  mostFiles: 2,
  edits: [
    {
      file: 'proxy/config/route-schema.ts',
      before: `  returns: z
    .enum(['rows', 'row'])`,
      after: `  emptyIsMissing: flag.optional().describe('A parameter that is given as empty text counts as not given'),
  returns: z
    .enum(['rows', 'row'])`,
    },
    {
      file: 'proxy/http/routes/route.ts',
      before: 'function parametersReader({ parameters }: RouteConfig)',
      after: 'function parametersReader({ parameters, emptyIsMissing = false }: RouteConfig)',
    },
    {
      file: 'proxy/http/routes/route.ts',
      before: `        const values = given.get(parameter)
        if (values === undefined) {`,
      after: `        const values = given.get(parameter)
        if (values === undefined || (emptyIsMissing && values[0] === '')) {`,
    },
  ],
  probe: `import { deepEqual } from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { readConfig } from '../proxy/config/load.ts'
import { compileRoute } from '../proxy/http/routes/route.ts'
import { describeRoute } from '../proxy/http/routes/description.ts'
import { changedRoutes } from '../proxy/http/routes/routing.ts'
import { routeTable } from '../proxy/http/routes/table.ts'

const file = 'probe.yaml'
function routeWith(setting: string) {
  const parameters = '{ q: { type: string, default: all } }'
  writeFileSync(file, \`routes: { one: { path: /one, sql: "select :q", parameters: \${parameters}\${setting} } }\`)
  const [config] = readConfig(file, {}).routes
  if (config === undefined) throw new Error('There is no route.')
  return compileRoute(config)
}
const [route, plain] = [routeWith(', emptyIsMissing: true'), routeWith('')]
const given = new Map([['q', ['']]])
deepEqual(route.read(given), { params: Object.assign(Object.create(null), { q: 'all' }) })
deepEqual('faults' in plain.read(given), true)
deepEqual(JSON.stringify(describeRoute(route)).includes('"emptyIsMissing":true'), true)
deepEqual(changedRoutes(routeTable([plain]), routeTable([route])), ['one'])
`,
}
