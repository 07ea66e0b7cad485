/** Prepares one segment. */
import { type Gathered, prepareClauses, prepareList } from './clause.ts'
import { fieldsOf, listOf, Malformed, textOf } from './document.ts'
import { VERDICTS } from './match.ts'
import type { Linking, PreparedList, PreparedSegment, PreparedSegmentRule } from './prepared.ts'

const NO_NAMES: readonly string[] = []

/** One that cannot be understood contains nobody. */
export function prepareSegment(key: string, document: unknown, linking: Pick<Linking, 'segmentLink' | 'attributes'>): PreparedSegment {
  const gathered: Gathered = {
    attributes: linking.attributes,
    unknownOperators: null,
    segments: null,
    segmentLink: key => linking.segmentLink(key),
  }
  let malformed: string | null = null
  let [included, excluded, rules]: [PreparedList[], PreparedList[], PreparedSegmentRule[]] = [[], [], []]
  try {
    const fields = fieldsOf(document, '')
    included = prepareLists(fields.included, 'included', gathered)
    excluded = prepareLists(fields.excluded, 'excluded', gathered)
    rules = prepareRules(fields.rules, gathered)
  } catch (error) {
    malformed = error instanceof Malformed ? error.message : 'cannot be prepared'
  }
  return {
    key,
    unknownOperators: gathered.unknownOperators === null ? NO_NAMES : [...gathered.unknownOperators],
    malformed,
    blocked: null,
    included,
    excluded,
    rules,
    names: malformed !== null || gathered.segments === null ? NO_NAMES : [...gathered.segments],
    turn: 0,
    era: 0,
    verdict: VERDICTS.nothing,
  }
}

function prepareLists(value: unknown, path: string, gathered: Gathered): PreparedList[] {
  return listOf(value, path).map((item, i) => prepareList(fieldsOf(item, `${path}[${i}]`), `${path}[${i}]`, gathered))
}

function prepareRules(value: unknown, gathered: Gathered): PreparedSegmentRule[] {
  return listOf(value, 'rules').map((item, i) => {
    const fields = fieldsOf(item, `rules[${i}]`)
    const rule = textOf(fields.id, `rules[${i}].id`)
    return {
      clauses: prepareClauses(fields.clauses, `rules[${i}].clauses`, gathered),
      verdict: Object.freeze({ matched: true, by: 'rule', rule }),
    }
  })
}
