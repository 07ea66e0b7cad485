import t from 'tap'
import { type Trigger, triggerSchema } from '../../../schemas/trigger.ts'
import type { Write } from '../../../server/log/types.ts'
import { type Loose, startServer } from '../start.ts'
import { HOOKS } from './fixtures.ts'

const GIVEN = 'given-by-people-0123456789'

t.test('a hook is made, edited, given secrets and removed; no answer and no entry holds one', async t => {
  const server = await startServer(t)
  const { call } = server
  t.match(await call('POST', `${HOOKS}?dryRun=true`, { key: 'a', source: 'alertmanager' }), {
    status: 200,
    body: { dryRun: true, hook: { version: 1 } },
  })
  t.same((await call('GET', HOOKS)).body.hooks, [])
  const made = await call('POST', HOOKS, { key: 'a', source: 'alertmanager', comment: 'for the pager' })
  t.match(made, {
    status: 201,
    body: { change: { action: 'hook.create', comment: 'for the pager' }, hook: { auth: 'header', enabled: true, mayAct: false } },
  })
  t.ok(made.body.secret.length >= 40)
  t.match(await call('POST', HOOKS, { key: 'a', source: 'grafana' }), { status: 409, body: { code: 'ALREADY_EXISTS' } })
  t.match(await call('POST', HOOKS, { key: 'b', source: 'grafana', secret: GIVEN }), {
    status: 201,
    body: { secret: undefined, hook: { auth: 'signature', timestampHeader: 'X-Grafana-Alerting-Timestamp' } },
  })
  t.match(await call('POST', HOOKS, { key: 'c', source: 'pagerduty' }), { status: 201, body: { secret: undefined, hook: { secrets: [] } } })

  t.match(await call('PATCH', `${HOOKS}/a`, { description: 'x', enabled: false }, { headers: { 'if-match': '"1"' } }), {
    status: 200,
    body: { hook: { version: 2, enabled: false, path: made.body.hook.path } },
  })
  t.match(await call('PATCH', `${HOOKS}/a`, { enabled: true }, { headers: { 'if-match': '"1"' } }), { status: 412 })
  const second = await call('POST', `${HOOKS}/a/secrets`, {})
  t.match(second, { status: 201, body: { hook: { secrets: [{}, {}] } } })
  t.match(await call('POST', `${HOOKS}/c/secrets`, {}), { status: 422, body: { code: 'INVALID_HOOK' } }, 'PagerDuty makes it')
  t.match(await call('POST', `${HOOKS}/c/secrets`, { secret: GIVEN }), { status: 201, body: { hook: { secrets: [{}] } } })
  const [first] = second.body.hook.secrets
  t.match(await call('DELETE', `${HOOKS}/a/secrets/${first.id}`), {
    status: 200,
    body: { hook: { secrets: [{ id: second.body.hook.secrets[1].id }] } },
  })
  t.match(await call('DELETE', `${HOOKS}/a/secrets/${first.id}`), { status: 404 })
  t.match(await call('GET', `${HOOKS}/a`), { status: 200, body: { version: 4, firing: 0, deliveries: {} } })

  const shown = JSON.stringify([await call('GET', HOOKS), await call('GET', `${HOOKS.replace('/hooks', '/changes')}?limit=100`)])
  for (const secret of [made.body.secret, second.body.secret, GIVEN]) t.notOk(shown.includes(secret))
  t.match(await call('DELETE', `${HOOKS}/a`), { status: 200, body: { change: { action: 'hook.delete' } } })
  t.match(await call('GET', `${HOOKS}/a`), { status: 404, body: { code: 'HOOK_NOT_FOUND', message: /There is b, c\./ } })
  t.equal((await call('POST', made.body.hook.url, {}, { key: null })).status, 404, 'and its path is gone')
})

t.test('what a tool cannot do is refused with the place', async t => {
  const { call } = await startServer(t)
  const wrong: readonly [Loose, string][] = [
    [{ source: 'alertmanager', auth: 'signature' }, 'auth'],
    [{ source: 'alertmanager', mapping: { dedupKey: '/a', status: '/b', firing: ['x'], resolved: [] } }, 'mapping'],
    [{ source: 'cloudwatch-sns' }, 'topicArn'],
    [{ source: 'cloudwatch-sns', topicArn: 'arn:aws:s3:::bucket' }, 'topicArn'],
    [{ source: 'cloudwatch-sns', topicArn: 'arn:aws:sns:eu-west-1:123456789012:a', secret: GIVEN }, 'secret'],
    [{ source: 'generic', topicArn: 'arn:aws:sns:eu-west-1:123456789012:a' }, 'topicArn'],
    [{ source: 'generic', auth: 'path', secret: GIVEN }, 'secret'],
    [{ source: 'generic', timestampHeader: 'x' }, 'timestampHeader'],
    [{ source: 'generic', mapping: { dedupKey: 'no/pointer', status: '/b', firing: ['x'], resolved: [] } }, 'mapping.dedupKey'],
    [{ source: 'standard-webhooks', secret: GIVEN }, 'secret'],
    [{ source: 'standard-webhooks', secret: 'whpk_dG9vIHNob3J0' }, 'secret'],
  ]
  for (const [fields, path] of wrong) {
    t.match(
      await call('POST', HOOKS, { key: 'x', ...fields }),
      { status: 422, body: { code: 'INVALID_HOOK', details: [{ path }] } },
      JSON.stringify(fields),
    )
  }
  t.match(await call('POST', HOOKS, { key: 'x', source: 'generic', secret: 'short' }), { status: 400 })
  t.match(await call('POST', HOOKS, { key: 'x', source: 'generic', path: 'mine', secrets: [] }), { status: 400 }, 'a path is made here')
})

t.test('viewers look, operators try, editors set up, and admins alone decide what is trusted', async t => {
  const server = await startServer(t)
  const grants = (role: string) => ({ grants: [{ role, project: 'default', environment: 'development' }] })
  const key = async (role: string): Promise<string> => (await server.makeKey('admin', 'development', grants(role))).token
  const [viewer, operator, editor] = [await key('viewer'), await key('operator'), await key('editor')]
  const as = (token: string, method: string, path: string, body?: unknown) => server.call(method, path, body, { key: token })
  t.equal((await as(editor, 'POST', HOOKS, { key: 'a', source: 'generic', auth: 'path' })).status, 201)
  t.equal((await as(editor, 'POST', HOOKS, { key: 'b', source: 'generic', auth: 'path', mayAct: true })).status, 403)
  t.equal((await as(operator, 'POST', HOOKS, { key: 'b', source: 'generic' })).status, 403)
  t.equal((await as(viewer, 'GET', `${HOOKS}/a`)).status, 200)
  t.equal((await as(viewer, 'GET', `${HOOKS}/a/deliveries`)).status, 200)
  t.equal((await as(viewer, 'GET', '/api/v1/deliveries/unknown')).status, 403, 'those belong to the whole server')
  const sample = { body: { status: 'firing', title: 'x' } }
  t.equal((await as(viewer, 'POST', `${HOOKS}/a/try`, sample)).status, 403)
  t.match(await as(operator, 'POST', `${HOOKS}/a/try`, sample), {
    status: 200,
    body: { verdict: 'accepted', proved: false, alerts: [{ title: 'x', startsAt: null }] },
  })
  t.match(await as(operator, 'POST', `${HOOKS}/a/try`, { body: '{"version":"4","groupKey":"x","alerts":[]}' }), {
    body: { verdict: 'malformed', looksLike: 'alertmanager' },
  })
  t.equal((await as(editor, 'PATCH', `${HOOKS}/a`, { mayAct: true })).status, 403)
  t.equal((await as(editor, 'PATCH', `${HOOKS}/a`, { auth: 'header' })).status, 403)
  t.equal((await as(editor, 'POST', `${HOOKS}/a/secrets`, {})).status, 403)
  t.equal((await server.call('PATCH', `${HOOKS}/a`, { mayAct: true })).status, 200)
  t.equal((await as(editor, 'PATCH', `${HOOKS}/a`, { mayAct: false })).status, 200, 'what is safer may be set by whoever edits')
})

t.test('a hook that a trigger names is not removed', async t => {
  const { call, services } = await startServer(t)
  await call('POST', HOOKS, { key: 'am', source: 'generic' })
  const trigger = triggerSchema.parse({
    key: 'on-5xx',
    enabled: true,
    when: { hooks: ['am'] },
    do: { action: 'notify' },
    tripped: null,
    lastFiredAt: null,
    version: 1,
  })
  const set = (after: Trigger | null): Write => ({
    log: 'default/development',
    actor: { kind: 'system', id: 'test', name: 'test' },
    action: 'trigger.edit',
    plan: () => [{ type: 'trigger', key: 'on-5xx', after }],
  })
  await services.log.commit(set(trigger))
  t.match(await call('DELETE', `${HOOKS}/am`), { status: 409, body: { code: 'HOOK_IN_USE', details: [{ path: 'triggers.on-5xx' }] } })
  await services.log.commit(set(null))
  t.equal((await call('DELETE', `${HOOKS}/am`)).status, 200)
})
