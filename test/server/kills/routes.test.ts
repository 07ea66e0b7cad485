import t from 'tap'
import { KILLS_MAX } from '../../../schemas/limits.ts'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`

t.test('a kill lies over the flag, and lifting it restores exactly what stood', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, {
    key: 'checkout',
    kind: 'release',
    enabled: true,
    rules: [{ id: 'r', clauses: [], serve: { variation: 'on' } }],
  })
  const { version: _before, ...before } = (await call('GET', `${D}/flags/checkout`)).body
  const killed = await call('POST', `${D}/flags/checkout/kills`, { reason: 'double charges', incident: 'inc-7' })
  t.match(killed, {
    status: 201,
    body: {
      revision: 2,
      change: { action: 'flag.kill', comment: 'double charges' },
      kill: { id: /^k_[0-9a-f]{12}$/, variation: 'off', clauses: [], reason: 'double charges', incident: 'inc-7', until: null },
      flag: 'checkout',
      existing: false,
      affected: { downstream: [] },
    },
  })
  t.match((await call('GET', `${D}/flags/checkout`)).body, { ...before, kills: [{ id: killed.body.kill.id }] })
  t.match((await call('GET', `${D}/kills`)).body, { revision: 2, kills: [{ flag: 'checkout', id: killed.body.kill.id }] })
  t.match((await call('GET', `${P}/environments/production/kills`)).body, { kills: [] })
  const lifted = await call('DELETE', `${D}/flags/checkout/kills/${killed.body.kill.id}`)
  t.match(lifted, { status: 200, body: { revision: 3, change: { action: 'flag.lift' }, lifted: [killed.body.kill.id] } })
  const { version: _after, ...after } = (await call('GET', `${D}/flags/checkout`)).body
  t.same(after, before)
  t.match(await call('DELETE', `${D}/flags/checkout/kills/${killed.body.kill.id}`), {
    status: 404,
    body: { code: 'KILL_NOT_FOUND', message: /No kill stands/ },
  })
  t.match(await call('DELETE', `${D}/flags/checkout/kills`), { status: 200, body: { revision: 3, change: null, lifted: [] } })
})

t.test('killing is idempotent, and needs no version', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const android = { clauses: [{ attribute: '/device/os', op: 'in', values: ['android'] }], until: '2036-01-01T02:00:00+02:00', reason: 'x' }
  const first = await call('POST', `${D}/flags/a/kills`, android, { headers: { 'if-match': '"77"' } })
  t.equal(first.status, 201)
  const again = await call('POST', `${D}/flags/a/kills`, {
    ...android,
    reason: 'the same, from somebody else',
    until: '2036-01-01T00:00:00Z',
  })
  t.match(again, { status: 200, body: { existing: true, change: null, revision: 2, kill: { id: first.body.kill.id, reason: 'x' } } })
  const other = await call('POST', `${D}/flags/a/kills`, { reason: 'x' })
  t.match(other, { status: 201, body: { existing: false } }, 'for everyone is another kill')
  t.equal((await call('GET', `${D}/flags/a`)).body.kills.length, 2)
  t.same((await call('DELETE', `${D}/flags/a/kills`)).body.lifted, [first.body.kill.id, other.body.kill.id])
  const dry = await call('POST', `${D}/flags/a/kills?dryRun=true`, { reason: 'x' })
  t.match(dry, { status: 200, body: { dryRun: true, existing: false, kill: { variation: 'off' } } })
  t.same((await call('GET', `${D}/flags/a`)).body.kills, [])
})

t.test('what a kill may not be', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const cases: [unknown, number, string, string][] = [
    [{}, 400, 'INVALID_REQUEST', 'reason'],
    [{ reason: '' }, 400, 'INVALID_REQUEST', 'reason'],
    [{ reason: 'x', variations: 'off' }, 400, 'INVALID_REQUEST', 'variations'],
    [{ reason: 'x', variation: 'of' }, 422, 'INVALID_FLAG', 'variation'],
    [{ reason: 'x', clauses: [{ attribute: 'a', op: 'matches', values: ['('] }] }, 422, 'INVALID_FLAG', 'clauses[0].values[0]'],
    [{ reason: 'x', clauses: [{ op: 'segment', values: ['nobody'] }] }, 422, 'INVALID_FLAG', 'clauses[0].values[0]'],
    [{ reason: 'x', clauses: [{ attribute: 'a', op: 'is', values: [1] }] }, 400, 'INVALID_REQUEST', 'clauses[0].op'],
    [{ reason: 'x', until: '2020-01-01T00:00:00Z' }, 400, 'INVALID_REQUEST', 'until'],
    [{ reason: 'x', until: 'tomorrow' }, 400, 'INVALID_REQUEST', 'until'],
  ]
  for (const [body, status, code, path] of cases) {
    const answer = await call('POST', `${D}/flags/a/kills`, body)
    t.match(answer, { status, body: { code, details: [{ path }] } }, JSON.stringify(body))
  }
  t.match(await call('POST', `${D}/flags/nobody/kills`, { reason: 'x' }), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
  t.match(await call('DELETE', `${D}/flags/nobody/kills`), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
  for (let i = 0; i < KILLS_MAX; i++)
    await call('POST', `${D}/flags/a/kills`, { reason: 'x', clauses: [{ attribute: 'n', op: 'in', values: [i] }] })
  t.match(await call('POST', `${D}/flags/a/kills`, { reason: 'x' }), { status: 422, body: { code: 'LIMIT_EXCEEDED' } })
})

t.test('many flags are killed in one commit, by tag or by name; what cannot be is skipped and named', async t => {
  const { call } = await startServer(t)
  for (const [key, tags] of [
    ['a', ['vendor']],
    ['b', ['vendor', 'x']],
    ['c', []],
  ] as const)
    await call('POST', `${P}/flags`, { key, kind: 'release', tags: [...tags] })
  await call('POST', `${P}/flags`, { key: 'text', kind: 'config', tags: ['vendor'], variations: [{ key: 'none', value: '' }] })
  await call('POST', `${P}/flags`, { key: 'child', kind: 'release', prerequisites: [{ flag: 'a', variations: ['on'] }] })
  await call('POST', `${P}/flags`, { key: 'grandchild', kind: 'release', prerequisites: [{ flag: 'child', variations: ['on'] }] })

  const byTag = await call('POST', `${D}/kills`, { tag: 'vendor', reason: 'vendor is down' })
  t.equal(byTag.status, 201)
  t.match(byTag.body, {
    kills: [{ flag: 'a' }, { flag: 'b' }, { flag: 'text', kill: { variation: 'none' } }],
    skipped: [],
    affected: { downstream: ['child', 'grandchild'] },
  })
  t.equal(byTag.body.change.edits.length, 3)
  t.match(await call('POST', `${D}/kills`, { tag: 'vendor', reason: 'again' }), {
    status: 200,
    body: { change: null, kills: [{ existing: true }, { existing: true }, { existing: true }] },
  })

  const named = await call('POST', `${D}/kills`, { flags: ['c', 'nobody', 'text', 'c'], variation: 'off', reason: 'x' })
  t.match(named, {
    status: 201,
    body: {
      kills: [{ flag: 'c', existing: false }],
      skipped: [
        { flag: 'nobody', code: 'FLAG_NOT_FOUND' },
        { flag: 'text', code: 'INVALID_FLAG' },
      ],
    },
  })
  t.match(await call('POST', `${D}/kills`, { flags: ['nobody'], reason: 'x' }), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
  t.match(await call('POST', `${D}/kills`, { tag: 'nothing', reason: 'x' }), { status: 404, body: { message: /Tags in use: vendor, x/ } })
  t.match(await call('POST', `${D}/kills`, { tag: 'x', flags: ['a'], reason: 'x' }), { status: 400, body: { code: 'INVALID_REQUEST' } })
  t.match(await call('POST', `${D}/kills`, { reason: 'x' }), { status: 400, body: { code: 'INVALID_REQUEST' } })

  const lifted = await call('DELETE', `${D}/kills?tag=vendor`)
  t.match(lifted, { status: 200, body: { flags: ['a', 'b', 'text'], change: { action: 'flag.lift' } } })
  t.equal(lifted.body.lifted.length, 3)
  t.match((await call('GET', `${D}/kills`)).body.kills, [{ flag: 'c' }])
  t.match(await call('DELETE', `${D}/kills`), { status: 400, body: { details: [{ path: 'tag' }] } })
})

t.test('a kill is taken although the rest of the flag would no longer pass', async t => {
  const { call, services } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  // As an older server might have left it.
  await services.log.commit({
    log: 'default/development',
    actor: { kind: 'system', id: 'test', name: 'test' },
    action: 'flag.edit',
    plan: state => [
      {
        type: 'flag',
        key: 'a',
        after: { ...state.documents.flag.get('a')!, fallthrough: { rollout: { weights: [{ variation: 'gone', weight: 1 }] } } },
      },
    ],
  })
  t.match(await call('PATCH', `${D}/flags/a`, { enabled: true }), { status: 422, body: { code: 'INVALID_FLAG' } })
  const killed = await call('POST', `${D}/flags/a/kills`, { reason: 'x' })
  t.equal(killed.status, 201)
  t.equal((await call('DELETE', `${D}/flags/a/kills/${killed.body.kill.id}`)).status, 200)
})
