/** The page Now: what is not as usual, the kill with its receipts and its undo, and the log of changes as it grows. */
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { pino } from 'pino'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { SluiceError } from '../../schemas/errors.ts'
import { systemClock } from '../../server/clock.ts'
import { openLog } from '../../server/log/log.ts'
import { browserTest } from '../browser.ts'
import { cliOf } from '../cli/run.ts'
import { holds, open as openClient, stayAlive } from '../sdk/open.ts'
import { failingStorage } from '../server/log/open.ts'
import { type Loose, startServer, type TestServer } from '../server/start.ts'
import { type AlertSource, alertOf, alertSource } from '../server/triggers/alerts.ts'
import { HOOK } from '../server/triggers/open.ts'
import { newPage, openDashboard, PRODUCTION, PROJECT, signIn } from './open.ts'

stayAlive(t)
// A browser, sockets and pictures on a busy machine.
t.setTimeout(240_000)

const ANDROID = { targetingKey: 'a', device: { os: 'android' } }
const IOS = { targetingKey: 'i', device: { os: 'ios' } }

async function write(server: TestServer, method: string, path: string, body?: unknown): Promise<void> {
  const answer = await server.call(method, path, body)
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
}

/** Three flags, one of which has a rule about Android, and one that needs another. */
async function fillShop(server: TestServer): Promise<void> {
  const rules = [{ id: 'r1', clauses: [{ attribute: '/device/os', op: 'in', values: ['android', 'ios'] }], serve: { variation: 'on' } }]
  await write(server, 'POST', `${PROJECT}/flags`, { key: 'checkout', kind: 'kill-switch', name: 'Pay with one tap', rules })
  await write(server, 'POST', `${PROJECT}/flags`, { key: 'search', kind: 'kill-switch' })
  await write(server, 'POST', `${PROJECT}/flags`, {
    key: 'wallet',
    kind: 'release',
    enabled: true,
    prerequisites: [{ flag: 'checkout', variations: ['on'] }],
  })
}

async function openInstance(t: Test, server: TestServer, instance: string) {
  const { token } = await server.makeKey('server', 'production')
  const client = openClient(t, server.url, { key: token, service: 'shop', instance })
  await client.ready()
  return client
}

const dialog = (page: Page, name: string | RegExp) => page.getByRole('dialog', { name })

browserTest(t, 'what goes on now', async (t, browser) => {
  await t.test(
    'who has never seen it kills the right flag for Android in eight steps from the sign-in, sees it arrive, and undoes it',
    async t => {
      const server = await startServer(t)
      await fillShop(server)
      const client = await openInstance(t, server, 'shop-1')
      const page = await newPage(t, browser, server)

      let steps = 0
      const press = async (key: string): Promise<void> => (steps++, page.keyboard.press(key))
      const type = async (text: string): Promise<void> => (steps++, page.keyboard.type(text))
      await page.getByLabel('Admin key').waitFor()
      await type(server.adminKey)
      await press('Enter')
      await page.getByRole('heading', { name: /^Now/ }).waitFor()
      await press('k')
      await dialog(page, 'Which flag is to be killed?').waitFor()
      await type('check')
      await page.getByRole('option', { name: /checkout/ }).waitFor()
      await press('Enter')
      const form = dialog(page, 'Kill checkout in production')
      steps++
      await form.getByLabel('Android only').check()
      await form.getByText('1 instance: shop 1').waitFor()
      await form.getByText('wallet: it needs this flag, for the same contexts').waitFor()
      steps++
      await form.getByLabel('Reason').fill('double charges')
      t.equal(client.value('checkout', ANDROID, false), true, 'nothing has happened yet')
      await press('Enter')
      t.equal(steps, 8)

      const killed = dialog(page, 'Killed checkout')
      await killed.getByText(/The one instance has revision \d+, the slowest after/).waitFor()
      await holds(client, () => !client.value('checkout', ANDROID, true))
      t.equal(client.value('checkout', IOS, false), true, 'everyone else is served as before')
      t.match(await killed.locator('code').textContent(), /^sluice lift checkout -e production --id k_\w+$/)

      await killed.getByRole('button', { name: 'Undo: lift it' }).click()
      await dialog(page, 'Lifted checkout').getByText('What stood before serves again').waitFor()
      await holds(client, () => client.value('checkout', ANDROID, false))
      await page.keyboard.press('Enter')
      await dialog(page, /./).waitFor({ state: 'detached' })
      await page.getByText('Everything is as usual').waitFor()
    },
  )

  await t.test(
    'what others do appears by itself, also when the server restarted meanwhile, and a kill is lifted where it is seen',
    async t => {
      const { server, page } = await openDashboard(t, browser)
      await fillShop(server)
      const log = page.getByRole('region', { name: 'Changes' })
      await log.getByRole('link', { name: 'wallet' }).waitFor()
      await server.restart()
      const sluice = cliOf(t, server.data, { url: server.url })
      const ran = await sluice([
        'kill',
        'checkout',
        '-e',
        'production',
        '--where',
        '/device/os=android',
        '--wait',
        '0',
        '-m',
        'crash on open',
      ])
      t.equal(ran.code, 0, ran.stderr)
      const where = 'contexts where /device/os is "android"'
      const kills = page.getByRole('region', { name: 'Kills' })
      await kills.getByText(`serves off to ${where}`).waitFor()
      await kills.getByText('“crash on open”').waitFor()
      await log.getByText(`killed checkout for ${where}`).waitFor()

      await page.getByRole('button', { name: 'Lift the kill on checkout' }).click()
      const lift = dialog(page, 'Lift the kill on checkout')
      await lift.getByText('everyone else → on').waitFor()
      await page.keyboard.type('fixed in 4.2.1')
      await page.keyboard.press('Enter')
      await dialog(page, 'Lifted checkout').getByText('No instance is connected here').waitFor()
      await page.keyboard.press('Enter')
      await page.getByText('Everything is as usual').waitFor()
      await log.getByText('“fixed in 4.2.1”').waitFor()
      t.equal((await server.call('GET', `${PRODUCTION}/kills`)).body.kills.length, 0)
    },
  )

  await t.test('who may only look is offered no kill and no lift', async t => {
    const server = await startServer(t)
    await fillShop(server)
    await write(server, 'POST', `${PRODUCTION}/flags/search/kills`, { reason: 'the index is being rebuilt' })
    const { token } = await server.makeKey('admin', 'production', { grants: [{ role: 'viewer' }] })
    const page = await newPage(t, browser, server)
    await signIn(page, token)
    await page.getByRole('region', { name: 'Kills' }).getByText('the index is being rebuilt').waitFor()
    t.equal(await page.getByRole('button', { name: /kill/i }).count(), 0)
    await page.keyboard.press('k')
    await page.keyboard.press('/')
    await dialog(page, 'Search flags').waitFor()
    t.equal(await page.getByRole('dialog').count(), 1)
  })

  await t.test('all that is not as usual is told in one look, at night and on a phone', async t => {
    const alerts = alertSource()
    const storage = failingStorage()
    const data = t.testdir()
    const log = await openLog({ data, clock: systemClock, logger: pino({ level: 'silent' }), openStorage: storage.open })
    const { server, page, look } = await openDashboard(t, browser, {
      ...{ data, log },
      triggers: { alerts, notices: { say: () => undefined } },
    })
    await page.getByText('Everything is as usual').waitFor()
    await page.getByText('No instance is connected').waitFor()
    await look(t, 'now-usual')

    await fillShop(server)
    await fillTrouble(server, alerts)
    const client = await openInstance(t, server, 'shop-1')
    for (let i = 0; i < 20; i++) client.limit('api-requests', ANDROID)
    await answered(server, `${PRODUCTION}/limits`, ({ limits }) => limits[0].denied.minute > 0)
    // Connected, and it never says that it has applied anything.
    const { token } = await server.makeKey('server', 'production')
    const silent = new WebSocket(`${server.url.replace('http', 'ws')}/stream`, 'sluice.v1', {
      headers: { authorization: `Bearer ${token}` },
    })
    t.teardown(() => silent.terminate())
    await once(silent, 'open')
    silent.send(JSON.stringify({ type: 'hello', instance: 'mail-1', service: 'mailer', sdk: 'test/1', revision: 0, epoch: '' }))
    storage.failure = new SluiceError('STORAGE_FULL', 'The disk is full.')
    await write(server, 'POST', `${PRODUCTION}/flags/search/kills`, {
      ...{ reason: 'the index is being rebuilt', incident: 'inc-42' },
      until: new Date(Date.now() + 3_600_000).toISOString(),
    })

    for (const [name, text] of [
      ['Kills', 'the index is being rebuilt'],
      ['Valves', 'lets 25 % of the calls through: set by hand'],
      ['Rollouts', 'step 1 of 2: on to 5 %'],
      ['Rollouts', 'looks odd'],
      ['Limits', 'denied'],
      ['Triggers', 'High 5xx rate'],
      ['Notifiers', 'moving house'],
    ] as const) {
      await page.getByRole('region', { name, exact: true }).getByText(text).first().waitFor()
    }
    await page.getByText('Changes are not stored.').waitFor()
    await page.getByText(/mailer mail-1/).waitFor()
    await look(t, 'now-trouble')

    await page.keyboard.press('k')
    await page.keyboard.type('checkout')
    await page.getByRole('option', { name: /checkout/ }).waitFor()
    await page.keyboard.press('Enter')
    const form = dialog(page, 'Kill checkout in production')
    await form.getByText('Ios only').waitFor()
    await form.getByLabel('Only some…').check()
    await form.getByLabel('Clause: attribute').fill('/app/version')
    await form.getByLabel('Clause: operator').selectOption('semverLessThan')
    await form.getByLabel('Clause: values').fill('four')
    await form.getByLabel('Reason').fill('crash on open')
    await form.getByRole('alert').filter({ hasText: 'INVALID_FLAG' }).waitFor()
    await form.getByLabel('Clause: values').fill('4.2.0')
    await form.getByRole('alert').waitFor({ state: 'detached' })
    await form.getByText('wallet: it needs this flag').waitFor()
    await look(t, 'now-kill')
    await form.getByRole('button', { name: 'Kill checkout where /app/version is a version below "4.2.0"' }).click()
    const killed = dialog(page, 'Killed checkout')
    await killed.getByText(/1 of 2 instances has revision/).waitFor()
    await killed.getByText('Published, and not stored yet').waitFor()
    await killed.getByText('1 instance missing').click()
    await look(t, 'now-killed')
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Lift the kill on search' }).click()
    await dialog(page, 'Lift the kill on search').getByText('everyone → on').waitFor()
    await look(t, 'now-lift')
  })

  await t.test('nothing that somebody wrote is run: it is shown as it was written', async t => {
    const { server, page, go } = await openDashboard(t, browser)
    const bad = [
      '<img src=x onerror="globalThis.ran=1">',
      '"><script>globalThis.ran=1</script>',
      '<svg/onload=globalThis.ran=1>',
      "';globalThis.ran=1//",
      'javascript:globalThis.ran=1',
      '{{constructor.constructor("globalThis.ran=1")()}}',
      '<a href="javascript:globalThis.ran=1">here</a>',
      '\u202e<iframe srcdoc="<script>parent.ran=1</script>">',
    ]
    for (const [i, text] of bad.entries()) {
      const key = `bad-${i}`
      const rules = [
        { id: 'r', name: text, description: text, clauses: [{ attribute: text, op: 'in', values: [text] }], serve: { variation: 'on' } },
      ]
      await write(server, 'POST', `${PROJECT}/flags`, {
        ...{ key, kind: 'kill-switch', name: text, description: text, owner: text, tags: [text], rules, comment: text },
      })
      await write(server, 'POST', `${PRODUCTION}/flags/${key}/kills`, {
        ...{ reason: text, comment: text, incident: text, clauses: [{ attribute: text, op: 'in', values: [text] }] },
      })
    }
    await go('now')
    for (const text of bad) {
      await page.getByRole('region', { name: 'Kills' }).getByText(`“${text}”`, { exact: true }).waitFor()
      await page.getByRole('region', { name: 'Changes' }).getByText(`“${text}”`, { exact: true }).first().waitFor()
    }
    await page.keyboard.press('k')
    await page.keyboard.type('bad-3')
    await page.getByRole('option').filter({ hasText: 'globalThis.ran=1//' }).waitFor()
    await page.keyboard.press('Enter')
    await dialog(page, 'Kill bad-3 in production').getByText('Standing already').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Lift the kill on bad-1' }).click()
    await dialog(page, 'Lift the kill on bad-1').getByText('everyone else → on').waitFor()
    t.equal(await page.evaluate('globalThis.ran'), undefined)
    t.equal(await page.locator('main img, main script, main iframe, dialog img, dialog script, dialog iframe').count(), 0)
  })
})

/** A kill apart, one of each that stands otherwise than usual. */
async function fillTrouble(server: TestServer, alerts: AlertSource): Promise<void> {
  const post = (path: string, body?: unknown): Promise<void> => write(server, 'POST', `${PRODUCTION}${path}`, body)
  await write(server, 'POST', `${PROJECT}/flags`, {
    ...{ key: 'payments-vendor', kind: 'safety-valve', offVariation: 'cut', fallthrough: { variation: 'auto' }, enabled: true },
    variations: [
      { key: 'auto', value: { mode: 'auto' } },
      { key: 'cut', value: { mode: 'cut' } },
    ],
  })
  await post('/valves/payments-vendor/throttle', { percent: 25, reason: 'the vendor asked us to' })
  for (const key of ['new-ledger', 'new-mail']) {
    await write(server, 'POST', `${PROJECT}/flags`, { key, kind: 'release' })
    await post(`/rollouts/${key}`, { steps: [{ percent: 5, holdMs: 600_000 }, { percent: 100 }] })
  }
  await post('/rollouts/new-mail/hold', { comment: 'looks odd' })
  await write(server, 'POST', `${PROJECT}/flags`, {
    ...{ key: 'api-requests', kind: 'rate-limit', enabled: true, offVariation: 'standard', fallthrough: { variation: 'standard' } },
    variations: [{ key: 'standard', value: { rate: 5, per: 'hour', keyBy: ['targetingKey'] } }],
  })
  await post('/notifiers', { key: 'ops', kind: 'webhook', url: 'https://hooks.example.com/x' })
  await post('/notifiers/ops/pause', { comment: 'moving house' })
  await server.services.log.commit({
    ...{ log: 'default/production', actor: { kind: 'system', id: 'test', name: 'test' }, action: 'hook.create' },
    plan: () => [{ type: 'hook', key: HOOK.key, after: HOOK }],
  })
  await post('/triggers', { key: 'checkout-5xx', when: { hooks: [HOOK.key] }, do: { action: 'kill', flags: ['checkout'] } })
  await alerts.tell([alertOf({ at: Date.now() })])
}

/** Resolves once the API answers so. */
async function answered(server: TestServer, path: string, isSo: (body: Loose) => boolean): Promise<void> {
  while (!isSo((await server.call('GET', path)).body)) await pause(50)
}
