/**
 * A real browser for tests: the system's own Chromium, with nothing of anyone's in it. Where there is none the test is
 * skipped and says so; with `SLUICE_BROWSER_REQUIRED=1` it fails, which is how CI sees to it that none was skipped.
 */
import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'
import type { Test } from 'tap'

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const NONE = 'no Chromium on this machine: install it, or name one with SLUICE_CHROMIUM'

function findChromium(): string | null {
  const { SLUICE_CHROMIUM: named } = process.env
  return (named === undefined || named === '' ? PLACES : [named]).find(path => existsSync(path)) ?? null
}

/** A test in a browser that is opened for it, with a fresh profile, and closed with it: the slow part, so one for all tests of a file. */
export function browserTest(t: Test, name: string, run: (t: Test, browser: Browser) => Promise<void>): void {
  const executablePath = findChromium()
  if (executablePath === null && process.env.SLUICE_BROWSER_REQUIRED !== '1') {
    t.test(name, { skip: NONE }, async () => undefined)
    return
  }
  t.test(name, async t => {
    if (executablePath === null) throw new Error(NONE)
    // tap loads itself into children through NODE_OPTIONS; a browser is none of its.
    const { NODE_OPTIONS: _, ...env } = process.env
    const browser = await chromium.launch({ executablePath, headless: true, args: FLAGS, env })
    t.teardown(() => browser.close())
    await run(t, browser)
  })
}
