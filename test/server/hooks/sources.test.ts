/** Every tool's documented payload, as it is sent, through the real server. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { HOOK_SOURCES } from '../../../schemas/hook.ts'
import { DATADOG_PAYLOAD, setUp } from '../../../schemas/hooksetup.ts'
import { DATADOG_TEMPLATE } from '../../../server/hooks/sources/datadog.ts'
import { manualClock } from '../../clock.ts'
import { type Loose, startServer } from '../start.ts'
import { HOOK } from '../triggers/open.ts'
import { deliver, fixtures, HOOKS, makeHook, outside } from './fixtures.ts'

const all = fixtures()
const certificate = all.find(fixture => fixture.certificate !== undefined)?.certificate ?? ''

t.test('every tool has a sample', async t => {
  t.same([...new Set(all.map(fixture => fixture.hook.source))].sort(), [...HOOK_SOURCES].sort())
})

t.test('every sample is taken as its tool sends it, once, and only with its signature', async t => {
  const clock = manualClock(Date.parse(all[0]!.at))
  const asked: string[] = []
  const server = await startServer(t, { clock, egress: outside(certificate, asked), config: { apiLimit: 'off' } })
  for (const fixture of all) {
    await t.test(`${fixture.hook.source}: ${fixture.name}`, async t => {
      clock.advance(Date.parse(fixture.at) - clock.now())
      const path = await makeHook(server, fixture)
      const wrong = { ...fixture, body: fixture.body.replace(/[a-z](?=[^a-z]*$)/, 'q') }
      const isSigned = fixture.hook.auth === 'signature'
      if (isSigned) t.match(await deliver(server, path, wrong), { status: 401, body: { code: 'HOOK_REFUSED' } }, 'one letter is another')
      const { Signature: _signature, ...unsigned } = fixture.payload
      const bare = { body: JSON.stringify(unsigned), headers: { 'content-type': 'application/json' } }
      t.match(await deliver(server, path, bare), { status: 401, body: { code: 'HOOK_REFUSED' } }, 'nothing proves it')
      t.match(await deliver(server, path, fixture), { status: 200, body: { verdict: 'accepted', new: fixture.expected.alerts.length } })
      const again = fixture.expected.alerts.length === 0 ? 'accepted' : 'duplicate'
      t.match(await deliver(server, path, fixture), { status: 200, body: { verdict: again, new: 0 } }, 'and again')

      const { alerts } = (await server.call('GET', `${HOOKS.replace('/hooks', '/alerts')}?hook=${fixture.key}`)).body
      const read = alerts.map(({ id: _id, hook: _hook, receivedAt: _receivedAt, ...alert }: Loose) => alert).reverse()
      t.same(read, fixture.expected.alerts)
      const { deliveries } = (await server.call('GET', `${HOOKS}/${fixture.key}/deliveries`)).body
      t.same(
        deliveries.map((delivery: Loose) => delivery.verdict),
        [again, 'accepted', 'bad-signature', ...(isSigned ? ['bad-signature'] : [])],
        'all of it can be seen',
      )
      const shown = JSON.stringify(deliveries)
      t.notOk(fixture.secret !== undefined && shown.includes(fixture.secret), 'and no secret is')

      const tried = await server.call('POST', `${HOOKS}/${fixture.key}/try`, { body: fixture.body, headers: fixture.headers })
      t.match(tried, { status: 200, body: { verdict: 'accepted', proved: true, looksLike: null } })
      t.equal(tried.body.alerts.length, fixture.expected.alerts.length)
    })
  }
  t.ok(asked.some(url => url.includes('Action=ConfirmSubscription')))
})

t.test('the template of Datadog is the same on the page, in the terminal and where it is read', async t => {
  t.same(JSON.parse(DATADOG_PAYLOAD), DATADOG_TEMPLATE)
  t.ok(readFileSync(new URL('../../../../docs/hooks.md', import.meta.url), 'utf8').includes(DATADOG_PAYLOAD))
})

t.test('what is printed for a tool names the environment, and sends what the mapping reads', async t => {
  const hook = { ...HOOK, auth: 'signature' as const, address: 'https://sluice.example.com/hooks/p1', environment: 'production' }
  t.equal(setUp({ ...hook, source: 'pagerduty' }, undefined).at(-1), 'sluice hooks rotate am -e production --secret-file -')
  const text = (more: object): string => setUp({ ...hook, ...more, source: 'generic' }, 'secret').join('\n')
  t.match(text({}), /\nbody='{"dedupKey"/)
  t.match(text({ mapping: { dedupKey: '/id' } }), /\nbody=\$\(cat sample\.json\)\n/)
})
