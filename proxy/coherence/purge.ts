// Purges, by way of the invalidation log.
import type { LogFollower } from './follower.ts'

/** A purge as a person requests it: tags, a route (with parameters: one entry of it), or everything. */
export type PurgeRequest = { soft: boolean } & (
  | { tags: string[] }
  | { route: string; params?: Record<string, unknown> | undefined }
  | { all: true }
)

/** The effect of a purge. */
export interface Purged {
  tags: readonly string[]
  soft: boolean
  /** Its position in the invalidation log. A client that sends it as Onramp-Min-Position gets no older answer, from any process. */
  position: string | undefined
  /** `fleet`: every process will apply it. `process`: only this one has; the others will, once Redis is reachable. */
  scope: 'fleet' | 'process'
  /** The tiers in which this process will find nothing older again. */
  reached: string[]
  /** The tiers that could not be told. They are not used until they have been. */
  missed: string[]
}

/**
 * Makes the function that every purge calls. Once it resolves, this process serves nothing older.
 *
 * `nearest` is memory, which every purge reaches. The log carries the purge to the tiers `farther`.
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
