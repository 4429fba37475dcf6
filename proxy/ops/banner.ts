/** What the program says of itself once it serves. Addresses without secrets. */
export interface Serving {
  version: string
  routes: readonly { name: string; path: string }[]
  /** Where clients are served, and an address of it that can be asked from here. */
  clients: string
  here: string
  admin: string
  needsToken: boolean
  tiers: readonly string[]
  database: string
  /** An address for people who want to change a row; the example database has one. */
  ownerUrl: string | undefined
  warnings: readonly string[]
}

/** The lines printed at the start: addresses, tiers, database, routes, and three things to try. */
export function banner(serving: Serving): string {
  const { version, routes, clients, admin, tiers, database, ownerUrl, warnings } = serving
  return [
    `onramp ${version} is ready: ${routes.length} route${routes.length === 1 ? '' : 's'}`,
    `  clients   ${clients}`,
    `  admin     ${admin}`,
    `  tiers     ${tiers.join(', ')}`,
    `  database  ${database}`,
    ...(ownerUrl === undefined ? [] : [`            change a row: psql ${ownerUrl}`]),
    ...warnings.map((warning) => `  warning   ${warning}`),
    '',
    'Try:',
    ...toTry(serving).map((command) => `  ${command}`),
  ].join('\n')
}

function toTry({ routes, here, admin, needsToken }: Serving): string[] {
  const bearer = needsToken ? ' -H "Authorization: Bearer $ADMIN_TOKEN"' : ''
  const purge = (body: object) =>
    `curl -H 'Content-Type: application/json'${bearer} -d '${JSON.stringify(body)}' ${admin}/purge`
  const isExample = routes.some(({ path }) => path === '/api/plans/search')
  if (isExample) {
    return [
      `curl -i '${here}/api/states'`,
      `curl -i '${here}/api/plans/search?county=51059&ages=34,32,5&metal=Silver'`,
      purge({ tags: ['county:51059'] }),
    ]
  }
  const simplest = routes.find(({ path }) => !path.includes(':')) ?? routes[0]
  if (simplest === undefined) return [`curl ${admin}/stats`]
  return [`curl -i '${here}${simplest.path}'`, `curl ${admin}/routes`, purge({ route: simplest.name })]
}
