// Opens the configured database: one at an address, or the example, which it starts.
import { withoutSecrets } from './address.ts'
import { Refusal } from './errors.ts'
import { startEmbedded } from './example/embedded.ts'
import { checkServer } from './origin/server-check.ts'

export interface Database {
  url: string
  /** The address without its password. */
  shown: string
  /** The address of the owner of the tables, to change rows by hand. Only the example has one. */
  ownerUrl?: string
  stop(): Promise<void>
}

/** What starting the example needs from the process. */
export interface ExampleOptions {
  dataDir: string
  marketplaceDir: string
  print(text: string): void
  isAskedToStop(): boolean
}

/**
 * Resolves once the database answers. Throws a {@link Refusal} if it does not, or if the process is told to stop first.
 */
export async function openDatabase(url: string, example: ExampleOptions): Promise<Database> {
  if (url === 'embedded') return openExample(example)
  const shown = withoutSecrets(url)
  await checkServer(url, shown)
  return { url, shown, stop: async () => {} }
}

async function openExample({ print, isAskedToStop, ...folders }: ExampleOptions): Promise<Database> {
  const began = performance.now()
  let hasBegun = false
  const progress = (step: string) => {
    if (isAskedToStop())
      throw new Refusal('Stopped before the example database was ready. The next start completes it.')
    if (!hasBegun) print('Preparing the embedded database. Later starts take a second or two.')
    hasBegun = true
    print(`  ${((performance.now() - began) / 1000).toFixed(1).padStart(4)} s  ${step}`)
  }
  const embedded = await startEmbedded({ ...folders, progress })
  return { ...embedded, shown: `embedded, ${withoutSecrets(embedded.url)}` }
}
