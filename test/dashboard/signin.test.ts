import t from 'tap'
import { browserTest } from '../browser.ts'
import { startServer } from '../server/start.ts'
import { newPage, openDashboard, signIn } from './open.ts'

browserTest(t, 'signing in and out', async (t, browser) => {
  await t.test('a wrong key is refused in words, a right one opens the page, and it stays open over a restart', async t => {
    const server = await startServer(t)
    const page = await newPage(t, browser, server)
    await page.getByLabel('Admin key').fill('slc_admin_no_such')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').filter({ hasText: 'KEY_INVALID' }).waitFor()
    await signIn(page, server.adminKey)
    t.equal(await page.evaluate('document.cookie'), '', 'no script can read the session')
    await server.restart()
    await page.locator('.live.good').waitFor()
    await page.reload()
    await page.locator('.live.good').waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByLabel('Admin key').waitFor()
    await page.reload()
    await page.getByLabel('Admin key').waitFor()
    t.equal((await page.request.get(`${server.url}/api/v1/session`)).status(), 401, 'signed out for good')
  })

  await t.test('a revoked key ends its sessions', async t => {
    const server = await startServer(t)
    const { id, token } = await server.makeKey('admin', 'production', { grants: [{ role: 'viewer' }] })
    const page = await newPage(t, browser, server)
    await signIn(page, token)
    await server.call('DELETE', `/api/v1/keys/${id}`)
    await page.getByLabel('Admin key').waitFor()
    t.equal((await page.request.get(`${server.url}/api/v1/session`)).status(), 401, 'and the session is none')
  })

  await t.test('any flag is found with two keys, and help says what others do', async t => {
    const { server, page, look } = await openDashboard(t, browser)
    for (const key of ['checkout', 'search', 'gallery']) {
      await server.call('POST', '/api/v1/projects/default/flags', { key, kind: 'kill-switch' })
    }
    await page.keyboard.press('/')
    await page.keyboard.press('c')
    await page.getByRole('option', { name: 'checkout' }).waitFor()
    await look(t, 'search')
    await page.keyboard.press('Enter')
    await page.waitForURL(/flags\/checkout$/)
    await page.keyboard.press('?')
    await page.getByText('Go to Rollouts').waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('g')
    await page.keyboard.press('n')
    await page.waitForURL(/\/now$/)
  })
})
