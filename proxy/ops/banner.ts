// The text printed at the start.
/** The facts printed once the program serves. Addresses without secrets. */
export interface Serving {
  version: string
  routes: readonly { name: string; path: string }[]
  /** The address of the client listener; `here`: the same listener, reachable from this machine. */
  clients: string
  here: string
  admin: string
  needsToken: boolean
  tiers: readonly string[]
  database: string
  /** The upstream; without one, a request that no route answers gets a 404. */
  upstream: string | undefined
  /** Address of the example database for a person who wants to change a row. */
  ownerUrl: string | undefined
  warnings: readonly string[]
}

/** The lines printed at the start: addresses, tiers, database, upstream, warnings, and commands to try. */
export function banner(serving: Serving): string {
  const { version, routes, clients, admin, tiers, database, upstream, ownerUrl, warnings } = serving
  return [
    `onramp ${version} is ready: ${routes.length} route${routes.length === 1 ? '' : 's'}`,
    `  clients   ${clients}`,
    `  admin     ${admin}`,
    `  tiers     ${tiers.join(', ')}`,
    `  database  ${database}`,
    ...(ownerUrl === undefined ? [] : [`            change a row: psql ${ownerUrl}`]),
    `  upstream  ${upstream ?? 'none: a request that no route answers gets a 404'}`,
    ...warnings.map((warning) => `  warning   ${warning}`),
    '',
    'Try:',
    ...toTry(serving).map((command) => `  ${command}`),
  ].join('\n')
}

function toTry({ routes, here, admin, needsToken }: Serving): string[] {
  const curl = (address: string) => {
    const socket = address.startsWith('unix:') ? ` --unix-socket ${address.slice('unix:'.length)}` : ''
    const insecure = address.startsWith('https:') ? ' -k' : ''
    return `curl${socket}${insecure}`
  }
  const at = (address: string) => (address.startsWith('unix:') ? 'http://localhost' : address)
  const bearer = needsToken ? ' -H "Authorization: Bearer $ADMIN_TOKEN"' : ''
  const purge = (body: object) =>
    `${curl(admin)} -H 'Content-Type: application/json'${bearer} -d '${JSON.stringify(body)}' ${at(admin)}/purge`
  const isExample = routes.some(({ path }) => path === '/api/plans/search')
  if (isExample) {
    return [
      `${curl(here)} -i '${at(here)}/api/states'`,
      `${curl(here)} -i '${at(here)}/api/plans/search?county=51059&ages=34,32,5&metal=Silver'`,
      purge({ tags: ['county:51059'] }),
    ]
  }
  const simplest = routes.find(({ path }) => !path.includes(':')) ?? routes[0]
  if (simplest === undefined) return [`${curl(admin)} ${at(admin)}/stats`]
  return [
    `${curl(here)} -i '${at(here)}${simplest.path.replace(/:(\w+)/g, '<$1>')}'`,
    `${curl(admin)} ${at(admin)}/routes`,
    purge({ route: simplest.name }),
  ]
}
