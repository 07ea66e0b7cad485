import { mkdirSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { PROTOCOL } from '../../schemas/stream.ts'
import { connect } from '../../sdk/index.ts'
import { startServer, type TestServer } from '../server/start.ts'
import { cliOf } from './run.ts'

/** Longer than any test runs: an instance that lives always confirms in it. */
const WAIT = ['--wait', '30s']

async function begin(t: Test): Promise<{ server: TestServer; sluice: ReturnType<typeof cliOf> }> {
  const server = await startServer(t)
  const home = join(server.data, '..', 'home')
  mkdirSync(home)
  for (const [key, tags] of [
    ['checkout', ['dependency:payments-vendor']],
    ['refunds', ['dependency:payments-vendor']],
    ['banner', []],
  ] as const) {
    await server.call('POST', '/api/v1/projects/default/flags', { key, kind: 'release', tags })
    await server.call('PATCH', `/api/v1/projects/default/environments/development/flags/${key}`, { enabled: true })
  }
  await server.call('PATCH', '/api/v1/projects/default/environments/development/flags/banner', {
    prerequisites: [{ flag: 'checkout', variations: ['on'] }],
  })
  return { server, sluice: cliOf(t, home, { url: server.url }) }
}

t.test('a kill says what was killed, for whom, how far it has arrived, and the command that undoes it', async t => {
  const { server, sluice } = await begin(t)
  const application = connect({ url: server.url, key: server.serverKey, service: 'shop' })
  t.teardown(() => application.close())
  await application.ready()
  const android = { targetingKey: 'a', device: { os: 'android' } }
  const ios = { targetingKey: 'a', device: { os: 'ios' } }
  t.equal(application.value('checkout', android, false), true)

  const kill = await sluice(['kill', 'checkout', '-e', 'development', '--where', '/device/os=android', '-m', 'double charges', ...WAIT])
  t.equal(kill.code, 0, kill.stderr)
  t.equal(kill.stderr, '')
  t.match(kill.stdout, /^KILLED checkout in development$/m)
  t.match(kill.stdout, /serves +off \(false\)/)
  t.match(kill.stdout, /affects +contexts where \/device\/os is "android"/)
  t.match(kill.stdout, /also off +banner \(it needs checkout, for the same contexts\)/)
  t.match(kill.stdout, /reason +"double charges"/)
  t.match(kill.stdout, /revision +\d+$/m)
  t.match(kill.stdout, /arrived +1 of 1 instances in [\d.]+ m?s/)
  t.notMatch(kill.stdout, '\u001b', 'CI=true brings no colours')
  t.equal(application.value('checkout', android, true), false, 'what is confirmed is served')
  t.equal(application.value('checkout', ios, false), true)

  const undo = /^sluice (lift checkout -e development --id k_\w+)$/m.exec(kill.stdout)?.[1]
  t.ok(undo, 'the undo stands on a line of its own')
  const lift = await sluice([...(undo ?? '').split(' '), ...WAIT])
  t.equal(lift.code, 0, lift.stderr)
  t.match(lift.stdout, /^LIFTED k_\w+ on checkout in development$/m)
  t.match(lift.stdout, /serves +what stood before: on/)
  t.match(lift.stdout, /^sluice kill checkout -e development --where \/device\/os=android --variation off -m 'double charges'$/m)
  t.equal(application.value('checkout', android, false), true)
})

t.test('the answer for programs holds everything the text does', async t => {
  const { server, sluice } = await begin(t)
  const json = (
    await sluice(['kill', 'checkout', '-e', 'development', '-m', 'why', '--until', '2h', '--incident', 'INC-1', '--json'])
  ).json()
  t.match(json, {
    flag: 'checkout',
    environment: 'development',
    existing: false,
    kill: { variation: 'off', clauses: [], reason: 'why', incident: 'INC-1' },
    receipts: { instances: 0, confirmed: 0 },
  })
  t.equal(json.undo, `sluice lift checkout -e development --id ${json.kill.id}`)
  t.ok(Date.parse(json.kill.until) > Date.now())
  const kills = (await sluice(['kills', '--json'])).json()
  t.same(
    kills.kills.map((kill: { flag: string; id: string }) => [kill.flag, kill.id]),
    [['checkout', json.kill.id]],
  )
  t.match((await sluice(['kills'])).stdout, /checkout +k_\w+ +off +everyone .*"why"/)
  const lifted = (await sluice(['lift', 'checkout', '-e', 'development', '--json'])).json()
  t.same(lifted.lifted, [json.kill.id])
  const { body } = await server.call('GET', '/api/v1/projects/default/environments/development/kills')
  t.same(body.kills, [])
})

t.test('many flags are killed by tag in one change and lifted by what the kill printed', async t => {
  const { sluice } = await begin(t)
  const dry = await sluice(['kill', '--tag', 'dependency:payments-vendor', '-e', 'development', '-m', 'vendor is down', '--dry-run'])
  t.equal(dry.code, 0, dry.stderr)
  t.match(dry.stdout, /WOULD KILL: 2 flags tagged dependency:payments-vendor in development/)
  t.match(dry.stdout, /nothing was changed \(--dry-run\)/)
  t.notMatch(dry.stdout, /^sluice lift/m)
  t.match((await sluice(['kills'])).stdout, /No kill stands in development/)

  const kill = await sluice(['kill', '--tag', 'dependency:payments-vendor', '-e', 'development', '-m', 'vendor is down'])
  t.match(kill.stdout, /KILLED: 2 flags/)
  t.match(kill.stdout, /also off +banner \(it needs them\)/)
  const undo = /^sluice (lift -e development( --id k_\w+){2})$/m.exec(kill.stdout)?.[1] ?? ''
  const lift = (await sluice([...undo.split(' '), '--json'])).json()
  t.equal(lift.length, 2)

  await sluice(['kill', 'checkout', '-e', 'development', '-m', 'the first'])
  const both = await sluice(['kill', 'checkout', 'refunds', '-e', 'development', '-m', 'the second'])
  t.match(both.stdout, /checkout serves .*as before: the same kill stood already/)
  t.match(both.stdout, /reason +"the second"/, 'told is what this command did')
  t.notMatch(both.stdout, /the first/)
  const byTag = await sluice(['lift', '--tag', 'dependency:payments-vendor', '-e', 'development'])
  t.match(byTag.stdout, /LIFTED every kill on flags tagged dependency:payments-vendor in development/)
  t.match(byTag.stdout, /not alike: see them with "sluice history -e development --revision \d+"/, 'where no single command undoes it')
  t.match((await sluice(['kills'])).stdout, /No kill stands in development/)
})

t.test('killing twice is one kill, and two kills are not lifted by accident', async t => {
  const { sluice } = await begin(t)
  const words = ['kill', 'checkout', '-e', 'development', '-m', 'one', '--wait', '0']
  const first = (await sluice([...words, '--json'])).json()
  const second = await sluice(words)
  t.equal(second.code, 0)
  t.match(second.stdout, `ALREADY KILLED: checkout in development, by the same kill ${first.kill.id}`)
  t.match(second.stdout, `sluice lift checkout -e development --id ${first.kill.id}`)
  await sluice([...words.slice(0, -1), '0', '--where', 'plan=beta'])
  const lift = await sluice(['lift', 'checkout', '-e', 'development'])
  t.equal(lift.code, 2)
  t.match(lift.stderr, /2 kills stand on "checkout" in development/)
  const all = await sluice(['lift', 'checkout', '-e', 'development', '--all', '-m', 'fixed'])
  t.equal(all.code, 0, all.stderr)
  const none = await sluice(['lift', 'checkout', '-e', 'development'])
  t.equal(none.code, 1)
  t.match(none.stderr, /No kill on "checkout" stands in development\. \(KILL_NOT_FOUND\)/)
})

t.test('what could kill the wrong thing is refused before anything is sent', async t => {
  const { server, sluice } = await begin(t)
  const rows: readonly [words: readonly string[], said: RegExp][] = [
    [['kill', 'checkout', '-m', 'why'], /needs to know the environment/],
    [['lift', 'checkout'], /needs to know the environment/],
    [['kill', 'checkout', '-e', 'production'], /A kill needs a reason/],
    [['kill', 'checkout', '-e', 'production', '-m', '  '], /A kill needs a reason/],
    [['kill', '-e', 'production', '-m', 'why'], /Nothing to kill was named/],
    [['kill', 'checkout', '--tag', 'x', '-e', 'production', '-m', 'why'], /Both flags and --tag/],
    [['kill', 'checkout', '-e', 'production', '-m', 'why', '--where', 'a=='], /"=="/],
    [['kill', 'checkout', '-e', 'production', '-m', 'why', '--until', 'soon'], /neither a duration nor a moment/],
    [['kill', '', '-e', 'production', '-m', 'why'], /"" is not a key/],
    [['kill', '..', '-e', 'production', '-m', 'why'], /"\.\." is not a key/],
  ]
  for (const [words, said] of rows) {
    const { code, stdout, stderr } = await sluice(words)
    t.same([code, stdout], [2, ''], words.join(' '))
    t.match(stderr, said, words.join(' '))
  }
  t.equal(
    (await sluice(['kill', 'checkout', '-m', 'why'], { variables: { SLUICE_ENVIRONMENT: 'staging' } })).code,
    0,
    'a variable names it as well',
  )
  const { body } = await server.call('GET', '/api/v1/projects/default/environments/production/kills')
  t.same(body.kills, [])
})

t.test('what the server refuses is said with what to do, and the exit code tells', async t => {
  const { sluice } = await begin(t)
  const unknown = await sluice(['kill', 'chekout', '-e', 'production', '-m', 'why'])
  t.equal(unknown.code, 1)
  t.match(unknown.stderr, /^sluice: .*chekout.*\(FLAG_NOT_FOUND\)\n {2}See what exists with "sluice flags"\.\n$/s)
  const operand = await sluice(['kill', 'checkout', '-e', 'production', '-m', 'why', '--where', 'ip in-cidr nonsense'])
  t.equal(operand.code, 1)
  t.match(operand.stderr, /INVALID_FLAG/)
  const skipped = await sluice(['kill', 'checkout', 'nosuch', '-e', 'production', '-m', 'why'])
  t.equal(skipped.code, 1, 'one that was not killed is not passed over')
  t.match(skipped.stdout, /KILLED: 1 flag in production/)
  t.match(skipped.stderr, /NOT KILLED: nosuch: /)
})

t.test('an instance that does not confirm is said, by the text and by the exit code', async t => {
  const { server, sluice } = await begin(t)
  const mute = new WebSocket(`${server.url.replace('http', 'ws')}/stream`, PROTOCOL, {
    headers: { authorization: `Bearer ${server.serverKey}` },
  })
  t.teardown(() => mute.terminate())
  await once(mute, 'open')
  mute.send(JSON.stringify({ type: 'hello', instance: 'i-1', service: 'mute', sdk: 'none', revision: 0, epoch: '' }))
  await once(mute, 'message')
  const kill = await sluice(['kill', 'checkout', '-e', 'development', '-m', 'why', '--wait', '200ms'])
  t.equal(kill.code, 4)
  t.match(kill.stdout, /arrived +0 of 1 instances; missing mute\/i-1 \(still at \d+\)/)
  t.match(kill.stderr, /not confirmed by 1 of 1 instances yet/)
  t.match(kill.stdout, /^sluice lift checkout -e development --id k_\w+$/m)
  const instances = await sluice(['instances', '--behind'])
  t.match(instances.stdout, /i-1 +mute/)
  t.equal((await sluice(['lift', 'checkout', '-e', 'development', '--wait', '0'])).code, 0, 'who does not wait is not told')
})
