/** The live pages: what moves is seen to move, and each handle has its way back. */
import t, { type Test } from 'tap'
import { SLICE_MS } from '../../schemas/protocol.ts'
import { browserTest } from '../browser.ts'
import { manualClock } from '../clock.ts'
import { open } from '../sdk/open.ts'
import type { TestServer } from '../server/start.ts'
import { openDashboard, PRODUCTION, PROJECT } from './open.ts'

const LOG = 'default/production'

async function make(server: TestServer, path: string, body: object): Promise<void> {
  const { status, body: answer } = await server.call(path.endsWith('/flags/api') ? 'PATCH' : 'POST', path, body)
  if (status >= 300) throw new Error(`${path}: ${status} ${JSON.stringify(answer)}`)
}

/** An application that calls through the valve until the test is over; every fourth call fails. */
async function application(t: Test, server: TestServer): Promise<void> {
  const { token } = await server.makeKey('server', 'production')
  const client = open(t, server.url.replace('http', 'ws'), { key: token, service: 'shop' })
  await client.ready()
  let count = 0
  const timer = setInterval(() => {
    for (let i = 0; i < 5; i++) {
      const isBad = count++ % 4 === 0
      const call = isBad ? () => Promise.reject(new Error('down')) : () => Promise.resolve('ok')
      void client
        .valve('payments-vendor')
        .run({ targetingKey: `u${count}` }, call, () => 'none')
        .catch(() => undefined)
      void client.limit('api', { account: { id: i === 0 ? 'a-18' : 'a-17' } })
    }
  }, 100)
  t.teardown(() => clearInterval(timer))
}

browserTest(t, 'the live pages', async (t, browser) => {
  await t.test('a valve is throttled by hand and released, a limit holds an account, and both show what passes', async t => {
    const { server, page, go, look } = await openDashboard(t, browser)
    await go('valves')
    await page.getByText('sluice flags create payments-vendor').waitFor()
    await make(server, `${PROJECT}/flags`, { key: 'payments-vendor', kind: 'safety-valve' })
    await make(server, `${PROJECT}/flags`, {
      key: 'api',
      kind: 'rate-limit',
      variations: [
        { key: 'usual', value: { rate: 20, per: 'second', burst: 20, keyBy: ['/account/id'] } },
        { key: 'off', value: { unlimited: true } },
      ],
    })
    await make(server, `${PRODUCTION}/flags/api`, { enabled: true })
    await application(t, server)

    await page.getByRole('link', { name: 'payments-vendor' }).click()
    await page.getByRole('table', { name: 'Instances' }).getByText('shop').waitFor()
    await page.getByRole('button', { name: 'Throttle', exact: true }).click()
    await page.getByLabel('Let through, in percent', { exact: true }).fill('40')
    await page.getByLabel('Why').fill('vendor is slow')
    await page.keyboard.press('Enter')
    await page.getByRole('status').getByText('lets 40 % through for everyone').waitFor()
    await page.getByRole('button', { name: 'Release: auto' }).waitFor()
    await page.getByText(/by hand for everyone: “vendor is slow”/).waitFor()
    const { valve } = (await server.call('GET', `${PRODUCTION}/valves/payments-vendor`)).body
    t.match(valve, { setting: { by: 'throttle', percent: 40 }, throttles: [{ reason: 'vendor is slow' }] })
    await page.getByRole('table', { name: 'Instances' }).getByText('40 %').waitFor()
    await page.getByRole('link', { name: 'Valves' }).first().click()
    await page.getByRole('table', { name: 'Valves' }).getByText('throttled').waitFor()
    await page.getByText('by hand: 40 %, by SLUICE_ADMIN_KEY').waitFor()
    await look(t, 'valves')
    await page.getByRole('link', { name: 'payments-vendor' }).click()
    await page.getByRole('img', { name: 'Calls a minute over time' }).locator('canvas').waitFor()
    const { trail } = (await server.call('GET', `${PRODUCTION}/valves/payments-vendor`)).body
    t.ok(trail[0].calls > 0 && trail[0].failures > 0, 'the picture is drawn from what passed')
    await look(t, 'valve')
    await page.getByRole('button', { name: 'Release: auto' }).click()
    await page.getByRole('button', { name: 'Let it move by itself' }).click()
    await page.getByRole('status').getByText('Released payments-vendor').waitFor()
    await page.getByRole('button', { name: 'Undo: 40 % again' }).click()
    await page.getByRole('button', { name: 'Release: auto' }).waitFor()
    const standing = async () => (await server.call('GET', `${PRODUCTION}/valves/payments-vendor`)).body.valve.setting
    t.match(await standing(), { by: 'throttle', percent: 40 }, 'undone')

    await go('limits')
    await page.getByRole('table', { name: 'The busiest keys of api' }).getByText('a-17').waitFor()
    await look(t, 'limits')
    await page.getByRole('link', { name: 'api', exact: true }).click()
    await page.getByRole('button', { name: 'Hold a-17' }).click()
    await page.getByLabel('Rate').fill('5')
    await page.getByLabel('Why').fill('hammering')
    await page.getByRole('button', { name: 'Hold them' }).click()
    await page.getByText('“hammering”').first().waitFor()
    const { limits } = (await server.call('GET', `${PRODUCTION}/flags/api/limits`)).body
    t.match(limits, [{ value: { rate: 5, per: 'second' }, clauses: [{ attribute: '/account/id', values: ['a-17'] }], reason: 'hammering' }])
    await page.getByRole('table').getByText('limit-5-per-second').waitFor()
    await look(t, 'limit')
    await page.getByRole('button', { name: 'Let them go', exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Let them go' }).click()
    await page.getByRole('status').getByText('let go').waitFor()
    t.same((await server.call('GET', `${PRODUCTION}/flags/api/limits`)).body.limits, [])
  })

  await t.test('a rollout is started, seen with its evidence, held, resumed and turned back', async t => {
    const clock = manualClock(Date.now() - 24 * SLICE_MS)
    const { server, page, go, look } = await openDashboard(t, browser, { clock })
    await make(server, `${PROJECT}/flags`, { key: 'new-ledger', kind: 'release' })
    await go('rollouts')
    await page.getByText('sluice rollout start').waitFor()
    await page.getByRole('button', { name: 'Start a rollout' }).click()
    await page.locator('select[name=flag]').selectOption('new-ledger')
    await page.getByText('Then: in').waitFor()
    await page.getByLabel('Why').fill('ledger 2')
    await look(t, 'rollout-start')
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    await page.getByText('Started the rollout of new-ledger').waitFor()
    await page.getByRole('link', { name: 'new-ledger' }).click()
    for (let slice = 0; slice < 24; slice++) {
      const row = (variation: string, contexts: number, errors: number) => ({
        ...{ flag: 'new-ledger', variation, contexts, errors, slow: 0 },
        ...{ allCalls: contexts, allErrors: errors, allSlow: 0, totalMs: contexts },
      })
      server.services.outcomes.add(LOG, [row('on', 12, slice % 6 === 0 ? 1 : 0), row('off', 1_180, 9)], {
        service: 'shop',
        instance: 'i-1',
      })
      clock.advance(SLICE_MS)
      await new Promise(resolve => setImmediate(resolve))
    }
    await page.getByRole('img', { name: 'Evidence of harm over time' }).locator('canvas').waitFor()
    await page.getByRole('table', { name: 'Guards' }).getByText('errorShare').first().waitFor()
    await page.getByRole('button', { name: 'Hold', exact: true }).click()
    await page.getByLabel('Why').fill('looking at the latency')
    await page.keyboard.press('Enter')
    await page.getByText('looking at the latency').first().waitFor()
    await page.locator('.pagehead').getByText('held').waitFor()
    t.match((await server.call('GET', `${PRODUCTION}/rollouts/new-ledger`)).body.plan, { state: 'held', held: { cause: 'person' } })
    await page.getByText('held the rollout of: looking at the latency').waitFor()
    await look(t, 'rollout')
    await page.getByRole('link', { name: 'Rollouts' }).first().click()
    await page.getByRole('table', { name: 'Rollouts' }).locator('.state').getByText('held').waitFor()
    await look(t, 'rollouts')
    await page.getByRole('link', { name: 'new-ledger' }).click()
    await page.getByRole('button', { name: 'Resume', exact: true }).click()
    await page.getByLabel('Why').fill('it was nothing')
    await page.keyboard.press('Enter')
    await page.locator('.pagehead').getByText('running').waitFor()
    await page.getByRole('button', { name: 'Turn back', exact: true }).click()
    await page.getByLabel('Why').fill('double entries')
    await page.getByRole('dialog').getByRole('button', { name: 'Turn back' }).click()
    await page.locator('.pagehead').getByText('turned back').waitFor()
    await page.getByRole('button', { name: 'Clear' }).waitFor()
    t.match((await server.call('GET', `${PRODUCTION}/rollouts/new-ledger`)).body.plan, {
      state: 'reverted',
      reverted: { text: 'double entries' },
    })
  })

  await t.test('a hook is made with its secret shown once, its deliveries appear live, and a trigger it trips is put back', async t => {
    const { server, page, go, look } = await openDashboard(t, browser)
    await make(server, `${PROJECT}/flags`, { key: 'checkout', kind: 'kill-switch' })
    await go('hooks')
    await page.getByText('sluice hooks add').waitFor()
    await page.getByRole('button', { name: 'Make a hook' }).click()
    await page.getByLabel('Key', { exact: true }).fill('am')
    await page.getByLabel('The tool that delivers').selectOption('generic')
    await page.getByLabel('Proved by').selectOption('header')
    await page.getByRole('button', { name: 'Make it' }).click()
    const setUp = await page.getByLabel('To paste into generic').innerText()
    const [, url = '', header = '', secret = ''] = /curl -X POST (\S+) -H '([^:]+): ([^']+)'/.exec(setUp) ?? []
    t.ok(secret.length > 16, 'the secret stands in what is to be pasted')
    await make(server, `${PRODUCTION}/triggers`, {
      key: 'checkout-5xx',
      when: { hooks: ['am'], severity: 'error' },
      do: { action: 'kill', flags: ['checkout'] },
    })
    await make(server, `${PRODUCTION}/notifiers`, { key: 'audit', kind: 'webhook', url: 'https://audit.example.com/in' })

    await page.getByRole('link', { name: 'am', exact: true }).click()
    await page.getByText('Nothing was delivered yet').waitFor()
    t.notOk((await page.content()).includes(secret.replace('Bearer ', '')), 'the secret is not shown again')
    const deliver = (given: string, body: object): Promise<Response> =>
      fetch(url, { method: 'POST', headers: { [header]: given, 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const alert = { dedupKey: 'c-1', status: 'firing', severity: 'critical', title: '<b>5xx</b> at checkout' }
    t.equal((await deliver(secret, alert)).status, 200)
    await page.getByLabel('Deliveries').getByText('accepted').waitFor()
    await page.getByText('critical').first().waitFor()
    t.equal((await deliver('wrong', alert)).status, 401)
    await page.getByLabel('Deliveries').getByText('bad-signature').waitFor()
    await page.getByText('Payload').last().click()
    await page.getByLabel('What the tool sends').fill(JSON.stringify({ ...alert, dedupKey: 'tried' }))
    await page.getByRole('button', { name: 'Try it' }).click()
    await page.getByRole('table', { name: 'Alerts in the sample' }).getByText('tried').waitFor()
    await look(t, 'hook')

    await go('hooks/trigger/checkout-5xx')
    await page.getByText('tripped by trigger checkout-5xx').waitFor()
    await page.getByRole('button', { name: 'Would it act?' }).click()
    await page.getByText(/it would( not)? act/).waitFor()
    await look(t, 'trigger')
    await page.getByRole('button', { name: 'Put back' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Put back' }).click()
    await page.getByText('Put back checkout').waitFor()
    t.same((await server.call('GET', `${PRODUCTION}/flags/checkout`)).body.kills, [])
    await page.getByRole('button', { name: 'Disable' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Disable' }).click()
    await page.locator('.pagehead').getByText('disabled').waitFor()

    await go('hooks')
    await page.getByRole('table', { name: 'Hooks' }).getByText('bad-signature').waitFor()
    await look(t, 'hooks')
    await go('hooks/notifier/audit')
    await page.getByLabel('Messages').getByText('checkout').first().waitFor()
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByLabel('Why').fill('the receiver moves house')
    await page.keyboard.press('Enter')
    await page.getByText('the receiver moves house,').first().waitFor()
    await page.getByText('Payload').first().click()
    await page.getByLabel('What is sent').first().waitFor()
    await look(t, 'notifier')
    await page.getByRole('button', { name: 'Resume', exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click()
    await page.getByText('Resumed audit').waitFor()
    t.match((await server.call('GET', `${PRODUCTION}/notifiers/audit`)).body, { paused: null }, 'resumed')
  })

  await t.test('a viewer sees all of it and is offered none of the handles', async t => {
    const { server, page, go } = await openDashboard(t, browser)
    await make(server, `${PROJECT}/flags`, { key: 'payments-vendor', kind: 'safety-valve' })
    await page.getByRole('button', { name: 'Sign out' }).click()
    const { token } = await server.makeKey('admin', 'production', { grants: [{ role: 'viewer' }] })
    await page.getByLabel('Admin key').fill(token)
    await page.keyboard.press('Enter')
    await go('valves/payments-vendor')
    await page.getByText('Nobody has called through it').waitFor()
    t.equal(await page.getByRole('button', { name: 'Throttle' }).count(), 0)
    await go('rollouts')
    await page.getByText('No rollout yet').waitFor()
    t.equal(await page.getByRole('button', { name: 'Start a rollout' }).count(), 0)
    t.equal(
      (await server.call('POST', `${PRODUCTION}/valves/payments-vendor/throttle`, { percent: 1, reason: 'x' }, { key: token })).status,
      403,
    )
  })
})
