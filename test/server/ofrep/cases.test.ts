/** The evaluation cases, the same that the evaluator and the SDK run, through the HTTP route. */
import t from 'tap'
import { type CaseGroup, evaluationCases, type Expected } from '../../evaluator/cases.ts'
import { type Answer, ENVIRONMENT, type Environment, startEnvironment } from './environment.ts'

/** What of an expected result an OFREP client can see, in OFREP's place for it. */
function seen(expected: Expected): object {
  if (expected.reason === 'ERROR') {
    if (expected.error === 'FLAG_NOT_FOUND') return { errorCode: 'FLAG_NOT_FOUND' }
    return { errorCode: expected.error === 'MALFORMED_FLAG' ? 'PARSE_ERROR' : 'GENERAL' }
  }
  const { value, variation, reason, ruleId, killId, prerequisite, unbucketed, openFeature } = expected
  return {
    ...('value' in expected ? { value } : {}),
    ...(typeof variation === 'string' ? { variant: variation } : {}),
    ...(openFeature === undefined ? {} : { reason: openFeature }),
    metadata: { reason, ruleId, killId, prerequisite, unbucketed },
  }
}

/** The same fields of an answer, the others left out. */
function shown(answer: Answer, like: object): object {
  const { reason, ruleId, killId, prerequisite, unbucketed } = answer.metadata ?? {}
  const all: Record<string, unknown> = { ...answer, metadata: { reason, ruleId, killId, prerequisite, unbucketed } }
  return Object.fromEntries(Object.keys(like).map(name => [name, all[name]]))
}

interface Named {
  readonly key: string
  readonly kills?: readonly unknown[]
}
const isNamed = (document: unknown): document is Named => typeof (document as Named | null)?.key === 'string'

/** Puts a group's ruleset in place of the former: by import where it can be written, else as documents of the log. */
async function place(environment: Environment, group: CaseGroup): Promise<{ status: number; body: unknown }> {
  await environment.replace([], [])
  const { flags, segments } = group.ruleset
  // An import brings no kills, and a kill made over HTTP has an id of the server's own.
  const isKilled = flags.some(flag => isNamed(flag) && (flag.kills?.length ?? 0) > 0)
  if (group.readOnly || isKilled) {
    await environment.replace(flags.filter(isNamed), segments.filter(isNamed))
    return { status: 200, body: {} }
  }
  return environment.call('PUT', `${ENVIRONMENT}/ruleset`, { flags, segments })
}

type Evaluate = (flag: string, context: unknown) => Promise<Answer>

function alone(environment: Environment): Evaluate {
  return async (flag, context) => (await environment.evaluate(flag, context)).body
}

/** Groups with more cases than this ask for all flags of a context in one request. */
const MANY = 500

function allAtOnce(environment: Environment): Evaluate {
  const asked = new Map<string, ReadonlyMap<string | undefined, Answer>>()
  return async (flag, context) => {
    const text = JSON.stringify(context)
    const answers = asked.get(text) ?? new Map((await environment.evaluate(null, context)).body.flags?.map(answer => [answer.key, answer]))
    asked.set(text, answers)
    return answers.get(flag) ?? {}
  }
}

t.test('what can only be read is refused when it is written', async t => {
  const environment = await startEnvironment(t, [])
  for (const group of evaluationCases().filter(({ readOnly }) => readOnly)) {
    const { status } = await environment.call('PUT', `${ENVIRONMENT}/ruleset`, group.ruleset)
    t.ok(status === 400 || status === 422, `${group.file} ${group.name}: ${status}`)
  }
})

t.test('every evaluation case', async t => {
  const environment = await startEnvironment(t, [])
  for (const group of evaluationCases()) {
    const placed = await place(environment, group)
    t.equal(placed.status, 200, `${group.file} ${group.name} ${placed.status === 200 ? '' : JSON.stringify(placed.body).slice(0, 400)}`)
    const evaluate = group.cases.length > MANY ? allAtOnce(environment) : alone(environment)
    for (const { name, flag, context, expect } of group.cases) {
      // What a caller's default does to a result is decided in the client.
      if (expect.error === 'TYPE_MISMATCH') continue
      const body = await evaluate(flag, context)
      const wanted = seen(expect)
      t.same(shown(body, wanted), wanted, `${group.file} ${group.name}: ${name}`)
    }
  }
})
