import t from 'tap'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`

t.test('a segment is made, read, edited and archived', async t => {
  const { call } = await startServer(t)
  const made = await call('POST', `${D}/segments`, { key: 'staff', included: [{ values: ['u-1'] }], comment: 'ours' })
  t.match(made, {
    status: 201,
    body: {
      revision: 1,
      change: { action: 'segment.create', comment: 'ours' },
      segment: { key: 'staff', version: 1, excluded: [], rules: [] },
    },
  })
  const read = await call('GET', `${D}/segments/staff`)
  t.same(read.body, made.body.segment)
  t.equal(read.headers.get('etag'), '"1"')
  const edit = await call(
    'PATCH',
    `${D}/segments/staff`,
    { name: 'Staff', excluded: [{ attribute: 'plan', values: ['trial'] }] },
    { headers: { 'if-match': '"1"' } },
  )
  t.match(edit, { status: 200, body: { revision: 2, segment: { name: 'Staff', version: 2, included: [{ values: ['u-1'] }] } } })
  t.match(await call('PATCH', `${D}/segments/staff`, { name: null }, { headers: { 'if-match': '"1"' } }), {
    status: 412,
    body: { code: 'VERSION_CONFLICT' },
  })
  t.notOk('name' in (await call('PATCH', `${D}/segments/staff?dryRun=true`, { name: null })).body.segment)
  t.match((await call('GET', `${D}/segments`)).body, { revision: 2, segments: [{ key: 'staff' }] })
  t.match(await call('POST', `${D}/segments`, { key: 'staff' }), {
    status: 409,
    body: { code: 'ALREADY_EXISTS', details: [{ path: 'key' }] },
  })
  t.match(await call('DELETE', `${D}/segments/staff`), { status: 200, body: { revision: 3, change: { action: 'segment.archive' } } })
  t.match(await call('GET', `${D}/segments/staff`), { status: 404, body: { code: 'SEGMENT_NOT_FOUND' } })
})

t.test('a segment in use is not archived: by a rule, by another segment, by a kill', async t => {
  const { call } = await startServer(t)
  for (const key of ['ruled', 'nested', 'killed']) await call('POST', `${D}/segments`, { key })
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await call('PATCH', `${D}/flags/a`, { rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['ruled'] }], serve: { variation: 'on' } }] })
  await call('POST', `${D}/segments`, { key: 'outer', rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['nested'] }] }] })
  await call('POST', `${D}/flags/a/kills`, { reason: 'x', clauses: [{ op: 'segment', values: ['killed'] }] })
  for (const [key, user] of [
    ['ruled', 'flag "a"'],
    ['nested', 'segment "outer"'],
    ['killed', 'flag "a"'],
  ] as const) {
    t.match(
      await call('DELETE', `${D}/segments/${key}`),
      { status: 409, body: { code: 'SEGMENT_IN_USE', message: new RegExp(`used by ${user}`) } },
      key,
    )
  }
})

t.test('what a segment may not be', async t => {
  const { call } = await startServer(t)
  await call('POST', `${D}/segments`, { key: 'a' })
  await call('POST', `${D}/segments`, { key: 'b', rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['a'] }] }] })
  const cases: [string, string, unknown, number, string, string][] = [
    [
      'POST',
      'segments',
      {
        key: 'c',
        rules: [
          { id: 'r', clauses: [] },
          { id: 'r', clauses: [] },
        ],
      },
      422,
      'INVALID_SEGMENT',
      'rules[1].id',
    ],
    [
      'POST',
      'segments',
      { key: 'c', rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['x'] }] }] },
      422,
      'INVALID_SEGMENT',
      'rules[0].clauses[0].values[0]',
    ],
    [
      'POST',
      'segments',
      { key: 'c', rules: [{ id: 'r', clauses: [{ attribute: 'v', op: 'semverEqual', values: ['v1'] }] }] },
      422,
      'INVALID_SEGMENT',
      'rules[0].clauses[0].values[0]',
    ],
    ['PATCH', 'segments/a', { rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['b'] }] }] }, 422, 'SEGMENT_CYCLE', 'rules'],
    ['POST', 'segments', { key: 'c', member: [] }, 400, 'INVALID_REQUEST', 'member'],
    ['POST', 'segments', { key: '../c' }, 400, 'INVALID_REQUEST', 'key'],
    ['PATCH', 'segments/nobody', { name: 'x' }, 404, 'SEGMENT_NOT_FOUND', ''],
  ]
  for (const [method, path, body, status, code, place] of cases) {
    const answer = await call(method, `${D}/${path}`, body)
    t.match(answer, { status, body: { code, details: place === '' ? [] : [{ path: place }] } }, JSON.stringify(body))
  }
})
