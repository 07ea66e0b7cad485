/** The web SDK where it runs: a real browser, a page from another origin, a listening server. */
import type { Browser, BrowserContext, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { browserTest } from '../../browser.ts'
import type { FlagInput } from '../../../schemas/flag.ts'
import { type Environment, startEnvironment } from '../../server/ofrep/environment.ts'
import { type Pages, startPages } from './pages.ts'

const XSS = '<img src=x onerror="window.hacked = true"><script>window.hacked = true</script>'
const text = (key: string, value: string): FlagInput['variations'] => [
  { key, value },
  { key: 'plain', value: 'Hello' },
]
const shown = { kind: 'config', enabled: true, clientVisible: true } as const
const FLAGS: readonly FlagInput[] = [
  {
    ...shown,
    key: 'greeting',
    variations: text('beta', XSS),
    offVariation: 'plain',
    fallthrough: { variation: 'plain' },
    rules: [{ id: 'beta', clauses: [{ attribute: '/account/plan', op: 'in', values: ['beta'] }], serve: { variation: 'beta' } }],
  },
  { ...shown, key: 'checkout', kind: 'release', fallthrough: { variation: 'on' } },
  {
    ...shown,
    key: 'layout',
    variations: [{ key: 'wide', value: JSON.parse('{"columns":3,"note":"</script>"}') as never }],
    offVariation: 'wide',
  },
]

interface Scene {
  readonly environment: Environment
  /** Cookies, storage and network of this scene's pages alone. */
  readonly context: BrowserContext
  readonly pages: Pages
  /** What went wrong in the pages, which nothing may. */
  readonly errors: string[]
  /** All that the pages asked for, and what they said on their streams. */
  readonly urls: string[]
  readonly sent: string[]
  open(path?: string): Promise<Page>
}

async function scene(t: Test, browser: Browser): Promise<Scene> {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  context.setDefaultTimeout(20_000)
  const environment = await startEnvironment(t, FLAGS)
  const pages = await startPages(t, { url: environment.url, key: environment.clientKey })
  const [errors, urls, sent]: [string[], string[], string[]] = [[], [], []]
  return {
    environment,
    context,
    pages,
    errors,
    urls,
    sent,
    async open(path = '/') {
      const page = await context.newPage()
      page.on('pageerror', error => errors.push(String(error)))
      page.on('request', request => urls.push(request.url()))
      page.on('websocket', socket => {
        urls.push(socket.url())
        socket.on('framesent', ({ payload }) => sent.push(String(payload)))
      })
      page.on('dialog', dialog => errors.push(dialog.message()))
      await page.goto(pages.origin + path)
      // Its module has run: values have come, or the wait for them is over.
      await page.waitForFunction('window.flags !== undefined')
      return page
    },
  }
}

// Of a busy machine.
t.setTimeout(120_000)

/** Waits until an expression of the page's is so. */
async function until(page: Page, expression: string): Promise<void> {
  await page.waitForFunction(expression)
}

browserTest(t, 'the web SDK in a browser', async (t, browser) => {
  await t.test('a page of another origin', async t => {
    const { environment, context, errors, urls, sent, open } = await scene(t, browser)
    const page = await open()

    await t.test('sees values, and a kill arrives live', async t => {
      t.equal(await page.textContent('#greeting'), 'Hello')
      t.equal(await page.isVisible('#buy'), true)
      t.same(await page.evaluate('flags.all()'), {
        greeting: 'Hello',
        checkout: true,
        layout: JSON.parse('{"columns":3,"note":"</script>"}'),
      })
      t.match(await page.evaluate('flags.details("checkout", false)'), {
        value: true,
        variation: 'on',
        reason: 'FALLTHROUGH',
        static: true,
        stale: false,
      })
      await page.evaluate('window.same = true')
      await environment.kill('checkout')
      await page.waitForSelector('#buy', { state: 'hidden' })
      t.match(await page.evaluate('flags.details("checkout", true)'), { value: false, variation: 'off', reason: 'KILLED', flagVersion: 2 })
      await environment.lift('checkout')
      await page.waitForSelector('#buy', { state: 'visible' })
      t.equal(await page.evaluate('window.same'), true, 'without a reload')
      t.match(await page.evaluate('flags.status()'), {
        connected: true,
        stale: false,
        revision: environment.services.log.state('default/development').revision,
      })
    })

    await t.test('changes its context, and what looks like a page is a text', async t => {
      await page.click('#login')
      await until(page, `document.getElementById('greeting').textContent === ${JSON.stringify(XSS)}`)
      t.equal(await page.evaluate('document.querySelectorAll("img").length'), 0)
      t.equal(await page.evaluate('window.hacked'), undefined)
      t.match(await page.evaluate('flags.details("greeting", "")'), { variation: 'beta', reason: 'RULE_MATCH' })
    })

    await t.test('tells the server what it asked for', async t => {
      await page.evaluate('for (let i = 0; i < 7; i++) flags.value("layout", {}); flags.track("bought", 3)')
      const counted = (): number => environment.services.usage.lastHour('default/development', 'layout')
      const before = counted()
      // A hidden page may be gone the next moment.
      await page.evaluate(
        'Object.defineProperty(document, "visibilityState", { value: "hidden" }); document.dispatchEvent(new Event("visibilitychange"))',
      )
      while (counted() < before + 7) await new Promise(resolve => setTimeout(resolve, 10))
      await page.evaluate('delete document.visibilityState')
      t.ok(sent.some(message => message.includes('bought')))
    })

    await t.test('is there again when the server is', async t => {
      await page.evaluate('window.told = []; flags.on("stale", stale => told.push(stale)); flags.on("change", keys => told.push(...keys))')
      await environment.restart()
      await until(page, '!flags.status().connected')
      t.equal(await page.evaluate('flags.value("checkout", false)'), true, 'values go on')
      await environment.kill('checkout')
      await until(page, 'flags.status().connected && flags.value("checkout", true) === false')
      t.same(await page.evaluate('told.filter(one => one !== true && one !== false)'), ['checkout'])
      await environment.lift('checkout')
    })

    await t.test('outlives freezing, being left and gone back to, and a lost network', async t => {
      const control = await context.newCDPSession(page)
      await control.send('Page.setWebLifecycleState', { state: 'frozen' })
      await environment.kill('checkout')
      await control.send('Page.setWebLifecycleState', { state: 'active' })
      await until(page, 'flags.value("checkout", true) === false')

      await page.evaluate('dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }))')
      t.equal(await page.evaluate('flags.status().connected'), false, 'no socket keeps the page from being kept')
      await environment.lift('checkout')
      await page.evaluate('dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))')
      await until(page, 'flags.status().connected && flags.value("checkout", false)')

      await context.setOffline(true)
      await context.setOffline(false)
      await environment.kill('checkout')
      await until(page, 'flags.value("checkout", true) === false && flags.status().connected')
      await environment.lift('checkout')
      await until(page, 'flags.value("checkout", false)')
    })

    await t.test('a closed client leaves the network alone, and its values stay', async t => {
      await page.evaluate('flags.close()')
      t.same(await page.evaluate('[flags.value("checkout", false), flags.status().connected]'), [true, false])
    })
    t.notMatch(urls.join('\n'), environment.clientKey, 'no URL holds the key')
    t.notMatch(sent.join('\n'), environment.clientKey, 'nor a message')
    t.ok(urls.some(url => url.endsWith('/stream/client')))
    t.same(errors, [])
  })

  await t.test('a page that websockets are closed to polls', async t => {
    const { environment, errors, open } = await scene(t, browser)
    const page = await open('/polls/')
    const statuses: number[] = []
    page.on('response', response => statuses.push(response.status()))
    t.equal(await page.textContent('#greeting'), 'Hello')
    t.match(await page.evaluate('flags.status()'), { connected: false, stale: false })
    await page.click('#login')
    await until(page, 'flags.details("greeting", "").variation === "beta"')
    while (!statuses.includes(304)) await page.waitForResponse(() => true)
    await environment.kill('checkout')
    await page.waitForSelector('#buy', { state: 'hidden' })
    t.pass('a kill arrives with the next poll, and what did not change is not sent again')
    t.same(errors, [])
  })

  await t.test('a page that is opened while the server is dark', async t => {
    const { environment, errors, open, pages } = await scene(t, browser)
    const page = await open()
    await environment.kill('checkout')
    await page.waitForSelector('#buy', { state: 'hidden' })
    // The cache is written at most once a second, and when the page goes.
    await page.goto('about:blank')
    await environment.close()
    await page.goto(pages.origin)
    await until(page, 'window.flags !== undefined')
    t.equal(await page.textContent('#greeting'), 'Hello', 'begins with the values it had')
    t.equal(await page.isVisible('#buy'), false, 'a kill among them')
    t.equal(await page.textContent('#connection'), 'Trying to reach the server')
    t.match(await page.evaluate('flags.details("greeting", "")'), { stale: true, variation: 'plain' })
    const kept = String(await page.evaluate('JSON.stringify(localStorage)'))
    t.notMatch(kept, environment.clientKey, 'the cache does not hold the key')
    t.notMatch(kept, 'visitor-1', 'nor the context')

    await environment.restart()
    await environment.lift('checkout')
    await page.waitForSelector('#buy', { state: 'visible' })
    await until(page, 'document.getElementById("connection").textContent === "Up to date"')
    t.same(errors, [])
  })

  await t.test('a key that is refused, or is for no page, breaks nothing', async t => {
    const { environment, errors, open } = await scene(t, browser)
    const page = await open()
    const keys = (await environment.call('GET', '/api/v1/keys')).body.keys as { id: string; kind: string }[]
    await environment.call('DELETE', `/api/v1/keys/${keys.find(key => key.kind === 'client')!.id}`)
    await until(page, 'flags.status().stale')
    t.equal(await page.evaluate('flags.value("greeting", "")'), 'Hello', 'the last values go on')

    const wrong = (options: string): Promise<unknown> =>
      page.evaluate(`import('@sluice/sdk/web').then(async ({ connect }) => {
      const said = []
      const flags = connect(Object.assign(${options}, { logger: { error: text => said.push(text) } }))
      return [await flags.ready(2_000), flags.value('greeting', 'x'), flags.details('greeting', 'x').error, said.length]
    })`)
    const nothing = [{ ok: false, stale: false, revision: 0 }, 'x', 'NOT_READY', 1]
    t.same(await wrong(`{ url: '${environment.url}', key: '${environment.serverKey}' }`), nothing, 'a server key is not sent')
    t.same(await wrong(`{ url: 'nowhere', key: '${environment.clientKey}' }`), nothing)
    t.same(await wrong('{}'), [nothing[0], 'x', 'NOT_READY', 2])
    t.same(errors, [])
  })
})
