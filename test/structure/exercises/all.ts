import { cacheTier } from './cache-tier.ts'
import type { Exercise } from './exercise.ts'
import { metric } from './metric.ts'
import { parameterType } from './parameter-type.ts'
import { routeOption } from './route-option.ts'

/** Additions that the program is likely to see, and how far each may reach. */
export const exercises: readonly Exercise[] = [routeOption, metric, cacheTier, parameterType]
