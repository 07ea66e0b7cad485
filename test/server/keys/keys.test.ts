import t from 'tap'
import { manualClock } from '../../clock.ts'
import { startServer } from '../start.ts'

t.test('a key is shown once, kept as a hash, and lets its holder in', async t => {
  const server = await startServer(t)
  const { status, body } = await server.call('POST', '/api/v1/keys', { kind: 'admin', name: 'dana', grants: [{ role: 'viewer' }] })
  t.equal(status, 201)
  t.match(body.token, /^slc_admin_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/)
  t.equal(body.key.id, body.token.split('_')[2])
  t.notMatch(JSON.stringify({ ...body, token: '' }), /hash":\s*"[0-9a-f]{64}"[^}]*"kind"/, 'no hash in the entry')
  t.equal(body.change.edits[0].after.hash, undefined)
  const kept = server.services.log.state('sluice/server').documents.key.get(body.key.id)
  t.match(kept?.hash, /^[0-9a-f]{64}$/)
  t.notMatch(JSON.stringify(kept), body.token.split('_')[3])
  const who = await server.call('GET', '/api/v1/whoami', undefined, { key: body.token })
  t.same(who.body, { id: body.key.id, kind: 'admin', name: 'dana', grants: [{ role: 'viewer' }], project: null, environment: null })
  const list = await server.call('GET', '/api/v1/keys')
  t.match(list.body.keys, [
    { id: 'configured-admin', configured: true },
    { id: 'configured-server' },
    { id: body.key.id, name: 'dana', configured: false },
  ])
  t.notMatch(JSON.stringify(list.body), /hash/)
})

t.test('a key goes in either header, and nowhere else', async t => {
  const server = await startServer(t)
  const { token } = await server.makeKey('server')
  const who = async (headers: Record<string, string>, path = '/api/v1/whoami') => {
    const { status, body } = await server.call('GET', path, undefined, { key: null, headers })
    return status === 200 ? body.kind : body.code
  }
  t.equal(await who({ authorization: `Bearer ${token}` }), 'server')
  t.equal(await who({ authorization: `bearer ${token}` }), 'server')
  t.equal(await who({ 'x-api-key': token }), 'server')
  t.equal(await who({}), 'KEY_MISSING')
  t.equal(await who({}, `/api/v1/whoami?key=${token}`), 'KEY_MISSING')
  t.equal(await who({ authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` }), 'KEY_INVALID')
  t.equal(await who({ authorization: 'Bearer' }), 'KEY_INVALID')
  t.equal(await who({ authorization: `Bearer ${token} ${token}` }), 'KEY_INVALID')
  t.equal(await who({ authorization: `Bearer ${token}x` }), 'KEY_INVALID')
  t.equal(await who({ authorization: `Bearer ${token.slice(0, -1)}${token.endsWith('a') ? 'b' : 'a'}` }), 'KEY_INVALID')
  t.equal(await who({ authorization: `Bearer ${token.replace('slc_server', 'slc_admin')}` }), 'KEY_INVALID')
  t.equal(await who({ authorization: `Bearer ${'x'.repeat(5_000)}` }), 'KEY_INVALID')
})

t.test('a revoked key is refused at once, and whoever holds a stream is told', async t => {
  const server = await startServer(t)
  const { id, token } = await server.makeKey('server')
  const revoked: string[] = []
  server.services.keys.onRevoked(key => revoked.push(key))
  t.match(await server.call('DELETE', `/api/v1/keys/${id}?dryRun=true`), { status: 200, body: { dryRun: true } })
  t.equal((await server.call('GET', '/api/v1/whoami', undefined, { key: token })).status, 200, 'a dry run revokes nothing')
  t.match(await server.call('DELETE', `/api/v1/keys/${id}?comment=leaked`), {
    status: 200,
    body: { change: { action: 'key.revoke', comment: 'leaked' } },
  })
  t.same(revoked, [id])
  t.match(await server.call('GET', '/api/v1/whoami', undefined, { key: token }), { status: 401, body: { code: 'KEY_INVALID' } })
  t.match(await server.call('DELETE', `/api/v1/keys/${id}`), { status: 404, body: { code: 'KEY_NOT_FOUND' } })
})

t.test('a key expires at its moment', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  const expiresAt = new Date(clock.now() + 60_000).toISOString()
  const { id, token } = await server.makeKey('client', 'development', { expiresAt })
  const revoked: string[] = []
  server.services.keys.onRevoked(key => revoked.push(key))
  clock.advance(59_999)
  t.equal((await server.call('GET', '/api/v1/whoami', undefined, { key: token })).status, 200)
  t.same(revoked, [])
  clock.advance(1)
  t.match(await server.call('GET', '/api/v1/whoami', undefined, { key: token }), { status: 401, body: { code: 'KEY_EXPIRED' } })
  t.same(revoked, [id])
  t.match(await server.call('POST', '/api/v1/keys', { kind: 'admin', name: 'x', grants: [{ role: 'viewer' }], expiresAt }), {
    status: 400,
    body: { code: 'INVALID_REQUEST', details: [{ path: 'expiresAt', code: 'past' }] },
  })
})

t.test('nobody gives, sees or revokes more than they have', async t => {
  const server = await startServer(t)
  await server.call('POST', '/api/v1/projects', { key: 'shop' })
  await server.call('POST', '/api/v1/projects/shop/environments', { key: 'production' })
  const all = await server.makeKey('admin', '', { grants: [{ role: 'viewer' }] })
  const viewer = await server.makeKey('admin', '', { grants: [{ role: 'viewer' }] })
  const editor = await server.makeKey('admin', '', { grants: [{ role: 'editor' }] })
  const ofShop = await server.makeKey('admin', '', { grants: [{ role: 'admin', project: 'shop' }] })
  const ofStaging = await server.makeKey('admin', '', { grants: [{ role: 'admin', project: 'default', environment: 'staging' }] })
  const give = async (key: { token: string }, body: unknown) => {
    const answer = await server.call('POST', '/api/v1/keys?dryRun=true', body, { key: key.token })
    return answer.status === 201 ? 'given' : answer.body.code
  }
  const admin = (...grants: unknown[]) => ({ kind: 'admin', name: 'x', grants })
  const cases: [string, { token: string }, unknown, string][] = [
    ['a viewer gives nothing', viewer, admin({ role: 'viewer' }), 'FORBIDDEN'],
    ['an editor gives nothing', editor, admin({ role: 'viewer', project: 'shop' }), 'FORBIDDEN'],
    ['an admin of a project gives the whole of it', ofShop, admin({ role: 'admin', project: 'shop' }), 'given'],
    ['and parts of it', ofShop, admin({ role: 'operator', project: 'shop', environment: 'production' }), 'given'],
    ['but not the server', ofShop, admin({ role: 'viewer' }), 'FORBIDDEN'],
    ['nor another project', ofShop, admin({ role: 'viewer', project: 'shop' }, { role: 'viewer', project: 'default' }), 'FORBIDDEN'],
    ['nor an environment of all projects', ofShop, admin({ role: 'viewer', environment: 'production' }), 'FORBIDDEN'],
    ['nor a server key of another project', ofShop, { kind: 'server', name: 'x', project: 'default', environment: 'staging' }, 'FORBIDDEN'],
    ['an admin of an environment gives that', ofStaging, { kind: 'hook', name: 'x', project: 'default', environment: 'staging' }, 'given'],
    ['not its neighbour', ofStaging, { kind: 'server', name: 'x', project: 'default', environment: 'production' }, 'FORBIDDEN'],
    [
      'nor what does not exist, which it cannot find out',
      ofStaging,
      { kind: 'server', name: 'x', project: 'no', environment: 'no' },
      'FORBIDDEN',
    ],
  ]
  for (const [name, key, body, expected] of cases) t.equal(await give(key, body), expected, name)

  const seen = await server.call('GET', '/api/v1/keys', undefined, { key: ofShop.token })
  t.same(
    seen.body.keys.map((key: { id: string }) => key.id),
    [ofShop.id],
  )
  t.match(await server.call('DELETE', `/api/v1/keys/${all.id}`, undefined, { key: ofShop.token }), {
    status: 404,
    body: { code: 'KEY_NOT_FOUND' },
  })
  t.match(await server.call('DELETE', '/api/v1/keys/configured-admin', undefined, { key: ofShop.token }), { status: 404 })
  t.match(await server.call('DELETE', '/api/v1/keys/configured-admin'), { status: 400, body: { code: 'INVALID_REQUEST' } })
  const projects = await server.call('GET', '/api/v1/projects', undefined, { key: ofStaging.token })
  t.match(projects.body.projects, [{ key: 'default' }])
  t.match(await server.call('GET', '/api/v1/projects/shop', undefined, { key: ofStaging.token }), { status: 403 })
  const environments = await server.call('GET', '/api/v1/projects/default/environments', undefined, { key: ofStaging.token })
  t.match(environments.body.environments, [{ environment: 'staging' }])
  t.equal(environments.body.environments.length, 1)
  const status = await server.call('GET', '/api/v1/status', undefined, { key: ofStaging.token })
  t.equal(status.body.environments.length, 1)
  t.match(status.body.environments, [{ project: 'default', environment: 'staging', kills: 0 }])
})

t.test('the shape of a key request is told exactly', async t => {
  const server = await startServer(t)
  const cases: [unknown, string, string][] = [
    [{ kind: 'admin', name: 'x' }, 'INVALID_REQUEST', 'grants'],
    [{ kind: 'admin', name: 'x', grants: [] }, 'INVALID_REQUEST', 'grants'],
    [{ kind: 'admin', name: 'x', grants: [{ role: 'owner' }] }, 'INVALID_REQUEST', 'grants[0].role'],
    [{ kind: 'admin', name: 'x', grants: [{ role: 'viewer', projet: 'default' }] }, 'INVALID_REQUEST', 'grants[0].projet'],
    [{ kind: 'admin', name: 'x', grants: [{ role: 'viewer' }], project: 'default' }, 'INVALID_REQUEST', 'project'],
    [{ kind: 'server', name: 'x' }, 'INVALID_REQUEST', 'project'],
    [{ kind: 'server', name: 'x', project: 'default' }, 'INVALID_REQUEST', 'environment'],
    [{ kind: 'server', name: 'x', project: 'default', environment: 'staging', grants: [{ role: 'admin' }] }, 'INVALID_REQUEST', 'grants'],
    [{ kind: 'root', name: 'x' }, 'INVALID_REQUEST', 'kind'],
    [{ kind: 'server', name: '', project: 'default', environment: 'staging' }, 'INVALID_REQUEST', 'name'],
    [{ kind: 'server', name: 'x', project: 'default', environment: 'staging', expiresAt: 'tomorrow' }, 'INVALID_REQUEST', 'expiresAt'],
    [{ kind: 'server', name: 'x', project: 'default', environment: 'staging', hash: 'abc' }, 'INVALID_REQUEST', 'hash'],
  ]
  for (const [body, code, path] of cases) {
    t.match((await server.call('POST', '/api/v1/keys', body)).body, { code, details: [{ path }] }, JSON.stringify(body))
  }
  t.match(await server.call('POST', '/api/v1/keys', { kind: 'server', name: 'x', project: 'no', environment: 'no' }), {
    body: { code: 'PROJECT_NOT_FOUND' },
  })
  t.match(await server.call('POST', '/api/v1/keys', { kind: 'client', name: 'x', project: 'default', environment: 'no' }), {
    status: 404,
    body: { code: 'ENVIRONMENT_NOT_FOUND', message: /development, staging, production/ },
  })
})

t.test('the last key that can administer the server stays', async t => {
  const server = await startServer(t, { config: { adminKey: undefined, serverKey: undefined } })
  const { firstKeys } = server.sluice
  t.match(firstKeys, { admin: /^slc_admin_/, server: /^slc_server_/ })
  const key = firstKeys?.admin ?? ''
  const id = key.split('_')[2] ?? ''
  t.match(await server.call('DELETE', `/api/v1/keys/${id}`, undefined, { key }), { status: 409, body: { code: 'LAST_ADMIN_KEY' } })
  const second = await server.call('POST', '/api/v1/keys', { kind: 'admin', name: 'second', grants: [{ role: 'admin' }] }, { key })
  t.equal((await server.call('DELETE', `/api/v1/keys/${id}`, undefined, { key })).status, 200)
  t.match(await server.call('DELETE', `/api/v1/keys/${second.body.key.id}`, undefined, { key: second.body.token }), {
    body: { code: 'LAST_ADMIN_KEY' },
  })
})

t.test('a key set by configuration ends with its variable', async t => {
  const server = await startServer(t)
  const former = server.adminKey
  const admin = 'another-admin-key-0123456789'
  await server.restart({ config: { adminKey: admin } })
  t.equal(server.sluice.firstKeys, null)
  t.equal((await server.call('GET', '/api/v1/whoami', undefined, { key: former })).status, 401)
  t.match(await server.call('GET', '/api/v1/whoami', undefined, { key: admin }), {
    status: 200,
    body: { id: 'configured-admin', grants: [{ role: 'admin' }] },
  })
  t.match(await server.call('GET', '/api/v1/whoami', undefined, { key: server.serverKey }), {
    body: { kind: 'server', project: 'default', environment: 'development' },
  })
})
