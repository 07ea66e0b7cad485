/**
 * The dashboard in a real browser, signed in to a real server. What the page says on its console beside a refused sign-in
 * fails the test; each picture is checked by axe and written to the ignored folder `dist/pictures`.
 */
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { AxeBuilder } from '@axe-core/playwright'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import type { Test } from 'tap'
import { ADMIN_KEY, type StartOptions, startServer, type TestServer } from '../server/start.ts'

const PICTURES = fileURLToPath(new URL('../../pictures', import.meta.url))
/** How long anything on a page may take before a test fails: generous, because machines are busy. */
export const PATIENCE_MS = 60_000

export interface Opened {
  readonly server: TestServer
  readonly page: Page
  /** Goes to a page of `default/production`, as in `flags/checkout`. */
  go(path: string): Promise<void>
  /** No violation of axe in both themes; pictures at 1280 and 360 pixels. */
  look(t: Test, name: string): Promise<void>
}

export const PROJECT = '/api/v1/projects/default'
export const PRODUCTION = `${PROJECT}/environments/production`

/** Signed in with an admin key, at `default/production`. */
export async function openDashboard(t: Test, browser: Browser, options: StartOptions = {}): Promise<Opened> {
  const server = await startServer(t, options)
  const page = await newPage(t, browser, server)
  await signIn(page, ADMIN_KEY)
  return {
    server,
    page,
    async go(path) {
      await page.goto(`${server.url}/#/default/production/${path}`)
      await page.locator('main#content h1').first().waitFor()
    },
    look: (t, name) => look(t, page, name),
  }
}

/** A page of its own profile, at the sign-in. */
export async function newPage(t: Test, browser: Browser, server: TestServer, more: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...more })
  context.setDefaultTimeout(PATIENCE_MS)
  const page = await context.newPage()
  const complain = (what: string): void => void t.fail(`the page complains: ${what}`)
  page.on('pageerror', error => complain(error.message))
  page.on('console', message => {
    // A refused request is shown by the page itself.
    if (message.type() === 'error' && !/Failed to load resource|WebSocket connection/.test(message.text())) complain(message.text())
  })
  t.teardown(() => context.close())
  await page.goto(server.url)
  return page
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel('Admin key').fill(key)
  await page.keyboard.press('Enter')
  await page.locator('header.bar').waitFor()
  await page.locator('.live.good').waitFor()
}

async function look(t: Test, page: Page, name: string): Promise<void> {
  mkdirSync(PICTURES, { recursive: true })
  // What is behind a dialog is looked at without it.
  const isDialog = (await page.locator('dialog[open]').count()) > 0
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' })
    const axe = new AxeBuilder({ page })
    const { violations } = await (isDialog ? axe.include('dialog[open]') : axe).analyze()
    t.same(
      violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(' ')}`),
      [],
      `${name}: axe has nothing to say, ${theme}`,
    )
    // How wide a page is does not depend on its colours.
    for (const width of theme === 'light' ? [1280, 360] : [1280]) {
      await page.setViewportSize({ width, height: 800 })
      t.equal(
        await page.evaluate('document.documentElement.scrollWidth <= innerWidth'),
        true,
        `${name}: nothing is cut off at ${width}, ${theme}`,
      )
      await page.screenshot({ path: `${PICTURES}/${name}-${theme}-${width}.png`, fullPage: !isDialog })
    }
    await page.setViewportSize({ width: 1280, height: 800 })
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
}
