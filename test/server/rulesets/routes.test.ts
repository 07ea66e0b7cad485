import t from 'tap'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`
const S = `${P}/environments/staging`

t.test('an export is sorted, sent back unchanged it changes nothing, and it fills another environment', async t => {
  const { call } = await startServer(t)
  for (const key of ['b', 'a']) await call('POST', `${P}/flags`, { key, kind: 'release' })
  await call('POST', `${D}/segments`, { key: 'staff', included: [{ values: ['u'] }] })
  await call('PATCH', `${D}/flags/b`, {
    enabled: true,
    rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['staff'] }], serve: { variation: 'on' } }],
  })
  const out = await call('GET', `${D}/ruleset`)
  t.same(
    out.body.flags.map((flag: { key: string }) => flag.key),
    ['a', 'b'],
  )
  t.equal(out.headers.get('etag'), '"4"')
  t.equal(out.headers.get('sluice-revision'), '4')
  t.match(await call('PUT', `${D}/ruleset`, out.body), {
    status: 200,
    body: { revision: 4, change: null, flags: { unchanged: 2 }, segments: { unchanged: 1 } },
  })

  const into = await call('PUT', `${S}/ruleset?comment=from%20development`, out.body)
  t.match(into, {
    status: 200,
    body: {
      revision: 3,
      change: { action: 'ruleset.import', comment: 'from development' },
      flags: { changed: ['b'], unchanged: 1 },
      segments: { created: ['staff'] },
    },
  })
  const again = await call('GET', `${S}/ruleset`)
  const content = (documents: { version: number }[]) => documents.map(({ version: _, ...rest }) => rest)
  t.same(content(again.body.flags), content(out.body.flags))
  t.same(content(again.body.segments), content(out.body.segments))

  const before = await call('GET', `${D}/ruleset?revision=2`)
  t.match(before.body, { flags: [{ key: 'a' }, { key: 'b', enabled: false }], segments: [] })
  t.equal(before.headers.get('sluice-revision'), '2')
  t.match((await call('GET', `${D}/ruleset?at=2020-01-01T00:00:00Z`)).body, { flags: [], segments: [] })
  t.match(await call('GET', `${D}/ruleset?revision=9`), { status: 404, body: { code: 'CHANGE_NOT_FOUND' } })
  t.match(await call('GET', `${D}/ruleset?revision=1&at=2020-01-01T00:00:00Z`), { status: 400, body: { details: [{ path: 'at' }] } })
})

t.test('what an import does not name is archived, seeds stay, versions are the server’s', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'kept', kind: 'release', seed: 42 })
  await call('POST', `${P}/flags`, { key: 'gone', kind: 'release' })
  await call('POST', `${D}/segments`, { key: 'old' })
  const body = {
    flags: [
      { key: 'kept', kind: 'release', enabled: true, version: 77 },
      { key: 'new', kind: 'kill-switch' },
    ],
    segments: [{ key: 's' }],
  }
  const dry = await call('PUT', `${D}/ruleset?dryRun=true`, body)
  t.match(dry, { status: 200, body: { dryRun: true, revision: 3, flags: { created: ['new'], changed: ['kept'], archived: ['gone'] } } })
  t.equal((await call('GET', `${D}/flags`)).body.flags.length, 2)
  const done = await call('PUT', `${D}/ruleset`, body, { headers: { 'if-match': '"3"' } })
  t.match(done, {
    status: 200,
    body: {
      revision: 4,
      flags: { created: ['new'], changed: ['kept'], archived: ['gone'], unchanged: 0 },
      segments: { created: ['s'], archived: ['old'] },
    },
  })
  t.match((await call('GET', `${D}/ruleset`)).body, {
    flags: [
      { key: 'kept', seed: 42, version: 2 },
      { key: 'new', version: 1, enabled: true },
    ],
    segments: [{ key: 's' }],
  })
  t.match(await call('PUT', `${D}/ruleset`, body), { status: 200, body: { change: null } }, 'the seed of a new flag is given once')
  t.match(await call('PUT', `${D}/ruleset`, { flags: [] }, { headers: { 'if-match': '"3"' } }), {
    status: 412,
    body: { code: 'VERSION_CONFLICT' },
  })
  t.match(await call('POST', `${D}/changes/4/revert`), { status: 200, body: { revision: 5 } }, 'and all of it is taken back at once')
  t.match((await call('GET', `${D}/ruleset`)).body, {
    flags: [{ key: 'gone' }, { key: 'kept', enabled: false }],
    segments: [{ key: 'old' }],
  })
})

t.test('an import never lifts a kill', async t => {
  const { call } = await startServer(t)
  for (const key of ['a', 'b']) await call('POST', `${P}/flags`, { key, kind: 'release' })
  const clean = (await call('GET', `${D}/ruleset`)).body
  const { kill } = (await call('POST', `${D}/flags/a/kills`, { reason: 'x' })).body
  const killed = (await call('GET', `${D}/ruleset`)).body

  t.match(await call('PUT', `${D}/ruleset`, clean), { status: 200, body: { change: null } })
  t.match((await call('GET', `${D}/flags/a`)).body.kills, [{ id: kill.id }])
  const dropping = await call('PUT', `${D}/ruleset`, { flags: [{ key: 'b', kind: 'release' }] })
  t.match(dropping, { status: 409, body: { code: 'FLAG_KILLED', message: /"a"/, details: [{ message: new RegExp(kill.id) }] } })
  const withoutOff = { flags: [{ key: 'a', kind: 'release', variations: [{ key: 'on', value: true }] }] }
  t.match(await call('PUT', `${D}/ruleset`, withoutOff), {
    status: 422,
    body: { code: 'INVALID_FLAG', details: [{ path: 'flags[0].variations' }] },
  })

  t.match(
    await call('PUT', `${S}/ruleset`, killed),
    { status: 200, body: { ignoredKills: [{ flag: 'a', id: kill.id }] } },
    'nor makes one, and says so',
  )
  t.same((await call('GET', `${S}/kills`)).body.kills, [])
})

t.test('an import that is wrong anywhere is refused whole, with every place', async t => {
  const { call } = await startServer(t)
  const flag = (key: string, more: object = {}) => ({ key, kind: 'release', ...more })
  const needs = (parent: string) => ({ prerequisites: [{ flag: parent, variations: ['on'] }] })
  const cases: [unknown, number, string, string[]][] = [
    [{ flags: [flag('a'), flag('a')] }, 400, 'INVALID_REQUEST', ['flags[1].key']],
    [{ flags: [], segments: [{ key: 's' }, { key: 's' }] }, 400, 'INVALID_REQUEST', ['segments[1].key']],
    [{ flags: [flag('a'), { key: 'b', kind: 'config' }] }, 422, 'INVALID_FLAG', ['flags[1].variations']],
    [
      { flags: [flag('a', { offVariation: 'x' }), flag('b', needs('nobody'))] },
      422,
      'INVALID_FLAG',
      ['flags[0].offVariation', 'flags[1].prerequisites[0].flag'],
    ],
    [{ flags: [flag('a', needs('b')), flag('b', needs('a'))] }, 422, 'PREREQUISITE_CYCLE', ['flags[0].prerequisites']],
    [
      { flags: [], segments: [{ key: 's', rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['s'] }] }] }] },
      422,
      'SEGMENT_CYCLE',
      ['segments[0].rules'],
    ],
    [{ flags: [flag('a', { rule: [] })] }, 400, 'INVALID_REQUEST', ['flags[0].rule']],
    [{ flag: [] }, 400, 'INVALID_REQUEST', ['flags', 'flag']],
    [[], 400, 'INVALID_REQUEST', ['']],
  ]
  for (const [body, status, code, paths] of cases) {
    const answer = await call('PUT', `${D}/ruleset`, body)
    t.match(answer, { status, body: { code } }, JSON.stringify(body))
    t.same(
      answer.body.details.map((detail: { path: string }) => detail.path),
      paths,
      JSON.stringify(body),
    )
  }
  t.equal((await call('GET', `${D}/changes`)).body.revision, 0)
  t.equal((await call('PUT', `${D}/ruleset`, { flags: [flag('child', needs('parent')), flag('parent')] })).status, 200, 'in whatever order')
})

t.test('an import larger than an ordinary body is taken', async t => {
  const { call } = await startServer(t)
  const values = Array.from({ length: 1_000 }, (_, i) => `account-${i}`)
  const flags = Array.from({ length: 100 }, (_, i) => ({ key: `f${i}`, kind: 'release', targets: [{ values, variation: 'on' }] }))
  t.ok(JSON.stringify({ flags }).length > 1024 * 1024)
  t.match(await call('PUT', `${D}/ruleset`, { flags }), { status: 200, body: { revision: 1 } })
})
