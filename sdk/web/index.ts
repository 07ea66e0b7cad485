/** The front door of the web SDK: everything a page may use. */
export { connect } from './connect.ts'
export type { Context, Details, EvaluationError, Events, Json, Logger, Ready, Reason, ValueType } from '../types.ts'
export type { Options, Sluice, Status } from './types.ts'
