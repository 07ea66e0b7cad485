/** Chooses within a rollout. */
import type { Context } from '../../schemas/context.ts'
import { readRaw } from './attribute.ts'
import { bucketKeyOf, bucketOf } from './bucket.ts'
import type { Outcome } from './evaluation.ts'
import type { PreparedRollout } from './prepared.ts'

export function roll(rollout: PreparedRollout, context: Context): Outcome {
  return shareAt(rollout, placeOf(rollout, context))
}

/** The context's bucket; null when it has no value to bucket by. */
export function placeOf({ by, seed }: PreparedRollout, context: Context): number | null {
  const key = bucketKeyOf(readRaw(by, context))
  return key === null ? null : bucketOf(key, seed)
}

/** Weights fill the buckets in order; the last share takes what remains, also of weights that do not add up. */
export function shareAt({ bounds, results, unbucketed }: PreparedRollout, bucket: number | null): Outcome {
  if (bucket === null) return unbucketed
  let i = 0
  while (i < bounds.length && bucket >= bounds[i]!) i++
  return results[i]!
}
