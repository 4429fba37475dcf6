import { table } from '../../bench/markdown.ts'
import { jsonSchema } from '../../proxy/config/json-schema.ts'

/** The parts of a JSON Schema that the tables show. */
interface Node {
  type?: string
  description?: string
  default?: unknown
  const?: unknown
  enum?: unknown[]
  properties?: Record<string, Node>
  additionalProperties?: Node | false
  anyOf?: Node[]
  oneOf?: Node[]
  required?: string[]
  items?: Node
}

const root = jsonSchema() as Node
const route = eachOf(child(root, 'routes'))

/** The settings of the file, without those of routes. */
export const settingsTable = () => table(['setting', 'default', 'meaning'], settings(root))

/** The settings of a route. */
export const routeSettingsTable = () => table(['setting of a route', 'default', 'meaning'], settings(route))

/** The types of a route's parameters, and the settings of each type. */
export function parametersTable(): string {
  const types = eachOf(child(route, 'parameters')).oneOf ?? []
  const rows = types.flatMap((type) => {
    const name = `\`${type.properties?.type?.const}\``
    const [, ...own] = settings(type) // the first is `type` itself
    return own.map((row) => [name, ...row])
  })
  return table(['type', 'setting', 'default', 'meaning'], rows)
}

/** One row for each setting. Sections of the file are walked into; mappings with names of the user's are not. */
function settings(node: Node, path = ''): string[][] {
  return Object.entries(node.properties ?? {}).flatMap(([name, setting]) => {
    const at = path === '' ? name : `${path}.${name}`
    if (setting.properties !== undefined && setting.description === undefined) return settings(setting, at)
    if (at === 'routes') return []
    return [[`\`${at}\``, presetOf(node, name, setting), setting.description ?? '']]
  })
}

function child({ properties }: Node, name: string): Node {
  const found = properties?.[name]
  if (found === undefined) throw new Error(`The schema has no ${name}.`)
  return found
}

/** The schema of the values of a mapping. */
function eachOf({ additionalProperties }: Node): Node {
  if (!additionalProperties) throw new Error('The schema describes no mapping here.')
  return additionalProperties
}

function presetOf(parent: Node, name: string, setting: Node): string {
  if (setting.default !== undefined)
    return `\`${typeof setting.default === 'string' ? setting.default : JSON.stringify(setting.default)}\``
  return parent.required?.includes(name) ? 'required' : 'none'
}
