import t from 'tap'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`
const S = `${P}/environments/staging`

t.test('environments are compared flag by flag', async t => {
  const { call } = await startServer(t)
  for (const key of ['a', 'b', 'c', 'd']) await call('POST', `${P}/flags`, { key, kind: 'release' })
  await call('PATCH', `${D}/flags/b`, { enabled: true })
  await call('DELETE', `${D}/flags/c`)
  await call('DELETE', `${S}/flags/d`)
  await call('POST', `${S}/flags/a/kills`, { reason: 'x' })
  const { body } = await call('GET', `${D}/compare?with=staging`)
  t.match(body, {
    flags: [
      { key: 'a', state: 'same', killed: { here: false, there: true } },
      { key: 'b', state: 'different', differences: [{ path: 'enabled', here: true, there: false }] },
      { key: 'c', state: 'missing-here' },
      { key: 'd', state: 'missing-there' },
    ],
  })
  t.match((await call('GET', `${D}/compare?with=staging&flag=b`)).body, { flags: [{ key: 'b' }] })
  t.match(await call('GET', `${D}/compare?with=staging&flag=nobody`), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
  t.match(await call('GET', `${D}/compare?with=nowhere`), { status: 404, body: { code: 'ENVIRONMENT_NOT_FOUND' } })
  t.match(await call('GET', `${D}/compare`), { status: 400, body: { details: [{ path: 'with' }] } })
})

t.test('settings are copied, kills are not', async t => {
  const { call } = await startServer(t)
  for (const key of ['a', 'b']) await call('POST', `${P}/flags`, { key, kind: 'release' })
  await call('PATCH', `${D}/flags/a`, { enabled: true, targets: [{ values: ['u'], variation: 'on' }] })
  await call('POST', `${D}/flags/a/kills`, { reason: 'here' })
  const { kill } = (await call('POST', `${S}/flags/a/kills`, { reason: 'there' })).body
  await call('DELETE', `${S}/flags/b`)
  const dry = await call('POST', `${S}/copy?dryRun=true`, { from: 'development', flags: ['a', 'b'] })
  t.match(dry, { status: 200, body: { dryRun: true, change: { action: 'flag.copy' } } })
  const done = await call('POST', `${S}/copy`, { from: 'development', flags: ['a', 'b'], comment: 'ready' })
  t.match(done, {
    status: 200,
    body: {
      change: { action: 'flag.copy', comment: 'ready' },
      flags: [
        { key: 'a', enabled: true, targets: [{}] },
        { key: 'b', version: 1 },
      ],
    },
  })
  t.same((await call('GET', `${S}/flags/a`)).body.kills, [kill])
  t.match(
    (await call('POST', `${S}/copy`, { from: 'development', flags: ['a'] })).body,
    { change: null, flags: [{ key: 'a' }] },
    'once is enough',
  )
})

t.test('what cannot be copied', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await call('POST', `${D}/segments`, { key: 's' })
  await call('PATCH', `${D}/flags/a`, { rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['s'] }], serve: { variation: 'on' } }] })
  const copy = (body: object) => call('POST', `${S}/copy`, body)
  t.match(await copy({ from: 'development', flags: ['a'] }), {
    status: 422,
    body: { code: 'INVALID_FLAG', details: [{ path: 'flags[0].rules[0].clauses[0].values[0]' }] },
  })
  t.match(await copy({ from: 'development', flags: ['nobody'] }), {
    status: 404,
    body: { code: 'FLAG_NOT_FOUND', message: /default\/development/ },
  })
  t.match(await copy({ from: 'nowhere', flags: ['a'] }), { status: 404, body: { code: 'ENVIRONMENT_NOT_FOUND' } })
  t.match(await copy({ from: 'development', flags: [] }), { status: 400, body: { details: [{ path: 'flags' }] } })
})
