/** The page Now: what is not as usual, the kill with its receipts and its undo, and the log of changes as it grows. */
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { browserTest } from '../browser.ts'
import { holds, open as openClient, stayAlive } from '../sdk/open.ts'
import { startServer, type TestServer } from '../server/start.ts'
import { newPage, openDashboard, PRODUCTION, PROJECT } from './open.ts'

stayAlive(t)

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
      await write(server, 'POST', `${PRODUCTION}/flags/checkout/kills`, {
        reason: 'crash on open',
        clauses: [{ attribute: '/device/os', op: 'in', values: ['android'] }],
      })
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
})
