import t from 'tap'
import { startServer, type TestServer } from '../start.ts'

const P = '/api/v1/projects/default'
const HERE = `${P}/environments/production`
const LIMITS = `${HERE}/flags/api/limits`

const is = (attribute: string, ...values: string[]): object => ({ attribute, op: 'in', values })
const ask = (rate: number, ...clauses: object[]): object => ({ clauses, value: { rate, per: 'second' }, reason: 'hammering' })
const A17 = is('/account/id', 'a-17')

/** A flag with a usual rate of 100 a second, on in production. */
async function begin(t: Parameters<typeof startServer>[0], usual: object = {}): Promise<TestServer> {
  const server = await startServer(t)
  await server.call('POST', `${P}/flags`, {
    key: 'api',
    kind: 'rate-limit',
    variations: [
      { key: 'usual', value: { rate: 100, per: 'second', ...usual } },
      { key: 'off', value: { unlimited: true } },
    ],
  })
  await server.call('PATCH', `${HERE}/flags/api`, { enabled: true })
  return server
}

t.test('one request holds one account: a variation, and a rule before all others', async t => {
  const { call } = await begin(t)
  const usual = { id: 'r1', clauses: [is('/account/plan', 'beta')], serve: { variation: 'off' } }
  await call('PATCH', `${HERE}/flags/api`, { rules: [usual] })
  const held = await call('POST', LIMITS, ask(10, A17))
  t.match(held, {
    status: 201,
    body: {
      existing: false,
      before: null,
      limit: { id: /^limit-[0-9a-f]{10}$/, variation: 'limit-10-per-second', value: { rate: 10, per: 'second', keyBy: ['/account/id'] } },
      change: { action: 'flag.limit', comment: 'hammering' },
      warnings: [{ code: 'everywhere' }],
    },
  })
  t.same(Object.keys(held.body.elsewhere), ['development', 'staging'])
  const flag = (await call('GET', `${HERE}/flags/api`)).body
  t.match(flag.rules, [{ id: held.body.limit.id, description: 'hammering', serve: { variation: 'limit-10-per-second' } }, { id: 'r1' }])
  const elsewhere = (await call('GET', `${P}/environments/staging/flags/api`)).body
  t.same(elsewhere.rules, [], 'nobody is held elsewhere')
  t.same(elsewhere.variations, flag.variations, 'what the flag is, is the same everywhere')

  const explained = async (id: string): Promise<string> =>
    (await call('POST', `${HERE}/explain`, { flag: 'api', context: { account: { id } } })).body.variation
  t.equal(await explained('a-17'), 'limit-10-per-second')
  t.equal(await explained('a-18'), 'usual')
})

t.test('the same clauses change the same limit, and nothing piles up', async t => {
  const { call } = await begin(t)
  const first = (await call('POST', LIMITS, ask(10, A17, is('method', 'POST', 'PUT')))).body
  const same = await call('POST', LIMITS, ask(10, is('method', 'PUT', 'POST'), A17))
  t.match(same, { status: 200, body: { existing: true, change: null, limit: { id: first.limit.id }, revision: first.revision } })
  const lower = await call('POST', LIMITS, ask(2, A17, is('method', 'POST', 'PUT')))
  t.match(lower, { status: 200, body: { existing: false, before: { value: { rate: 10 } }, limit: { id: first.limit.id } } })
  for (const environment of ['development', 'staging', 'production']) {
    const { variations } = (await call('GET', `${P}/environments/${environment}/flags/api`)).body
    t.same(
      variations.map((variation: { key: string }) => variation.key),
      ['usual', 'off', 'limit-2-per-second'],
      `${environment}: the rate that nobody has any more is gone`,
    )
  }
  const other = await call('POST', LIMITS, ask(2, A17))
  t.not(other.body.limit.id, first.limit.id, 'other clauses are another limit')
  t.equal(other.body.limit.variation, 'limit-2-per-second-2', 'which is counted by other attributes')
  t.equal((await call('GET', LIMITS)).body.limits.length, 2)

  const gone = await call('DELETE', `${LIMITS}/${first.limit.id}`)
  t.match(gone, { status: 200, body: { limit: { id: first.limit.id }, change: { action: 'flag.limit' } } })
  t.match((await call('GET', LIMITS)).body.limits, [{ id: other.body.limit.id }])
  t.match(await call('DELETE', `${LIMITS}/${first.limit.id}`), { status: 404, body: { code: 'LIMIT_NOT_FOUND' } })
  await call('DELETE', `${LIMITS}/${other.body.limit.id}`)
  const { variations, rules } = (await call('GET', `${HERE}/flags/api`)).body
  t.same([variations.length, rules], [2, []], 'exactly what stood before')
})

t.test('what is left out is as it stood: unit, cost and what is counted apart', async t => {
  const { call } = await begin(t, { cost: 2, keyBy: ['/account/id', 'method'], onPartition: 'closed', burst: 50 })
  const held = await call('POST', LIMITS, ask(10, A17))
  t.same(
    held.body.limit.value,
    { cost: 2, onPartition: 'closed', keyBy: ['/account/id', 'method'], rate: 10, per: 'second' },
    'but no burst',
  )
  const together = await call('POST', LIMITS, { clauses: [A17], value: { rate: 5, per: 'second', keyBy: [] }, reason: 'all of it' })
  t.match(together.body.limit, { variation: held.body.limit.id, value: { keyBy: [] } }, 'one counter for all, shared with nobody else')
  t.same((await call('POST', LIMITS, ask(4, A17))).body.limit.value.keyBy, [], 'a limit that stands keeps what it counts apart')
})

t.test('a cut and a rate far above what they have are confirmed, lowering never', async t => {
  const { call } = await begin(t)
  t.match(await call('POST', LIMITS, ask(0, A17)), {
    status: 409,
    body: { code: 'RATE_STEP_TOO_LARGE', details: [{ path: 'value.rate' }] },
  })
  t.match(await call('POST', `${LIMITS}?force=true`, ask(0, A17)), {
    status: 201,
    body: { warnings: [{ code: 'cut' }, { code: 'everywhere' }] },
  })
  t.match(await call('POST', LIMITS, ask(100, A17)), { status: 200, body: { limit: { value: { rate: 100 } } } })
  t.match(await call('POST', LIMITS, ask(1_001, A17)), { status: 409 })
  t.match(await call('POST', LIMITS, ask(0.1, A17)), { status: 200 })
})

t.test('what keeps a limit from holding is said', async t => {
  const { call } = await begin(t)
  await call('PATCH', `${HERE}/flags/api`, {
    enabled: false,
    targets: [{ attribute: '/account/id', values: ['a-17'], variation: 'off' }],
  })
  await call('POST', `${HERE}/flags/api/kills`, { reason: 'all is well' })
  const codes = (await call('POST', LIMITS, ask(10, A17))).body.warnings.map((warning: { code: string }) => warning.code)
  t.same(codes, ['killed', 'off', 'target', 'everywhere'])
})

t.test('operators hold and let go, viewers look', async t => {
  const { call, makeKey } = await begin(t)
  const keyOf = async (role: string): Promise<string> =>
    (await makeKey('admin', '', { grants: [{ role, project: 'default', environment: 'production' }] })).token
  const [viewer, operator] = [await keyOf('viewer'), await keyOf('operator')]
  t.equal((await call('POST', LIMITS, ask(10, A17), { key: viewer })).status, 403)
  const held = await call('POST', LIMITS, ask(10, A17), { key: operator })
  t.equal(held.status, 201)
  t.equal((await call('GET', LIMITS, undefined, { key: viewer })).body.limits.length, 1)
  t.equal((await call('DELETE', `${LIMITS}/${held.body.limit.id}`, undefined, { key: operator })).status, 200)
})

t.test('what cannot be is refused, and nothing is half done', async t => {
  const { call } = await begin(t)
  await call('POST', `${P}/flags`, { key: 'cart', kind: 'release' })
  const revision = (await call('GET', LIMITS)).body.revision
  const rows: [name: string, path: string, body: object, expected: object][] = [
    [
      'another kind',
      `${HERE}/flags/cart/limits`,
      ask(1, A17),
      { status: 422, body: { code: 'INVALID_FLAG', details: [{ code: 'not_a_limit' }] } },
    ],
    ['no flag', `${HERE}/flags/apj/limits`, ask(1, A17), { status: 404, body: { message: /Did you mean "api"/ } }],
    ['nobody', LIMITS, ask(1), { status: 400, body: { details: [{ path: 'clauses' }] } }],
    ['an expression that is none', LIMITS, ask(1, { attribute: 'a', op: 'matches', values: ['('] }), { status: 422 }],
    ['a burst of days', LIMITS, { clauses: [A17], value: { rate: 1, per: 'second', burst: 90_000 }, reason: 'r' }, { status: 422 }],
    ['another unit', LIMITS, { clauses: [A17], value: { rate: 1, per: 'second', unit: 'byte' }, reason: 'r' }, { status: 422 }],
  ]
  for (const [name, path, body, expected] of rows) t.match(await call('POST', path, body), expected, name)
  const dry = await call('POST', `${LIMITS}?dryRun=true`, ask(1, A17))
  t.match(dry, { status: 200, body: { dryRun: true, flag: { rules: [{ serve: { variation: 'limit-1-per-second' } }] } } })
  t.equal((await call('GET', LIMITS)).body.revision, revision)
})

t.test('twenty limits at once are twenty rules, each with its rate', async t => {
  const { call } = await begin(t)
  const held = await Promise.all(Array.from({ length: 20 }, (_, i) => call('POST', LIMITS, ask(1 + (i % 4), is('/account/id', `a-${i}`)))))
  t.ok(held.every(answer => answer.status === 201))
  const { rules, variations } = (await call('GET', `${HERE}/flags/api`)).body
  t.equal(rules.length, 20)
  t.equal(variations.length, 2 + 4, 'those of one rate share a variation')
  await Promise.all(held.map(answer => call('DELETE', `${LIMITS}/${answer.body.limit.id}`)))
  t.match((await call('GET', `${HERE}/flags/api`)).body, { rules: [], variations: { length: 2 } })
})
