import t from 'tap'
import { manualClock } from '../../clock.ts'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`

t.test('a flag is explained now, at a revision and at a moment', async t => {
  const clock = manualClock()
  const { call } = await startServer(t, { clock })
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release', enabled: true }) // 1
  const early = new Date(clock.now()).toISOString()
  clock.advance(60_000)
  await call('PATCH', `${D}/flags/a`, {
    rules: [{ id: 'beta', clauses: [{ attribute: 'plan', op: 'in', values: ['beta'] }], serve: { variation: 'off' } }],
  }) // 2
  clock.advance(60_000)
  await call('POST', `${D}/flags/a/kills`, { reason: 'x' }) // 3
  const ask = (more: object = {}) => call('POST', `${D}/explain`, { flag: 'a', context: { targetingKey: 'u', plan: 'beta' }, ...more })
  t.match(await ask(), {
    status: 200,
    body: { flag: 'a', value: false, variation: 'off', reason: 'KILLED', revision: 3, at: new Date(clock.now()).toISOString() },
  })
  t.match((await ask({ revision: 2 })).body, { value: false, reason: 'RULE_MATCH', ruleId: 'beta', revision: 2, flagVersion: 2 })
  t.match((await ask({ at: early })).body, { value: true, variation: 'on', reason: 'FALLTHROUGH', revision: 1, at: early })
  t.match((await ask({ at: '2020-01-01T00:00:00Z', default: true })).body, {
    value: true,
    variation: null,
    reason: 'ERROR',
    error: 'FLAG_NOT_FOUND',
    revision: 0,
  })
  t.ok((await ask()).body.steps.length > 0, 'with the steps that led to it')
  t.match((await ask({ revision: 2, default: 'text' })).body, {
    value: 'text',
    variation: null,
    reason: 'ERROR',
    error: 'TYPE_MISMATCH',
    revision: 2,
  })
  t.match((await ask({ flag: 'nobody' })).body, { value: null, error: 'FLAG_NOT_FOUND' })
  t.match(await ask({ revision: 9 }), { status: 404, body: { code: 'CHANGE_NOT_FOUND' } })
  for (const [more, path] of [
    [{ revision: 1, at: early }, 'at'],
    [{ at: 'noon' }, 'at'],
    [{ context: [] }, 'context'],
    [{ context: { a: 'x'.repeat(5_000) } }, 'context.a'],
    [{ contexts: {} }, 'contexts'],
  ] as const) {
    t.match(await ask(more), { status: 400, body: { code: 'INVALID_REQUEST', details: [{ path }] } }, path)
  }
})
