/** The operators of a clause. Plain constants without imports. What each does: `docs/evaluation.md`. */

export const OPERATORS = [
  'in',
  'startsWith',
  'endsWith',
  'contains',
  'matches',
  'lessThan',
  'lessThanOrEqual',
  'greaterThan',
  'greaterThanOrEqual',
  'between',
  'before',
  'after',
  'semverEqual',
  'semverLessThan',
  'semverLessThanOrEqual',
  'semverGreaterThan',
  'semverGreaterThanOrEqual',
  'inCidr',
  'exists',
  'segment',
] as const
export type Operator = (typeof OPERATORS)[number]

/** Operators that know the `ignoreCase` switch. */
export const TEXT_OPERATORS: readonly Operator[] = ['in', 'startsWith', 'endsWith', 'contains']
