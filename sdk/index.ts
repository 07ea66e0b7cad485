/** The front door: everything an application may use. */
export { connect } from './connect.ts'
export type {
  Context,
  Details,
  EvaluationError,
  Events,
  Explanation,
  Json,
  Logger,
  Options,
  Ready,
  Reason,
  Sluice,
  Status,
  Step,
  ValueType,
} from './types.ts'
