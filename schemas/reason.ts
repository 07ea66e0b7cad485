/** Why a value came out. Plain constants without imports: the evaluator and the SDK use them as they are. */

export const REASONS = ['KILLED', 'OFF', 'PREREQUISITE_FAILED', 'TARGET_MATCH', 'RULE_MATCH', 'FALLTHROUGH', 'ERROR'] as const
export type Reason = (typeof REASONS)[number]

/** What an `ERROR` was. */
export const EVALUATION_ERRORS = ['FLAG_NOT_FOUND', 'TYPE_MISMATCH', 'MALFORMED_FLAG', 'PREREQUISITE_CYCLE', 'NOT_READY'] as const
export type EvaluationError = (typeof EVALUATION_ERRORS)[number]

/** The types a flag's values can have; all values of one flag share one. */
export const VALUE_TYPES = ['boolean', 'string', 'number', 'object'] as const
export type ValueType = (typeof VALUE_TYPES)[number]
