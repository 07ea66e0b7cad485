import t from 'tap'
import { FLOOR_BURST, networkOf, RESERVED_BURST } from '../../../server/limits/api.ts'
import { manualClock } from '../../clock.ts'
import { type Answer, startServer, type TestServer } from '../start.ts'

const FLAG = '/api/v1/projects/sluice/environments/api/flags/api-requests'
const D = '/api/v1/projects/default/environments/development'
const READ = `${D}/flags`

/** What the flag serves for everyone with a key, and for strangers. */
async function limitTo(server: TestServer, usual: object, strangers: object = { rate: 1, per: 'second', burst: 3, keyBy: ['network'] }) {
  const variations = [
    { key: 'usual', value: usual },
    { key: 'strangers', value: strangers },
    { key: 'off', value: { unlimited: true } },
  ]
  return server.call('PATCH', '/api/v1/projects/sluice/flags/api-requests?force=true', { variations })
}

const twice = async (times: number, ask: () => Promise<Answer>): Promise<number[]> => {
  const statuses: number[] = []
  for (let i = 0; i < times; i++) statuses.push((await ask()).status)
  return statuses
}
const count = (statuses: readonly number[], status: number): number => statuses.filter(each => each === status).length

t.test('the limit of the API is a flag that is built in: listed, edited like any other, and never removed', async t => {
  const server = await startServer(t)
  const { call } = server
  t.match((await call('GET', '/api/v1/projects')).body.projects, [
    { key: 'default', builtIn: false },
    { key: 'sluice', builtIn: true, environments: ['api'] },
  ])
  t.match(await call('GET', FLAG), { status: 200, body: { kind: 'rate-limit', enabled: true } })
  t.match(await call('PATCH', FLAG, { fallthrough: { variation: 'off' } }), { status: 200 })
  const refused: [method: string, path: string, body?: object][] = [
    ['DELETE', `${FLAG}?force=true`],
    ['DELETE', '/api/v1/projects/sluice/flags/api-requests?force=true'],
    ['DELETE', '/api/v1/projects/sluice/environments/api?force=true'],
    ['DELETE', '/api/v1/projects/sluice'],
    ['POST', '/api/v1/projects/sluice/environments', { key: 'more' }],
    ['PUT', '/api/v1/projects/sluice/environments/api/ruleset', { flags: [] }],
    ['PATCH', '/api/v1/projects/sluice/flags/api-requests', { kind: 'config' }],
  ]
  for (const [method, path, body] of refused)
    t.match(await call(method, path, body), { status: 409, body: { code: 'BUILT_IN' } }, `${method} ${path}`)
  await server.restart()
  t.match((await call('GET', FLAG)).body, { fallthrough: { variation: 'off' }, version: 2 }, 'a restart keeps what was set')
})

t.test('keys of a project do not see it, and only admins of the server change it', async t => {
  const { call, makeKey } = await startServer(t)
  const keyOf = async (grant: object): Promise<string> => (await makeKey('admin', '', { grants: [grant] })).token
  const project = await keyOf({ role: 'admin', project: 'default' })
  t.same((await call('GET', '/api/v1/projects', undefined, { key: project })).body.projects.length, 1)
  t.equal((await call('GET', FLAG, undefined, { key: project })).status, 403)
  const environment = await keyOf({ role: 'admin', environment: 'production' })
  t.same((await call('GET', '/api/v1/projects', undefined, { key: environment })).body.projects.length, 1)
  const editor = await keyOf({ role: 'editor' })
  t.equal((await call('GET', FLAG, undefined, { key: editor })).status, 200)
  for (const [method, path, body] of [
    ['PATCH', FLAG, { enabled: false }],
    ['POST', `${FLAG}/kills`, { reason: 'no limits' }],
    ['POST', `${FLAG}/limits`, { clauses: [{ attribute: 'ip', op: 'exists', values: [true] }], value: { unlimited: true }, reason: 'me' }],
  ] as const)
    t.equal((await call(method, path, body, { key: editor })).status, 403, `${method} ${path}`)
})

t.test('a key that floods is told to wait, and keeps nobody else', async t => {
  const server = await startServer(t, { clock: manualClock() })
  const { call, makeKey } = server
  const other = (await makeKey('admin', '', { grants: [{ role: 'viewer' }] })).token
  const flooding = (await makeKey('admin', '', { grants: [{ role: 'viewer' }] })).token
  await limitTo(server, { rate: 2, per: 'second', burst: 30, keyBy: ['/key/id'] })
  const read = (key: string): Promise<Answer> => call('GET', READ, undefined, { key })
  const statuses = await twice(30 + FLOOR_BURST + 10, () => read(flooding))
  t.equal(count(statuses, 200), 30 + FLOOR_BURST, 'its burst and its floor')
  const denied = await read(flooding)
  t.match(denied, { status: 429, body: { code: 'TOO_MANY_REQUESTS' } })
  t.match(Object.fromEntries(denied.headers), { 'retry-after': '1', 'ratelimit-policy': '"usual";q=2;w=1', ratelimit: '"usual";r=0;t=1' })
  const fine = await read(other)
  t.equal(fine.status, 200)
  t.equal(fine.headers.get('ratelimit'), '"usual";r=29;t=1')

  const forged = await call('GET', READ, undefined, {
    key: flooding,
    headers: { 'x-forwarded-for': '203.0.113.9', 'x-real-ip': '203.0.113.9' },
  })
  t.equal(forged.status, 429, 'another address in a header is the same key')
})

t.test('a flood never delays a kill, by another key nor by the one that floods', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  const { call, makeKey } = server
  const grants = { grants: [{ role: 'operator' }] }
  const [flooding, other] = [(await makeKey('admin', '', grants)).token, (await makeKey('admin', '', grants)).token]
  for (const key of ['a', 'b']) await call('POST', '/api/v1/projects/default/flags', { key, kind: 'kill-switch' })
  await limitTo(server, { rate: 0, per: 'second', keyBy: [] })
  const flood = twice(80, () => call('GET', READ, undefined, { key: flooding }))
  const kills = [flooding, other].map((key, i) => call('POST', `${D}/flags/${i === 0 ? 'a' : 'b'}/kills`, { reason: 'fire' }, { key }))
  t.same(
    (await Promise.all(kills)).map(answer => answer.status),
    [201, 201],
  )
  t.equal(count(await flood, 200), FLOOR_BURST)
  t.equal((await call('GET', READ, undefined, { key: flooding })).status, 429, 'it is still held')
  t.equal((await call('DELETE', `${D}/flags/a/kills`, undefined, { key: flooding })).status, 200, 'and lifts')

  const lifts = await twice(RESERVED_BURST, () => call('DELETE', `${D}/flags/b/kills`, undefined, { key: flooding }))
  t.equal(count(lifts, 429), 2, 'a loop of kills ends as well: two of its budget were used before')
})

t.test('a limit of nothing is mended by an admin, and killed or off it limits nothing', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  const { call } = server
  await limitTo(server, { rate: 0, per: 'second' }, { rate: 0, per: 'second' })
  const statuses = await twice(FLOOR_BURST + 5, () => call('GET', READ))
  t.ok(count(statuses, 429) > 0)
  clock.advance(1_000)
  t.equal((await call('PATCH', FLAG, { enabled: false })).status, 200, 'the floor comes back every second')
  t.equal(count(await twice(50, () => call('GET', READ)), 200), 50, 'off')
  await call('PATCH', FLAG, { enabled: true })
  t.ok(count(await twice(FLOOR_BURST + 5, () => call('GET', READ)), 429) > 0)
  t.equal((await call('POST', `${FLAG}/kills`, { reason: 'locked out', variation: 'usual' })).status, 201)
  t.equal(count(await twice(50, () => call('GET', READ)), 200), 50, 'killed, whatever the kill serves')
  t.equal((await call('GET', READ, undefined, { key: null })).status, 401)
})

t.test('strangers are limited by their network, and never keep out who has a key', async t => {
  const server = await startServer(t, { clock: manualClock() })
  const { call } = server
  await limitTo(server, { rate: 100, per: 'second', burst: 100 })
  const ask = (i: number): Promise<Answer> =>
    call('GET', READ, undefined, { key: i % 2 === 0 ? null : `guess-${i}`, headers: { 'x-forwarded-for': `198.51.100.${i}` } })
  const statuses = []
  for (let i = 0; i < 8; i++) statuses.push((await ask(i)).status)
  t.same(statuses, [401, 401, 401, 429, 429, 429, 429, 429], 'whatever they say of where they come from')
  t.equal((await call('GET', READ)).status, 200)
  t.equal((await call('GET', '/healthz', undefined, { key: null })).status, 200)
})

t.test('evaluations and polls are not limited', async t => {
  const server = await startServer(t, { clock: manualClock() })
  const { call, serverKey } = server
  await call('POST', '/api/v1/projects/default/flags', { key: 'a', kind: 'kill-switch' })
  await limitTo(server, { rate: 0, per: 'second', keyBy: [] })
  const evaluate = (): Promise<Answer> => call('POST', '/ofrep/v1/evaluate/flags/a', {}, { key: serverKey })
  t.equal(count(await twice(40, evaluate), 200), 40)
  t.equal((await evaluate()).headers.get('ratelimit'), null)
  t.equal(count(await twice(40, () => call('GET', '/ruleset', undefined, { key: serverKey })), 200), 40)
})

t.test('shadow watches, and the limit can be switched off by a start', async t => {
  const server = await startServer(t, { clock: manualClock() })
  await limitTo(server, { rate: 0, per: 'second', mode: 'shadow' })
  t.equal(count(await twice(40, () => server.call('GET', READ)), 200), 40)
  await limitTo(server, { rate: 0, per: 'second' })
  await server.restart({ config: { apiLimit: 'off' } })
  t.equal(count(await twice(60, () => server.call('GET', READ)), 200), 60)
})

t.test('an IPv6 address counts as its network of 64 bits', async t => {
  t.equal(networkOf('203.0.113.9'), '203.0.113.9')
  t.equal(networkOf('::ffff:203.0.113.9'), '203.0.113.9')
  t.equal(networkOf('2001:DB8:0:1:aaaa::1'), '2001:db8:0:1::/64')
  t.equal(networkOf('2001:db8:0:1:bbbb:0:0:2'), '2001:db8:0:1::/64')
  t.equal(networkOf('2001:db8::1'), '2001:db8:0:0::/64')
  t.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64')
  t.equal(networkOf('::1'), '0:0:0:0::/64')
})
