/** The front door: everything an application may use. */
export { connect } from './connect.ts'
export type {
  Acquired,
  Context,
  Details,
  EvaluationError,
  Events,
  Explanation,
  Json,
  Limited,
  LimitReason,
  Logger,
  Options,
  Ready,
  Reason,
  Reported,
  Sluice,
  Status,
  Step,
  ValueType,
} from './types.ts'
