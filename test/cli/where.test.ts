import fc from 'fast-check'
import t from 'tap'
import { Failure } from '../../cli/failure.ts'
import { parseScalar, parseWhere, whereText } from '../../cli/where.ts'
import type { Clause } from '../../schemas/clause.ts'
import { OPERATORS } from '../../schemas/operator.ts'
import { runs } from '../runs.ts'

const FORMS: readonly [text: string, clause: Clause][] = [
  ['/device/os=android', { attribute: '/device/os', op: 'in', values: ['android'] }],
  ['country=de,at', { attribute: 'country', op: 'in', values: ['de', 'at'] }],
  ['country = de , at', { attribute: 'country', op: 'in', values: ['de', 'at'] }],
  ['plan!=free', { attribute: 'plan', op: 'in', values: ['free'], negate: true }],
  ['/account/id=17', { attribute: '/account/id', op: 'in', values: [17] }],
  ['/account/id="17"', { attribute: '/account/id', op: 'in', values: ['17'] }],
  [`/account/id='17',18`, { attribute: '/account/id', op: 'in', values: ['17', 18] }],
  ['beta=true', { attribute: 'beta', op: 'in', values: [true] }],
  ['name="a,b",c', { attribute: 'name', op: 'in', values: ['a,b', 'c'] }],
  ['name="say \\"hi\\""', { attribute: 'name', op: 'in', values: ['say "hi"'] }],
  ['version=007', { attribute: 'version', op: 'in', values: ['007'] }],
  ['email~@acme\\.com$', { attribute: 'email', op: 'matches', values: ['@acme\\.com$'] }],
  ['email~^a{1,3},b', { attribute: 'email', op: 'matches', values: ['^a{1,3},b'] }],
  ['email!~@acme', { attribute: 'email', op: 'matches', values: ['@acme'], negate: true }],
  ['name^=a,5', { attribute: 'name', op: 'startsWith', values: ['a', '5'] }],
  ['name$=z', { attribute: 'name', op: 'endsWith', values: ['z'] }],
  ['name*=m', { attribute: 'name', op: 'contains', values: ['m'] }],
  ['name!*=m', { attribute: 'name', op: 'contains', values: ['m'], negate: true }],
  ['age<5', { attribute: 'age', op: 'lessThan', values: [5] }],
  ['age<=5.5', { attribute: 'age', op: 'lessThanOrEqual', values: [5.5] }],
  ['age>-1', { attribute: 'age', op: 'greaterThan', values: [-1] }],
  ['age>=1e3', { attribute: 'age', op: 'greaterThanOrEqual', values: [1000] }],
  ['/app/version<2.5.0', { attribute: '/app/version', op: 'semverLessThan', values: ['2.5.0'] }],
  ['/app/version>=2.5.0-beta.1', { attribute: '/app/version', op: 'semverGreaterThanOrEqual', values: ['2.5.0-beta.1'] }],
  ['since<2026-11-21T03:12:00Z', { attribute: 'since', op: 'before', values: ['2026-11-21T03:12:00Z'] }],
  ['since>2026-11-21T03:12:00+01:00', { attribute: 'since', op: 'after', values: ['2026-11-21T03:12:00+01:00'] }],
  ['ip in-cidr 10.0.0.0/8,::1', { attribute: 'ip', op: 'inCidr', values: ['10.0.0.0/8', '::1'] }],
  ['ip not inCidr 10.0.0.0/8', { attribute: 'ip', op: 'inCidr', values: ['10.0.0.0/8'], negate: true }],
  ['score between 1,5', { attribute: 'score', op: 'between', values: [1, 5] }],
  ['version semver-less-than 3', { attribute: 'version', op: 'semverLessThan', values: ['3'] }],
  ['plan exists', { attribute: 'plan', op: 'exists', values: [true] }],
  ['plan missing', { attribute: 'plan', op: 'exists', values: [false] }],
  ['segment=beta', { op: 'segment', values: ['beta'] }],
  ['segment!=beta,gold', { op: 'segment', values: ['beta', 'gold'], negate: true }],
  ['/segment=a', { attribute: '/segment', op: 'in', values: ['a'] }],
  ['"segment"=a', { attribute: 'segment', op: 'in', values: ['a'] }],
  ['"odd = name"=a', { attribute: 'odd = name', op: 'in', values: ['a'] }],
]

t.test('every form of --where is the clause it says', async t => {
  for (const [text, clause] of FORMS) t.same(parseWhere(text), clause, text)
})

t.test('what cannot be meant is refused with the form that was expected', async t => {
  const texts = [
    '',
    'plan',
    '=android',
    'plan=',
    'plan=a,,b',
    'plan==a',
    'plan<',
    'app.version<2.5',
    'plan<abc',
    'plan<1,2',
    'since<=2026-11-21T03:12:00Z',
    'plan ~',
    'segment~a',
    'segment foo',
    'plan frob a',
    'plan exists yes',
    'id=12345678901234567890',
  ]
  for (const text of texts) {
    try {
      parseWhere(text)
      t.fail(`${JSON.stringify(text)} was taken`)
    } catch (error) {
      t.ok(error instanceof Failure && error.exitCode === 2 && error.advice !== null, text)
    }
  }
})

t.test('every operator can be said', async t => {
  for (const op of OPERATORS) {
    if (op === 'segment' || op === 'exists') continue
    t.equal(parseWhere(`a ${op} 1.2.3`).op, op)
  }
})

t.test('a value is text unless it is a JSON number or boolean', async t => {
  t.same(['1', '-1.5', 'true', '"true"', 'x', '1.2.3', '0x10', 'null', '01'].map(parseScalar), [
    1,
    -1.5,
    true,
    'true',
    'x',
    '1.2.3',
    '0x10',
    'null',
    '01',
  ])
})

t.test('what whereText says is read back as the same clause', async t => {
  const text = fc.string({ minLength: 1, maxLength: 12 })
  const scalar = fc.oneof(
    text,
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter(value => !Object.is(value, -0)),
    fc.boolean(),
  )
  const clause: fc.Arbitrary<Clause> = fc
    .record({
      attribute: fc.oneof(text, fc.constantFrom('/device/os', 'plan', 'segment')),
      op: fc.constantFrom(...OPERATORS),
      values: fc.array(scalar, { minLength: 1, maxLength: 3 }),
      negate: fc.boolean(),
    })
    .map(({ attribute, op, values, negate }) => ({ ...(op === 'segment' ? {} : { attribute }), op, values, ...(negate ? { negate } : {}) }))
  let said = 0
  fc.assert(
    fc.property(clause, given => {
      const where = whereText(given)
      if (where === null) return true
      said += 1
      const { attribute, op, values, negate } = parseWhere(where)
      return (
        JSON.stringify([attribute, op, values, negate === true]) ===
        JSON.stringify([given.attribute, given.op, given.values, given.negate === true])
      )
    }),
    runs(500),
  )
  t.ok(said > 100, 'most clauses can be said')
  for (const [, clause] of FORMS) t.same(parseWhere(whereText(clause) ?? ''), clause)
  t.equal(whereText({ attribute: 'a', op: 'in', values: ['b'], ignoreCase: true }), null)
})
