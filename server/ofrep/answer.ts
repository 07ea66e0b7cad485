/** What the evaluator decided, in OFREP's words. Our own reason and where it came from go into the metadata. */
import type { Flag } from '../../schemas/flag.ts'
import type { Json } from '../../schemas/json.ts'
import type { Evaluation } from '../../sdk/evaluator/evaluate.ts'
import { openFeatureMetadata, type OpenFeatureMetadata, openFeatureReason } from '../../sdk/evaluator/openfeature.ts'

export interface Success {
  readonly key: string
  readonly value: Json
  readonly variant: string
  readonly reason: string
  readonly metadata: OpenFeatureMetadata
}

/** The error codes of OFREP that a server can answer with. */
export type FailureCode = 'PARSE_ERROR' | 'INVALID_CONTEXT' | 'FLAG_NOT_FOUND' | 'GENERAL'

export interface Failure {
  readonly key: string
  readonly errorCode: FailureCode
  readonly errorDetails: string
  readonly metadata?: OpenFeatureMetadata
}

/** The HTTP status of a failed single evaluation. */
export const FAILURE_STATUS: Readonly<Record<FailureCode, number>> = {
  PARSE_ERROR: 400,
  INVALID_CONTEXT: 400,
  FLAG_NOT_FOUND: 404,
  GENERAL: 400,
}

/**
 * @param flag the flag's document, for the metadata it brings itself
 * @param revision of the ruleset that was evaluated
 * @param showRules whether the caller may know rules, kills and prerequisites by their ids; a browser may not
 */
export function answerOf(key: string, evaluation: Evaluation, flag: Flag, revision: number, showRules: boolean): Success | Failure {
  if (evaluation.reason === 'ERROR' || evaluation.variation === null || evaluation.value === undefined)
    return failureOf(key, evaluation, revision, showRules)
  return {
    key,
    value: evaluation.value,
    variant: evaluation.variation,
    reason: openFeatureReason(evaluation),
    metadata: openFeatureMetadata(evaluation, flag.metadata, revision, showRules),
  }
}

/** A success as it goes out. */
export interface Text {
  readonly key: string
  readonly revision: number
  readonly text: string
  readonly headers: Readonly<Record<string, string>>
}

/** What was last sent for an evaluation: results are few and shared, requests are many. Gone with the ruleset they belong to. */
const withRules = new WeakMap<Evaluation, Text>()
const withoutRules = new WeakMap<Evaluation, Text>()

/** As `answerOf`, a success as its JSON. */
export function successText(key: string, evaluation: Evaluation, flag: Flag, revision: number, showRules: boolean): Text | Failure {
  const texts = showRules ? withRules : withoutRules
  const known = texts.get(evaluation)
  if (known !== undefined && known.revision === revision && known.key === key) return known
  const answer = answerOf(key, evaluation, flag, revision, showRules)
  if ('errorCode' in answer) return answer
  const text = JSON.stringify(answer)
  const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': String(Buffer.byteLength(text)) }
  const made = { key, revision, text, headers }
  texts.set(evaluation, made)
  return made
}

export function notFound(key: string): Failure {
  return {
    key,
    errorCode: 'FLAG_NOT_FOUND',
    errorDetails: `There is no flag "${key}" in this environment that this key may see. Check its spelling, or create it.`,
  }
}

function failureOf(key: string, evaluation: Evaluation, revision: number, showRules: boolean): Failure {
  const errorCode = evaluation.error === 'MALFORMED_FLAG' ? 'PARSE_ERROR' : 'GENERAL'
  const bare = `Flag "${key}" cannot be evaluated: ${evaluation.error ?? evaluation.reason}.`
  // What exactly is wrong names what stands in the flag, and the other flags of a cycle.
  const errorDetails = (showRules ? evaluation.message : undefined) ?? bare
  return { key, errorCode, errorDetails, metadata: openFeatureMetadata(evaluation, null, revision, false) }
}
