/** The evaluation cases: data in `test/fixtures/evaluation`, run through the evaluator, the SDK and the HTTP route. */
import { readdirSync, readFileSync } from 'node:fs'
import type { Json } from '../../schemas/json.ts'
import type { EvaluationError, Reason, ValueType } from '../../schemas/reason.ts'
import { operatorCases } from './operators.ts'

/** What must come out; a field that is not named is not looked at, but ids and `unbucketed` left out must be absent. */
export interface Expected {
  /** Absent for an `ERROR`: the caller's default comes out. */
  readonly value?: Json
  readonly variation?: string | null
  readonly reason: Reason
  readonly ruleId?: string
  readonly killId?: string
  readonly prerequisite?: string
  readonly error?: EvaluationError
  readonly unbucketed?: true
  /** The reason in OpenFeature's words. */
  readonly openFeature?: string
}

export interface EvaluationCase {
  readonly name: string
  readonly flag: string
  readonly context: { readonly targetingKey?: string; readonly [attribute: string]: Json | undefined }
  /** The caller's default; when absent the flag's own type is asked for. */
  readonly default?: Json
  readonly type?: ValueType
  readonly expect: Expected
}

export interface CaseGroup {
  readonly file: string
  readonly name: string
  /** The write API must refuse this ruleset: it can only be read. */
  readonly readOnly: boolean
  /** As documents; typed loosely, since some are malformed on purpose. */
  readonly ruleset: { readonly flags: readonly unknown[]; readonly segments: readonly unknown[] }
  readonly cases: readonly EvaluationCase[]
}

const FOLDER = new URL('../../../test/fixtures/evaluation/', import.meta.url)

/** Every group of every file, in the files' order; then those of the table of operators. */
export function evaluationCases(): CaseGroup[] {
  const files = readdirSync(FOLDER)
    .filter(name => name.endsWith('.json'))
    .sort()
  const written = files.flatMap(file => {
    const groups = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as (Partial<CaseGroup> &
      Pick<CaseGroup, 'name' | 'ruleset' | 'cases'>)[]
    return groups.map(group => ({ readOnly: false, ...group, file }))
  })
  return [...written, ...operatorCases()]
}
