import { cacheTier } from './cache-tier.ts'
import type { Exercise } from './exercise.ts'
import { metric } from './metric.ts'
import { parameterType } from './parameter-type.ts'
import { routeOption } from './route-option.ts'

/** Likely additions to the program, and how many files each may change. */
export const exercises: readonly Exercise[] = [routeOption, metric, cacheTier, parameterType]
