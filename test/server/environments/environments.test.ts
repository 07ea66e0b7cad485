import t from 'tap'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'

t.test('projects are made, edited and deleted', async t => {
  const server = await startServer(t)
  t.match(await server.call('GET', '/api/v1/projects'), {
    body: { projects: [{ key: 'default', environments: ['development', 'staging', 'production'] }] },
  })
  t.match(await server.call('POST', '/api/v1/projects?dryRun=true', { key: 'shop' }), {
    status: 201,
    body: { dryRun: true, project: { key: 'shop' } },
  })
  t.match(await server.call('POST', '/api/v1/projects', { key: 'shop', name: 'The shop', comment: 'new' }), {
    status: 201,
    body: { revision: 2, change: { action: 'project.create', comment: 'new' }, project: { key: 'shop', name: 'The shop', version: 1 } },
  })
  t.match(await server.call('POST', '/api/v1/projects', { key: 'shop' }), { status: 409, body: { code: 'ALREADY_EXISTS' } })
  t.match(await server.call('POST', '/api/v1/projects', { key: 'sluice' }), {
    status: 400,
    body: { details: [{ path: 'key', code: 'reserved' }] },
  })
  t.match(await server.call('POST', '/api/v1/projects', { key: 'a/b' }), { status: 400, body: { details: [{ path: 'key' }] } })
  t.match(await server.call('PATCH', '/api/v1/projects/shop', { description: 'sells' }), {
    body: { project: { version: 2, description: 'sells' } },
  })
  t.equal((await server.call('GET', '/api/v1/projects/shop')).headers.get('etag'), '"2"')
  t.match(await server.call('PATCH', '/api/v1/projects/shop', { name: 'x' }, { headers: { 'if-match': '"1"' } }), {
    status: 412,
    body: { code: 'VERSION_CONFLICT' },
  })
  const patched = await server.call('PATCH', '/api/v1/projects/shop', { description: null }, { headers: { 'if-match': '"2"' } })
  t.equal(patched.body.project.description, undefined)
  t.match(
    await server.call('PATCH', '/api/v1/projects/shop', { name: 'The shop' }),
    { status: 200, body: { change: null } },
    'nothing changed',
  )
  t.match(await server.call('DELETE', P), { status: 409, body: { code: 'ENVIRONMENT_IN_USE' } })
  t.match(await server.call('DELETE', '/api/v1/projects/shop'), { status: 200, body: { change: { action: 'project.delete' } } })
  t.match(await server.call('GET', '/api/v1/projects/shop'), { status: 404, body: { code: 'PROJECT_NOT_FOUND', message: /default/ } })
})

t.test('a new environment begins with the flags of its project, off; a copy as they stand, without kills', async t => {
  const server = await startServer(t)
  await server.services.log.commit({
    log: 'default/development',
    actor: { kind: 'system', id: 'test', name: 'test' },
    action: 'flag.create',
    plan: () => [
      { type: 'segment', key: 'staff', after: { key: 'staff', version: 1, included: [], excluded: [], rules: [] } },
      {
        type: 'flag',
        key: 'a',
        after: {
          key: 'a',
          kind: 'release',
          name: 'A',
          variations: [
            { key: 'yes', value: true },
            { key: 'no', value: false },
          ],
          seed: 7,
          version: 1,
          enabled: true,
          offVariation: 'no',
          prerequisites: [],
          targets: [{ values: ['u1'], variation: 'yes' }],
          rules: [{ id: 'r', clauses: [], serve: { variation: 'yes' } }],
          fallthrough: { variation: 'no' },
          kills: [{ id: 'k', variation: 'no', clauses: [], reason: 'x', actor: 'x', at: '2026-01-01T00:00:00Z', until: null }],
        },
      },
    ],
  })
  t.match(await server.call('POST', `${P}/environments`, { key: 'fresh', name: 'Fresh' }), {
    status: 201,
    body: { environment: { key: 'default/fresh', project: 'default', environment: 'fresh', name: 'Fresh', version: 1 } },
  })
  const fresh = server.services.log.state('default/fresh')
  t.match(fresh.documents.flag.get('a'), { name: 'A', seed: 7, enabled: false, offVariation: 'no', rules: [], targets: [], kills: [] })
  t.equal(fresh.documents.segment.size, 0)

  await server.call('POST', `${P}/environments`, { key: 'copy', copyFrom: 'development' })
  const copy = server.services.log.state('default/copy')
  t.match(copy.documents.flag.get('a'), { enabled: true, rules: [{ id: 'r' }], fallthrough: { variation: 'no' } })
  t.same(copy.documents.flag.get('a')?.kills, [])
  t.ok(copy.documents.segment.has('staff'))
  t.match(await server.call('POST', `${P}/environments`, { key: 'x', copyFrom: 'no' }), {
    status: 404,
    body: { code: 'ENVIRONMENT_NOT_FOUND' },
  })
  t.match(await server.call('POST', `${P}/environments`, { key: 'copy' }), { status: 409, body: { code: 'ALREADY_EXISTS' } })
  t.match(await server.call('POST', '/api/v1/projects/no/environments', { key: 'x' }), { status: 404, body: { code: 'PROJECT_NOT_FOUND' } })
  t.equal(server.services.log.state('sluice/server').documents.environment.has('default/x'), false)

  t.match(await server.call('DELETE', `${P}/environments/development`), {
    status: 409,
    body: { code: 'ENVIRONMENT_IN_USE', message: /kills stand over a/ },
  })
  const { id, token } = await server.makeKey('server', 'development')
  t.match(await server.call('DELETE', `${P}/environments/development?force=true`), { status: 200, body: { revokedKeys: [id] } })
  t.equal((await server.call('GET', '/api/v1/whoami', undefined, { key: token })).status, 401, 'its keys are gone with it')
  t.match(await server.call('GET', `${P}/environments/development`), { status: 404, body: { code: 'ENVIRONMENT_NOT_FOUND' } })
  await server.call('POST', `${P}/environments`, { key: 'development' })
  const again = server.services.log.state('default/development')
  t.equal(again.documents.flag.size, 0, 'what the former one left behind does not come back')
  t.equal(again.documents.segment.size, 0)
})

t.test('environments are edited with their version in hand', async t => {
  const server = await startServer(t)
  const path = `${P}/environments/staging`
  t.match(await server.call('GET', path), { body: { environment: 'staging', revision: 0, version: 1 } })
  t.match(await server.call('PATCH', path, { name: 'Stage', description: 'before production' }, { headers: { 'if-match': '"1"' } }), {
    body: { environment: { name: 'Stage', description: 'before production', version: 2 } },
  })
  t.match(await server.call('PATCH', path, { name: 'x' }, { headers: { 'if-match': '"1"' } }), { status: 412 })
  t.match(await server.call('DELETE', path, undefined, { headers: { 'if-match': '"1"' } }), { status: 412 })
  t.match(await server.call('PATCH', path, { name: 'x' }, { headers: { 'if-match': 'soon' } }), {
    status: 400,
    body: { details: [{ path: 'if-match' }] },
  })
})
