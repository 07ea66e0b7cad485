import { readFileSync } from 'node:fs'
import t from 'tap'
import { OPERATORS } from '../../schemas/operator.ts'
import { EVALUATION_ERRORS, REASONS } from '../../schemas/reason.ts'

const text = readFileSync(new URL('../../../docs/evaluation.md', import.meta.url), 'utf8')

t.test('every operator, reason and error is explained in docs/evaluation.md', async t => {
  const missing = [...OPERATORS, ...REASONS, ...EVALUATION_ERRORS].filter(word => !text.includes(`\`${word}\``))
  t.strictSame(missing, [])
})
