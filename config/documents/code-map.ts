import { globSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { table } from './markdown.ts'

const proxyFolder = new URL('../../proxy/', import.meta.url)

/** Each file of proxy/, and its first comment. Throws for a file without one. */
export function codeMap(): string {
  const files = globSync('**/*.ts', { cwd: fileURLToPath(proxyFolder) }).map((file) => file.replaceAll('\\', '/'))
  const rows = files.sort(byFolder).map((file) => {
    const [, says] = /^(?:#!.*\n)?\/\/ (.+)\.\n/.exec(readFileSync(new URL(file, proxyFolder), 'utf8')) ?? []
    if (says === undefined) throw new Error(`proxy/${file} does not begin with a one-line comment about its content.`)
    return [`\`${file}\``, says]
  })
  return table(['file', 'content'], rows)
}

/** The files of the top first, then folder by folder. */
function byFolder(a: string, b: string): number {
  const [folderA, folderB] = [posix.dirname(a), posix.dirname(b)]
  return folderA === folderB ? (a < b ? -1 : 1) : folderA < folderB ? -1 : 1
}
