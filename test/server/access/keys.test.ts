/** Every route with every key that must not pass. */
import t from 'tap'
import { ROLES } from '../../../schemas/accesskey.ts'
import { manualClock } from '../../clock.ts'
import { startServer, type TestServer } from '../start.ts'
import { type Asked, everyRoute } from './everyroute.ts'

type Attempt = [name: string, key: string | null, status: number, code: string]

t.test('no route lets a key pass that lacks what its policy asks', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  const keys = await makeKeys(server, new Date(clock.now() + 60_000).toISOString())
  clock.advance(60_000)
  const routes = everyRoute(server.sluice.routes)
  t.ok(routes.length > 40, 'the routes were found')

  const wrong: string[] = []
  let attempts = 0
  for (const route of routes) {
    for (const [name, key, status, code] of attemptsOn(route, keys)) {
      attempts++
      // A body that no route takes: whoever may not come in is not told about it.
      const body = route.method === 'GET' ? undefined : '{"nonsense":'
      const answer = await server.call(route.method, route.path, body, { key })
      if (answer.status !== status || answer.body?.code !== code)
        wrong.push(`${route.name} with ${name}: ${answer.status} ${answer.body?.code}`)
    }
  }
  t.same(wrong, [])
  t.ok(attempts > 250, `${attempts} attempts`)
})

t.test('what exists is not told to a key without access', async t => {
  const server = await startServer(t)
  const { token } = await server.makeKey('admin', '', { grants: [{ role: 'admin', project: 'default', environment: 'staging' }] })
  const answers = []
  for (const place of ['default/environments/production', 'default/environments/none', 'none/environments/none']) {
    const { status, body } = await server.call('GET', `/api/v1/projects/${place}/flags`, undefined, { key: token })
    answers.push(`${status} ${body.code}`)
  }
  t.same(answers, ['403 FORBIDDEN', '403 FORBIDDEN', '403 FORBIDDEN'])
})

t.test('no spelling of a path goes around the policy', async t => {
  const server = await startServer(t)
  const { token } = await server.makeKey('admin', '', { grants: [{ role: 'viewer', project: 'default', environment: 'staging' }] })
  const paths = [
    '/api/v1/projects/default/environments/production/flags',
    '/api/v1/projects/default/environments/staging/../production/flags',
    '/api/v1/projects/default/environments/staging%2F..%2Fproduction/flags',
    '/api/v1/projects/default/environments/%70roduction/flags',
    '/api/v1/projects/default/environments/Staging/flags',
    '/api/v1/projects/default/environments/staging;x=production/flags',
    '/api/v1/projects/default/environments/staging%00/flags',
    '/api/v1/projects/default/environments/staging%20/flags',
    '/api/v1/projects/default/environments//staging/flags',
    '//api/v1/projects/default/environments/production/flags',
    '/api/v1//projects/default/environments/production/flags',
    '/API/v1/projects/default/environments/production/flags',
    '/api/v1/projects/default%2Fstaging/environments/production/flags',
    '/api/v1/projects/default/environments/production/flags/',
    '/api/v1/projects/default/environments/production/flags/.',
    '/healthz/../api/v1/projects/default/environments/production/flags',
    '/docs/..%2fapi/v1/projects/default/environments/production/flags',
    '/docs/static/..%2f..%2f..%2f..%2fpackage.json',
    '/docs/static/%2e%2e/%2e%2e/index.js',
    '/api/v1/projects/sluice/environments/server/changes',
  ]
  const passed: string[] = []
  for (const path of paths) {
    // Not by fetch, which tidies a path up before it sends it.
    const status = await rawStatus(server, path, token)
    if (![400, 401, 403, 404].includes(status)) passed.push(`${path}: ${status}`)
  }
  t.same(passed, [])
  t.equal(
    await rawStatus(server, '/api/v1/projects/default/environments/%73taging/flags', token),
    200,
    'an escape that says the same is the same',
  )
  t.match(
    await server.call('GET', '/api/v1/projects/sluice/environments/server/changes'),
    { status: 404, body: { code: 'ENVIRONMENT_NOT_FOUND' } },
    "the server's own log is no environment",
  )
  t.match(await server.call('GET', '/api/v1/projects/default%2Fproduction/environments/x/instances'), { status: 404 })
})

async function rawStatus(server: TestServer, path: string, key: string): Promise<number> {
  const { request } = await import('node:http')
  const { port } = new URL(server.url)
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers: { authorization: `Bearer ${key}` } }, response => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
  })
}

interface Keys {
  readonly of: Readonly<Record<string, string>>
  readonly expired: string
  readonly revoked: string
}

async function makeKeys(server: TestServer, expiresAt: string): Promise<Keys> {
  await server.call('POST', '/api/v1/projects', { key: 'other' })
  const of: Record<string, string> = {}
  for (const kind of ['server', 'client', 'hook'] as const) of[kind] = (await server.makeKey(kind, 'production')).token
  for (const role of ROLES) of[role] = (await server.makeKey('admin', '', { grants: [{ role }] })).token
  of.otherEnvironment = (
    await server.makeKey('admin', '', { grants: [{ role: 'admin', project: 'default', environment: 'staging' }] })
  ).token
  of.otherProject = (await server.makeKey('admin', '', { grants: [{ role: 'admin', project: 'other' }] })).token
  of.oneProject = (await server.makeKey('admin', '', { grants: [{ role: 'admin', project: 'default' }] })).token
  const expired = await server.makeKey('admin', '', { grants: [{ role: 'admin' }], expiresAt })
  const revoked = await server.makeKey('admin', '', { grants: [{ role: 'admin' }] })
  await server.call('DELETE', `/api/v1/keys/${revoked.id}`)
  return { of, expired: expired.token, revoked: revoked.token }
}

function attemptsOn({ route }: Asked, { of, expired, revoked }: Keys): Attempt[] {
  const { policy } = route
  if (policy.allow === 'everyone') return []
  const attempts: Attempt[] = [
    ['no key', null, 401, 'KEY_MISSING'],
    ['nonsense', 'nonsense', 401, 'KEY_INVALID'],
    ['a forged key', `slc_admin_abcdefgh1234_${'A'.repeat(43)}`, 401, 'KEY_INVALID'],
    ['an expired key', expired, 401, 'KEY_EXPIRED'],
    ['a revoked key', revoked, 401, 'KEY_INVALID'],
  ]
  const forbid = (name: string): void => void attempts.push([`the key "${name}"`, of[name] ?? '', 403, 'FORBIDDEN'])
  if (policy.allow === 'kinds') {
    for (const kind of ['server', 'client', 'hook', 'admin'] as const) if (!policy.kinds.includes(kind)) forbid(kind)
  }
  if (policy.allow === 'role') {
    for (const kind of ['server', 'client', 'hook']) forbid(kind)
    for (const weaker of ROLES.slice(0, ROLES.indexOf(policy.role))) forbid(weaker)
    forbid('otherProject')
    if (policy.scope !== 'environment' || route.url.includes(':environment')) forbid('otherEnvironment')
    if (policy.scope === 'server') forbid('oneProject')
  }
  return attempts
}
