/** What our client decided, as OpenFeature's SDKs take it: the same for the server's and the web's provider. */
import type { ErrorCode, ResolutionDetails } from '@openfeature/core'
import { openFeatureError, openFeatureMetadata, openFeatureReason } from '../evaluator/openfeature.ts'
import type { Details, Json } from '../types.ts'

/** What both providers are called. */
export const PROVIDER_NAME = 'Sluice'

export function resolutionOf<T extends Json>(details: Details<T>): ResolutionDetails<T> {
  const flagMetadata = openFeatureMetadata(details, details.metadata, details.revision, true)
  if (details.stale) flagMetadata.stale = true
  const reason = openFeatureReason(details)
  if (details.variation !== null) return { value: details.value, variant: details.variation, reason, flagMetadata }
  return {
    value: details.value,
    reason,
    // The enum's values are its names: no need for the package at run time.
    errorCode: openFeatureError(details.error) as ErrorCode,
    ...(details.message === undefined ? {} : { errorMessage: details.message }),
    flagMetadata,
  }
}
