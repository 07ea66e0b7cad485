/** Valves by hand, over the API of a real server. */
import t from 'tap'
import type { Flag } from '../../../schemas/flag.ts'
import { valveOf } from '../../../sdk/evaluator/valve.ts'
import { startServer } from '../start.ts'

const PROJECT = '/api/v1/projects/default'
const ENVIRONMENT = `${PROJECT}/environments/development`
const FLAG = 'payments-vendor'
const EVERYONE = { percent: 50, reason: 'vendor is slow' }
const clauses = [{ attribute: '/account/id', op: 'in', values: ['a-17'] }]

const server = await startServer(t)
const system = { kind: 'system' as const, id: 'trigger', name: 'trigger "payments-5xx"' }

async function valve(key: string, more: object = {}): Promise<void> {
  const created = await server.call('POST', `${PROJECT}/flags`, { key, kind: 'safety-valve', ...more })
  if (created.status >= 300) throw new Error(JSON.stringify(created.body))
}
const read = async (key: string, environment = 'development'): Promise<Flag> =>
  (await server.call('GET', `${PROJECT}/environments/${environment}/flags/${key}`)).body as Flag
const post = (key: string, body: object, query = '') => server.call('POST', `${ENVIRONMENT}/valves/${key}/throttle${query}`, body)

t.test('half of the calls by one command, and taken away as it was', async t => {
  await valve(FLAG, { tags: ['dependency:payments'] })
  const before = await read(FLAG)
  const made = await post(FLAG, EVERYONE)
  t.equal(made.status, 201)
  t.match(made.body, {
    existing: false,
    kill: null,
    before: { by: 'flag', percent: 100, isAuto: true },
    throttle: { percent: 50, clauses: [] },
  })
  const during = await read(FLAG)
  t.match(
    during.rules[0],
    { clauses: [], description: 'vendor is slow', serve: { variation: 'half' } },
    'a variation that says the same is served',
  )
  t.equal(made.body.change.action, 'valve.throttle')

  const again = await post(FLAG, EVERYONE)
  t.match([again.status, again.body.existing, again.body.change], [200, true, null])
  const less = await post(FLAG, { percent: 12.5, reason: 'worse' })
  t.match(less.body, { throttle: { percent: 12.5, variation: 'valve-12.5' }, before: { by: 'throttle', percent: 50, isAuto: false } })
  t.same(
    less.body.warnings.filter(({ code }: { code: string }) => code === 'more'),
    [],
    'less is no news',
  )
  t.same(Object.keys(less.body.elsewhere).sort(), ['production', 'staging'], 'what a flag is, is the same everywhere')
  const more = await post(FLAG, { percent: 60, reason: 'better' })
  t.match(more.body.warnings[0], { code: 'more', path: 'percent' }, 'letting more through is named')

  const list = await server.call('GET', `${ENVIRONMENT}/valves`)
  t.match(list.body.valves, [{ flag: FLAG, state: 'throttled', admit: 0.6, throttles: [{ percent: 60 }], record: null }])
  const gone = await server.call('DELETE', `${ENVIRONMENT}/valves/${FLAG}/throttle?comment=mended`)
  t.match(gone.body, { throttle: { percent: 60 }, change: { action: 'valve.throttle', comment: 'mended' } })
  const { version: _before, ...stood } = before
  const { version: _after, ...stands } = await read(FLAG)
  t.same(stands, stood, 'everything is as it was')
  t.same((await read(FLAG, 'production')).variations, before.variations, 'elsewhere too')
  t.equal((await server.call('DELETE', `${ENVIRONMENT}/valves/${FLAG}/throttle`)).body.change, null, 'nothing to take away writes nothing')
})

t.test('0 % is an ordinary kill that serves a cut, and 100 % lets everything through', async t => {
  await valve('search')
  const killed = await post('search', { percent: 0, reason: 'double charges' })
  t.match(killed.body, {
    kill: { variation: 'cut', reason: 'double charges', clauses: [] },
    throttle: null,
    change: { action: 'flag.kill' },
  })
  t.equal((await post('search', { percent: 0, reason: 'double charges' })).body.existing, true)
  const flow = await post('search', { percent: 100, reason: 'it is our probe that is wrong' })
  t.match(flow.body.throttle, { percent: 100, variation: 'flow', value: { mode: 'flow' } })
  t.match(flow.body.warnings.map(({ code }: { code: string }) => code).sort(), ['killed', 'more'])
  t.match((await server.call('GET', `${ENVIRONMENT}/valves/search`)).body.valve, { state: 'cut', setting: { by: 'kill', percent: 0 } })
  await server.call('DELETE', `${ENVIRONMENT}/flags/search/kills`)
  t.match((await server.call('GET', `${ENVIRONMENT}/valves/search`)).body.valve, {
    state: 'flowing',
    setting: { by: 'throttle', percent: 100 },
  })
})

t.test('some contexts are throttled apart from everyone, and keep that when everyone is', async t => {
  await valve('mail')
  const apart = await post('mail', { percent: 10, reason: 'hammering', clauses })
  const all = await post('mail', EVERYONE)
  t.match(all.body.warnings.find(({ code }: { code: string }) => code === 'others')?.message, apart.body.throttle.id)
  const flag = await read('mail')
  t.same(
    flag.rules.map(({ serve }) => serve),
    [{ variation: 'valve-10' }, { variation: 'half' }],
  )
  const dry = await server.call('DELETE', `${ENVIRONMENT}/valves/mail/throttle?id=${apart.body.throttle.id}&dryRun=true`)
  t.match(dry.body, { dryRun: true, throttle: { percent: 10 } })
  t.equal((await read('mail')).rules.length, 2, 'a dry run changes nothing')
  await server.call('DELETE', `${ENVIRONMENT}/valves/mail/throttle?id=${apart.body.throttle.id}`)
  t.same((await read('mail')).rules.length, 1)
  t.match(await server.call('DELETE', `${ENVIRONMENT}/valves/mail/throttle?id=${apart.body.throttle.id}`), {
    status: 404,
    body: { code: 'THROTTLE_NOT_FOUND' },
  })
})

t.test('what is set keeps what the application needs to know', async t => {
  const value = { mode: 'auto', fallback: 'cached', stickyBy: '/account/id', shadow: true, breaker: { timeoutMs: 2_000 } }
  await valve('vendor', {
    variations: [
      { key: 'auto', value },
      { key: 'cut', value: { mode: 'cut' } },
    ],
  })
  const { throttle } = (await post('vendor', { percent: 30, reason: 'slow' })).body
  t.same(throttle.value, { mode: 'throttle', admit: 0.3, fallback: 'cached', stickyBy: '/account/id', breaker: { timeoutMs: 2_000 } })
})

t.test('a system only ever lets less through than passes', async t => {
  await valve('ledger')
  const { valves, log } = server.services
  const name = 'default/development'
  const by = { actor: system, comment: 'error rate' }
  t.equal(valves.standing(name, 'ledger'), 100)
  const half = await valves.throttle(name, 'ledger', 50, by)
  t.match(half.change, { actor: system, action: 'valve.throttle' })
  t.equal(valves.standing(name, 'ledger'), 50)
  const served = (flag: Flag | undefined) =>
    valveOf(flag?.variations.find(({ key }) => 'variation' in flag.rules[0]!.serve && key === flag.rules[0]!.serve.variation)?.value)
  t.match(served(log.state(name).documents.flag.get('ledger')), { mode: 'auto', admit: 0.5 }, 'below it the valve moves by itself')
  t.equal((await valves.throttle(name, 'ledger', 80, by)).change, null, 'more is refused')
  t.equal((await valves.throttle(name, 'ledger', 50, by)).change, null, 'as much too')
  await valves.throttle(name, 'ledger', 20, { actor: { kind: 'key', id: 'k', name: 'dana' }, comment: 'by hand' })
  t.equal((await valves.throttle(name, 'ledger', 30, by)).change, null, "a person's word stands")
  t.match((await valves.throttle(name, 'ledger', 0, by)).change, { action: 'flag.kill' })
  t.equal(valves.standing(name, 'ledger'), 0)
  t.equal((await valves.release(name, 'ledger', { ...by, dryRun: true })).change?.action, 'valve.throttle')
})

t.test('what is no valve is refused, and so is who may not', async t => {
  await server.call('POST', `${PROJECT}/flags`, { key: 'checkout', kind: 'release' })
  t.match(await post('checkout', EVERYONE), { status: 422, body: { code: 'INVALID_FLAG' } })
  t.match(await server.call('GET', `${ENVIRONMENT}/valves/checkout`), { status: 400, body: { code: 'INVALID_REQUEST' } })
  t.match(await post('nothing', EVERYONE), { status: 404, body: { code: 'FLAG_NOT_FOUND' } })
  for (const percent of [-1, 101, '50', null]) t.equal((await post(FLAG, { ...EVERYONE, percent })).status, 400, `${percent} %`)
  t.equal((await post(FLAG, { percent: 50, reason: '' })).status, 400)
  const viewer = await server.makeKey('admin', 'development', { grants: [{ role: 'viewer', project: 'default' }] })
  t.equal((await server.call('GET', `${ENVIRONMENT}/valves`, undefined, { key: viewer.token })).status, 200)
  t.match(await server.call('POST', `${ENVIRONMENT}/valves/${FLAG}/throttle`, EVERYONE, { key: viewer.token }), { status: 403 })
})
