/** What was decided, in OpenFeature's words: the same in a server's answer and in an application's own process. */
import type { EvaluationError } from '../../schemas/reason.ts'
import type { Evaluation } from './evaluation.ts'

export type OpenFeatureReason = 'STATIC' | 'DEFAULT' | 'TARGETING_MATCH' | 'SPLIT' | 'DISABLED' | 'ERROR'

/** OpenFeature's metadata is flat: texts, numbers and booleans. */
export type OpenFeatureMetadata = Record<string, string | number | boolean>

/** What the metadata says of its own accord. */
const OURS: ReadonlySet<string> = new Set([
  'reason',
  'error',
  'ruleId',
  'killId',
  'prerequisite',
  'unbucketed',
  'flagVersion',
  'revision',
  'stale',
])

export function openFeatureReason(evaluation: Pick<Evaluation, 'reason' | 'rollout' | 'static'>): OpenFeatureReason {
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

/** @returns one of OpenFeature's error codes */
export function openFeatureError(error: EvaluationError | undefined) {
  switch (error) {
    case 'FLAG_NOT_FOUND':
    case 'TYPE_MISMATCH':
      return error
    case 'MALFORMED_FLAG':
      return 'PARSE_ERROR'
    case 'NOT_READY':
      return 'PROVIDER_NOT_READY'
    case 'PREREQUISITE_CYCLE':
    case undefined:
      return 'GENERAL'
  }
}

/**
 * Our own reason, and where it came from.
 * @param own the flag's own metadata
 * @param revision of the ruleset that was evaluated
 * @param showRules whether the caller may know rules, kills and prerequisites by their ids; a browser may not
 */
export function openFeatureMetadata(
  evaluation: Omit<Evaluation, 'value' | 'type'>,
  own: Readonly<OpenFeatureMetadata> | null | undefined,
  revision: number,
  showRules: boolean,
): OpenFeatureMetadata {
  const { reason, error } = evaluation
  if (reason === 'ERROR') return { reason, ...(error === undefined ? {} : { error }), revision }
  const metadata: OpenFeatureMetadata = { reason }
  // A flag's own must not pass for what we say, not even where we say nothing.
  for (const name in own) if (!OURS.has(name)) metadata[name] = own[name]!
  if (showRules) {
    if (evaluation.ruleId !== undefined) metadata.ruleId = evaluation.ruleId
    if (evaluation.killId !== undefined) metadata.killId = evaluation.killId
    if (evaluation.prerequisite !== undefined) metadata.prerequisite = evaluation.prerequisite
  }
  if (evaluation.unbucketed === true) metadata.unbucketed = true
  if (evaluation.flagVersion !== null) metadata.flagVersion = evaluation.flagVersion
  metadata.revision = revision
  return metadata
}
