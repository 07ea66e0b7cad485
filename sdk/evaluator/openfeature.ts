/** Our reasons in OpenFeature's words. */
import type { Evaluation } from './evaluation.ts'

export type OpenFeatureReason = 'STATIC' | 'DEFAULT' | 'TARGETING_MATCH' | 'SPLIT' | 'DISABLED' | 'ERROR'

export function openFeatureReason(evaluation: Evaluation): OpenFeatureReason {
  switch (evaluation.reason) {
    case 'KILLED':
    case 'OFF':
    case 'PREREQUISITE_FAILED':
      return 'DISABLED'
    case 'TARGET_MATCH':
      return 'TARGETING_MATCH'
    case 'RULE_MATCH':
      return evaluation.rollout === true ? 'SPLIT' : 'TARGETING_MATCH'
    case 'FALLTHROUGH':
      return evaluation.rollout === true ? 'SPLIT' : evaluation.static === true ? 'STATIC' : 'DEFAULT'
    case 'ERROR':
      return 'ERROR'
  }
}
