/** What a schema cannot say about one segment: rule ids that must differ, operands that must work, segments that must exist. */
import type { ErrorDetail } from '../../schemas/errors.ts'
import { DOCUMENT_BYTES_MAX } from '../../schemas/limits.ts'
import type { Segment, SegmentInput, SegmentPatch } from '../../schemas/segment.ts'
import { clauseProblems, duplicates } from '../flags/validate.ts'
import { bytesOf, type Draft } from '../rulesets/draft.ts'

/** Everything wrong with a segment in the environment it would stand in. Empty when it is right. */
export function segmentProblems(segment: Segment, draft: Draft): ErrorDetail[] {
  const problems = [
    ...duplicates(
      segment.rules,
      rule => rule.id,
      i => `rules[${i}].id`,
      'rule id',
    ),
    ...segment.rules.flatMap((rule, i) => clauseProblems(rule.clauses, draft, `rules[${i}].`)),
  ]
  const bytes = bytesOf(segment)
  if (bytes > DOCUMENT_BYTES_MAX) {
    problems.push({
      path: '',
      code: 'too_large',
      message: `the segment has ${bytes} bytes as JSON, more than ${DOCUMENT_BYTES_MAX}. Divide it into several.`,
    })
  }
  return problems
}

/** The whole document from what people write: what is left out is empty. */
export function completeSegment(input: SegmentInput): Segment {
  return arrangedSegment({
    ...input,
    version: 1,
    included: input.included ?? [],
    excluded: input.excluded ?? [],
    rules: input.rules ?? [],
  })
}

/** The segment with some fields replaced; `null` removes an optional one. */
export function patchSegment(segment: Segment, patch: SegmentPatch): Segment {
  const result: Record<string, unknown> = { ...segment }
  for (const [field, value] of Object.entries(patch)) {
    if (field === 'comment') continue
    if (value === null) delete result[field]
    else if (value !== undefined) result[field] = value
  }
  return arrangedSegment(result as unknown as Segment)
}

const FIELDS = ['key', 'name', 'description', 'version', 'included', 'excluded', 'rules'] as const satisfies readonly (keyof Segment)[]

function arrangedSegment(segment: Segment): Segment {
  const result: Record<string, unknown> = {}
  for (const field of FIELDS) if (segment[field] !== undefined) result[field] = segment[field]
  return result as unknown as Segment
}
