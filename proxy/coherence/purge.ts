// The one way a purge takes.
import type { LogFollower } from './follower.ts'

/** What a person asks to be forgotten: tags, a route (with parameters: one entry of it), or everything. */
export type PurgeRequest = { soft: boolean } & (
  | { tags: string[] }
  | { route: string; params?: Record<string, unknown> | undefined }
  | { all: true }
)

/** What a purge did. */
export interface Purged {
  tags: readonly string[]
  soft: boolean
  /** Its place in the invalidation log: whoever sends it as Onramp-Min-Position is never answered older, by any process. */
  position: string | undefined
  /** `fleet`: every process will apply it. `process`: only this one has; the others once Redis can be told. */
  scope: 'fleet' | 'process'
  /** The tiers in which nothing older than it will be found again, by this process. */
  reached: string[]
  /** The tiers that could not be told; they are not used until they have been. */
  missed: string[]
}

/**
 * Makes the one way a purge takes. Once it resolves, this process serves nothing older.
 *
 * `nearest` is memory, which every purge reaches; the tiers `farther` are reached by the log.
 */
export function purger(
  follower: Pick<LogFollower, 'publish'>,
  nearest: { readonly name: string },
  farther: readonly { readonly name: string }[],
) {
  const behind = farther.map(({ name }) => name)
  return async (tags: readonly string[], soft: boolean): Promise<Purged> => {
    const position = await follower.publish({ tags, soft, cause: 'purge' })
    const isInLog = position !== undefined
    return {
      tags,
      soft,
      position: position && `${position.pos}:${position.id}`,
      scope: isInLog ? 'fleet' : 'process',
      reached: isInLog ? [nearest.name, ...behind] : [nearest.name],
      missed: isInLog ? [] : [...behind],
    }
  }
}
