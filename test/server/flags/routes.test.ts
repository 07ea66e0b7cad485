import t from 'tap'
import { RECENT_MS } from '../../../server/flags/archive.ts'
import { manualClock } from '../../clock.ts'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`

t.test('a flag is made in every environment, and read back as one document', async t => {
  const { call } = await startServer(t)
  const made = await call('POST', `${P}/flags`, { key: 'new-cart', kind: 'release', tags: ['checkout'], comment: 'for the sale' })
  t.equal(made.status, 201)
  t.same(made.body.revisions, { development: 1, staging: 1, production: 1 })
  t.match(made.body.flag, { key: 'new-cart', version: 1, enabled: false, kills: [] })
  t.match(made.body.changes.production, { action: 'flag.create', comment: 'for the sale', revision: 1 })

  const read = await call('GET', `${D}/flags/new-cart`)
  t.equal(read.status, 200)
  t.same(read.body, made.body.flag)
  t.equal(read.headers.get('etag'), '"1"')
  t.equal(read.headers.get('sluice-revision'), '1')
  const seeds = await Promise.all(
    ['development', 'staging', 'production'].map(async e => (await call('GET', `${P}/environments/${e}/flags/new-cart`)).body.seed),
  )
  t.equal(new Set(seeds).size, 1, 'the same people in every environment')

  const whole = await call('GET', `${P}/flags/new-cart`)
  t.match(whole.body, {
    key: 'new-cart',
    kind: 'release',
    tags: ['checkout'],
    environments: { development: { version: 1 }, production: { version: 1 } },
  })
  const all = await call('GET', `${P}/flags`)
  t.match(all.body, {
    flags: [{ key: 'new-cart', kind: 'release', environments: { staging: { enabled: false, version: 1, killed: false } } }],
  })
})

t.test('a flag that exists is not made again', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  t.match(await call('POST', `${P}/flags`, { key: 'a', kind: 'release' }), {
    status: 409,
    body: { code: 'ALREADY_EXISTS', details: [{ path: 'key' }] },
  })
  await call('DELETE', `${D}/flags/a`)
  const again = await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  t.match(again, { status: 409, body: { code: 'ALREADY_EXISTS', message: /copy/ } }, 'not even where it was archived')
  t.match(await call('POST', `${D}/copy`, { from: 'staging', flags: ['a'] }), { status: 200, body: { flags: [{ key: 'a', version: 1 }] } })
})

t.test('a dry run checks everything, answers the change and writes nothing', async t => {
  const { call } = await startServer(t)
  const dry = await call('POST', `${P}/flags?dryRun=true`, { key: 'a', kind: 'release' })
  t.match(dry, { status: 200, body: { dryRun: true, revisions: { development: 0 }, changes: { development: { revision: 1 } } } })
  t.equal((await call('GET', `${D}/flags/a`)).status, 404)
  t.match(await call('POST', `${P}/flags?dryRun=true`, { key: 'a', kind: 'config' }), { status: 422, body: { code: 'INVALID_FLAG' } })
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const edit = await call('PATCH', `${D}/flags/a?dryRun=true`, { enabled: true })
  t.match(edit.body, { dryRun: true, revision: 1, change: { revision: 2 }, flag: { enabled: true, version: 2 } })
  t.match((await call('GET', `${D}/flags/a`)).body, { enabled: false, version: 1 })
  t.match((await call('DELETE', `${D}/flags/a?dryRun=true`)).body, { dryRun: true, change: { edits: [{ after: null }] } })
  t.equal((await call('GET', `${D}/flags/a`)).status, 200)
})

t.test('settings are edited in one environment; the comment may stand in the body or the query', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const edit = await call('PATCH', `${D}/flags/a`, {
    enabled: true,
    rules: [{ id: 'r', clauses: [], serve: { variation: 'on' } }],
    comment: 'go',
  })
  t.match(edit, {
    status: 200,
    body: { revision: 2, change: { action: 'flag.edit', comment: 'go' }, flag: { enabled: true, version: 2, rules: [{ id: 'r' }] } },
  })
  t.equal(edit.headers.get('etag'), '"2"')
  t.match((await call('PATCH', `${D}/flags/a?comment=stop`, { enabled: false })).body.change, { comment: 'stop', actor: { kind: 'key' } })
  t.match((await call('GET', `${P}/environments/production/flags/a`)).body, { enabled: false, version: 1, rules: [] })
  t.match(
    (await call('PATCH', `${D}/flags/a`, { enabled: false })).body,
    { revision: 3, change: null, flag: { version: 3 } },
    'what changes nothing is not written',
  )
})

t.test('If-Match guards an edit', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const match = (version: string) => ({ headers: { 'if-match': version } })
  t.equal((await call('PATCH', `${D}/flags/a`, { enabled: true }, match('"1"'))).status, 200)
  for (const [method, body] of [
    ['PATCH', { enabled: false }],
    ['DELETE', undefined],
  ] as const) {
    const stale = await call(method, `${D}/flags/a`, body, match('"1"'))
    t.match(
      stale,
      { status: 412, body: { code: 'VERSION_CONFLICT', details: [{ path: 'if-match', message: 'the current version is 2' }] } },
      method,
    )
  }
  t.match(await call('PATCH', `${D}/flags/a`, { enabled: false }, match('soon')), {
    status: 400,
    body: { code: 'INVALID_REQUEST', details: [{ path: 'if-match' }] },
  })
})

t.test('two edits that are right alone and a cycle together: one of them is refused', async t => {
  const { call } = await startServer(t)
  for (const key of ['a', 'b']) await call('POST', `${P}/flags`, { key, kind: 'release' })
  for (let i = 0; i < 10; i++) {
    const answers = await Promise.all([
      call('PATCH', `${D}/flags/a`, { prerequisites: [{ flag: 'b', variations: ['on'] }] }),
      call('PATCH', `${D}/flags/b`, { prerequisites: [{ flag: 'a', variations: ['on'] }] }),
    ])
    t.same(answers.map(({ status, body }) => body.code ?? status).sort(), [200, 'PREREQUISITE_CYCLE'])
    for (const key of ['a', 'b']) await call('PATCH', `${D}/flags/${key}`, { prerequisites: [] })
  }
})

t.test('If-Match guards an edit of the definition against a change in any environment', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const etag = (await call('GET', `${P}/flags/a`)).headers.get('etag') ?? ''
  await call('PATCH', `${P}/environments/production/flags/a`, { enabled: true })
  const match = (version: string) => ({ headers: { 'if-match': version } })
  t.match(await call('PATCH', `${P}/flags/a`, { owner: 'x' }, match(etag)), { status: 412, body: { code: 'VERSION_CONFLICT' } })
  t.match(await call('DELETE', `${P}/flags/a`, undefined, match(etag)), { status: 412, body: { code: 'VERSION_CONFLICT' } })
  const newer = (await call('GET', `${P}/flags/a`)).headers.get('etag') ?? ''
  t.equal((await call('PATCH', `${P}/flags/a`, { owner: 'x' }, match(newer))).status, 200)
})

t.test('of two editors with the same version one wins', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      call(
        'PATCH',
        `${D}/flags/a`,
        { rules: [{ id: `r${i}`, clauses: [], serve: { variation: 'on' } }] },
        { headers: { 'if-match': '"1"' } },
      ),
    ),
  )
  t.same(answers.map(answer => answer.status).sort(), [200, ...Array<number>(9).fill(412)])
})

t.test('a definition is edited in every environment at once, or in none', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, {
    key: 'a',
    kind: 'release',
    name: 'A',
    variations: [
      { key: 'on', value: true },
      { key: 'off', value: false },
      { key: 'also', value: true },
    ],
  })
  const edit = await call('PATCH', `${P}/flags/a`, { name: null, owner: 'dana', tags: ['x'] })
  t.match(edit, {
    status: 200,
    body: { revisions: { development: 2, staging: 2, production: 2 }, flag: { owner: 'dana', tags: ['x'], version: 2 } },
  })
  t.notOk('name' in edit.body.flag)
  await call('PATCH', `${P}/environments/production/flags/a`, { fallthrough: { variation: 'also' } })
  const refused = await call('PATCH', `${P}/flags/a`, {
    variations: [
      { key: 'on', value: true },
      { key: 'off', value: false },
    ],
  })
  t.match(refused, {
    status: 422,
    body: { code: 'INVALID_FLAG', message: /"a" in "default\/production"/, details: [{ path: 'fallthrough.variation' }] },
  })
  t.equal((await call('GET', `${D}/flags/a`)).body.variations.length, 3, 'nothing was written anywhere')
  t.match(await call('PATCH', `${P}/flags/nobody`, { owner: 'x' }), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
})

t.test('a clone has the settings, a seed of its own and no kills', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release', seed: 5, name: 'A' })
  await call('PATCH', `${D}/flags/a`, { enabled: true, rules: [{ id: 'r', clauses: [], serve: { variation: 'on' } }] })
  await call('POST', `${D}/flags/a/kills`, { reason: 'x' })
  const clone = await call('POST', `${P}/flags/a/clone`, { key: 'b', name: 'B' })
  t.match(clone, { status: 201, body: { flag: { key: 'b', name: 'B', enabled: true, kills: [], version: 1, rules: [{ id: 'r' }] } } })
  t.not(clone.body.flag.seed, 5)
  t.match((await call('GET', `${P}/environments/staging/flags/b`)).body, { enabled: false, seed: clone.body.flag.seed })
  t.match(await call('POST', `${P}/flags/a/clone`, { key: 'b' }), { status: 409, body: { code: 'ALREADY_EXISTS' } })
  t.match(await call('POST', `${P}/flags/nobody/clone`, { key: 'c' }), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
})

t.test('flags are listed by tag, kind, text and state', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release', tags: ['x'], enabled: true })
  await call('POST', `${P}/flags`, { key: 'b', kind: 'kill-switch', owner: 'Dana', tags: ['x', 'y'] })
  await call('POST', `${P}/flags`, { key: 'c', kind: 'release' })
  await call('POST', `${D}/flags/b/kills`, { reason: 'x' })
  const cases: [string, string[]][] = [
    ['', ['a', 'b', 'c']],
    ['?tag=x', ['a', 'b']],
    ['?kind=release', ['a', 'c']],
    ['?q=dANA', ['b']],
    ['?state=on', ['a']],
    ['?state=off', ['c']],
    ['?state=killed', ['b']],
    ['?tag=x&state=on', ['a']],
  ]
  for (const [query, keys] of cases) {
    const { body } = await call('GET', `${D}/flags${query}`)
    t.same(
      body.flags.map((flag: { key: string }) => flag.key),
      keys,
      query,
    )
  }
  t.match(await call('GET', `${D}/flags?state=broken`), { status: 400, body: { details: [{ path: 'state' }] } })
})

t.test('a flag in use is not archived', async t => {
  const clock = manualClock()
  const { call, services } = await startServer(t, { clock })
  await call('POST', `${P}/flags`, { key: 'parent', kind: 'release' })
  await call('POST', `${P}/flags`, { key: 'child', kind: 'release', prerequisites: [{ flag: 'parent', variations: ['on'] }] })
  for (const path of [`${D}/flags/parent?force=true`, `${P}/flags/parent?force=true`]) {
    const refused = await call('DELETE', path)
    t.match(
      refused,
      { status: 409, body: { code: 'FLAG_IN_USE', message: /is a prerequisite of "child"/, details: [{ code: 'prerequisite_of' }] } },
      path,
    )
  }
  const counts = [{ flag: 'child', variation: 'on', reason: 'FALLTHROUGH', count: 12_031 }]
  const by = { service: 'checkout-service', instance: 'i-1', sdk: 'node/1' }
  services.usage.add('default/development', { counts, dropped: 0, unknownOperators: [] }, by)
  clock.advance(3 * 3_600_000)
  t.match(await call('DELETE', `${D}/flags/child`), {
    status: 409,
    body: {
      code: 'FLAG_IN_USE',
      message: /was evaluated 3 h ago by checkout-service: 12,031 times in the last day\..*force=true/,
      details: [{ code: 'evaluated_recently' }],
    },
  })
  t.match(await call('DELETE', `${P}/flags/child`), { status: 409, body: { code: 'FLAG_IN_USE' } }, 'everywhere neither')
  t.equal((await call('DELETE', `${D}/flags/child?force=true&dryRun=true`)).status, 200, 'unless forced')
  clock.advance(RECENT_MS - 3 * 3_600_000)
  t.match(await call('DELETE', `${D}/flags/child`), { status: 200, body: { change: { action: 'flag.archive' } } }, 'or a day later')
  t.match(await call('GET', `${D}/flags/child`), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
  t.match(await call('DELETE', `${P}/flags/child`), {
    status: 200,
    body: { revisions: { development: 3, staging: 3 }, changes: { development: null } },
  })
})

t.test('a killed flag is not archived, forced or not', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await call('POST', `${D}/flags/a/kills`, { reason: 'smoke' })
  for (const path of [`${D}/flags/a?force=true`, `${P}/flags/a?force=true`]) {
    t.match(await call('DELETE', path), { status: 409, body: { code: 'FLAG_KILLED', details: [{ message: /smoke/ }] } }, path)
  }
})

t.test('an error helps the one who mistyped', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'new-cart', kind: 'release' })
  t.match(await call('GET', `${D}/flags/new-card`), { status: 404, body: { message: /Did you mean "new-cart"\?/ } })
  t.match(await call('GET', `${P}/flags/new-card`), { status: 404, body: { message: /Did you mean "new-cart"\?/ } })
  t.match(await call('GET', `${P}/environments/dev/flags/new-cart`), {
    status: 404,
    body: { code: 'ENVIRONMENT_NOT_FOUND', message: /development/ },
  })
  t.match(await call('GET', '/api/v1/projects/shop/flags'), { status: 404, body: { code: 'PROJECT_NOT_FOUND' } })
})

t.test('roles: a viewer reads, an editor of one environment edits there alone', async t => {
  const { call, makeKey } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const viewer = (await makeKey('admin', undefined, { grants: [{ role: 'viewer' }] })).token
  const operator = (await makeKey('admin', undefined, { grants: [{ role: 'operator', project: 'default' }] })).token
  const editor = (await makeKey('admin', undefined, { grants: [{ role: 'editor', project: 'default', environment: 'development' }] })).token
  const production = `${P}/environments/production`
  const cases: [string, string, unknown, string, number][] = [
    ['GET', `${D}/flags/a`, undefined, viewer, 200],
    ['GET', `${P}/flags`, undefined, viewer, 200],
    ['PATCH', `${D}/flags/a`, { enabled: true }, viewer, 403],
    ['POST', `${D}/flags/a/kills`, { reason: 'x' }, viewer, 403],
    ['POST', `${D}/explain`, { flag: 'a', context: {} }, viewer, 200],
    ['POST', `${D}/flags/a/kills`, { reason: 'x' }, operator, 201],
    ['DELETE', `${D}/flags/a/kills`, undefined, operator, 200],
    ['PATCH', `${D}/flags/a`, { enabled: true }, operator, 403],
    ['PATCH', `${D}/flags/a`, { enabled: true }, editor, 200],
    ['PATCH', `${production}/flags/a`, { enabled: true }, editor, 403],
    ['PATCH', `${P}/flags/a`, { owner: 'x' }, editor, 403],
    ['PUT', `${production}/ruleset`, { flags: [] }, editor, 403],
    ['POST', `${D}/copy`, { from: 'production', flags: ['a'] }, editor, 403],
    ['GET', `${D}/compare?with=production`, undefined, editor, 403],
  ]
  for (const [method, path, body, key, status] of cases) {
    t.equal((await call(method, path, body, { key })).status, status, `${method} ${path} ${key.slice(0, 12)}`)
  }
})
