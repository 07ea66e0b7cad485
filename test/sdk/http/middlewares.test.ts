/** The three middlewares before real servers, with a client of a real Sluice server. */
import type { IncomingMessage } from 'node:http'
import { request as send } from 'node:http'
import express from 'express'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import * as forExpress from '../../../sdk/http/express.ts'
import * as forFastify from '../../../sdk/http/fastify.ts'
import * as forNode from '../../../sdk/http/node.ts'
import type { LimitOptions } from '../../../sdk/http/guard.ts'
import type { HttpRequest } from '../../../sdk/http/context.ts'
import type { Limited } from '../../../sdk/types.ts'
import { stayAlive } from '../open.ts'
import { listen, startLimits } from './scene.ts'

t.setTimeout(300_000)
stayAlive(t)

const { server, flags } = await startLimits(t)
type Options = Omit<LimitOptions<HttpRequest>, 'flags'>
/** What stands behind the limit. */
type Handler = (path: string) => Promise<string>

const hello: Handler = async () => 'hello'

/** An application on each framework that answers with what its handler resolves to. */
const applications: Readonly<Record<string, (t: Test, options: Options, handler?: Handler) => Promise<string>>> = {
  async fastify(t, options, handler = hello) {
    const app = fastify()
    t.teardown(() => app.close())
    await app.register(forFastify.rateLimit, { flags, ...options })
    app.all('/*', request => handler(request.url))
    return app.listen({ host: '127.0.0.1', port: 0 })
  },
  async express(t, options, handler = hello) {
    const app = express()
    app.use(forExpress.rateLimit({ flags, ...options }))
    app.use(async (request, response) => void response.send(await handler(request.url)))
    return listen(t, app)
  },
  async 'node:http'(t, options, handler = hello) {
    return listen(
      t,
      forNode.rateLimit({ flags, ...options }, async (request, response) => response.end(await handler(request.url!))),
    )
  },
}

for (const [name, start] of Object.entries(applications)) {
  t.test(`${name}: what is allowed tells the limit, what is denied is 429 with a problem document`, async t => {
    const allowed = await fetch(await start(t, { flag: 'plenty' }))
    t.equal(allowed.status, 200)
    t.equal(await allowed.text(), 'hello')
    t.equal(allowed.headers.get('ratelimit-policy'), '"plenty";q=1000000;w=1')
    t.match(allowed.headers.get('ratelimit'), /^"plenty";r=\d+$/)
    t.notOk(allowed.headers.has('retry-after'))

    const told: Limited[] = []
    const little = await start(t, { flag: 'little', legacyHeaders: true, onLimited: (_request, limited) => told.push(limited) })
    let denied = await fetch(little)
    let passed = 0
    while (denied.status === 200 && ++passed < 5) denied = await fetch(little)
    t.equal(denied.status, 429)
    t.match(denied.headers.get('content-type'), /^application\/problem\+json/)
    t.equal(denied.headers.get('cache-control'), 'no-store')
    const seconds = denied.headers.get('retry-after')
    t.match(seconds, /^[1-9]\d*$/)
    t.equal(denied.headers.get('ratelimit'), `"little";r=0;t=${seconds}`)
    t.equal(denied.headers.get('x-ratelimit-limit'), '1')
    t.equal(denied.headers.get('x-ratelimit-remaining'), '0')
    t.equal(denied.headers.get('x-ratelimit-reset'), seconds)
    t.strictSame(await denied.json(), {
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      title: 'Quota Exceeded',
      status: 429,
      detail: `The limit "little" is used up. Try again in ${seconds} s.`,
      'violated-policies': ['little'],
    })
    t.match(told, [{ reason: 'LIMITED', allowed: false }])
  })

  t.test(`${name}: HEAD is denied without a body, and a browser's preflight never is`, async t => {
    const url = await start(t, { flag: 'cut' })
    const head = await fetch(url, { method: 'HEAD' })
    t.equal(head.status, 429)
    t.equal(await head.text(), '')
    t.notOk(head.headers.has('retry-after'), 'nobody knows when')
    const post = await fetch(url, { method: 'POST', body: 'x'.repeat(200_000) })
    t.match(await post.json(), { status: 429, detail: /lets nothing through at present/ })
    t.equal((await fetch(url, { method: 'OPTIONS' })).status, 429)
    const preflight = { origin: 'https://shop.example.com', 'access-control-request-method': 'POST' }
    t.equal((await fetch(url, { method: 'OPTIONS', headers: preflight })).status, 200)
  })

  t.test(`${name}: who is not limited, and limits that deny nobody, are told nothing`, async t => {
    const told: string[] = []
    const onLimited = (_request: unknown, { reason }: Limited): unknown => told.push(reason)
    for (const options of [{ flag: 'cut', context: () => null }, { flag: 'watched' }, { flag: 'free' }, { flag: 'no-such-flag' }]) {
      const answer = await fetch(await start(t, { ...options, legacyHeaders: true, onLimited }))
      t.equal(answer.status, 200)
      t.strictSame(
        [...answer.headers.keys()].filter(header => header.includes('ratelimit')),
        [],
      )
    }
    t.strictSame(told, ['SHADOW'])
  })

  t.test(`${name}: what the application's own functions throw takes no request down, and is told once`, async t => {
    const broken = (): never => {
      throw new Error('no session')
    }
    const later = async () => ({ targetingKey: 'a' })
    const tooLate = async () => broken()
    for (const [options, status, text] of [
      [{ flag: 'cut', context: broken }, 200, /"cut": context failed \(no session\); such requests are not limited/],
      [{ flag: 'cut', context: later as unknown as () => null }, 200, /context failed .*a promise/],
      [{ flag: 'cut', context: tooLate as unknown as () => null }, 200, /context failed .*a promise/],
      [{ flag: 'cut', cost: tooLate as unknown as () => number }, 429, /cost failed .*a promise/],
      [{ flag: 'cut', context: () => undefined as unknown as null }, 200, /context failed/],
      [{ flag: 'cut', cost: broken }, 429, /cost failed/],
      [{ flag: 'cut', onLimited: broken }, 429, /onLimited failed/],
    ] as const) {
      const errors: string[] = []
      const url = await start(t, { ...options, logger: { error: message => errors.push(message) } })
      for (let i = 0; i < 3; i++) t.equal((await fetch(url)).status, status)
      t.equal(errors.length, 1)
      t.match(errors[0], text)
    }
  })

  t.test(`${name}: a place is held from the request to the end of its answer, or until the client has gone`, async t => {
    const waiting: ((text: string) => void)[] = []
    let arrived = (): void => undefined
    const next = (): Promise<void> => new Promise(resolve => (arrived = resolve))
    const handler: Handler = path => {
      if (path !== '/slow') return hello(path)
      return new Promise(resolve => {
        waiting.push(resolve)
        arrived()
      })
    }
    // A key of its own, so that the frameworks share no place.
    const url = await start(t, { flag: 'single', concurrency: true, context: () => ({ targetingKey: name }) }, handler)
    const free = async (): Promise<Response> => {
      for (;;) {
        const answer = await fetch(url)
        if (answer.status === 200) return answer
        await answer.text()
      }
    }

    let here = next()
    const slow = fetch(`${url}/slow`)
    await here
    const second = await fetch(url)
    t.equal(second.status, 429)
    t.equal(second.headers.get('ratelimit-policy'), '"single/concurrency";q=1;qu="concurrent-requests"')
    t.equal(second.headers.get('retry-after'), '1')
    t.match(await second.json(), { detail: /Too many requests at once/, 'violated-policies': ['single/concurrency'] })
    waiting.pop()!('done')
    t.equal(await (await slow).text(), 'done')
    t.equal(await (await free()).text(), 'hello')

    here = next()
    const leaving = send(`${url}/slow`).on('error', () => undefined)
    leaving.end()
    await here
    t.equal((await fetch(url)).status, 429)
    leaving.destroy()
    t.equal(await (await free()).text(), 'hello', 'the place is back although nothing was answered')
    waiting.pop()!('too late')
  })
}

t.test('a request that passes two limits tells of both', async t => {
  const app = express()
  app.use(forExpress.rateLimit({ flags, flag: 'plenty' }), forExpress.rateLimit({ flags, flag: 'single' }))
  app.use((_request, response) => void response.send('hello'))
  const answer = await fetch(await listen(t, app))
  t.equal(answer.headers.get('ratelimit-policy'), '"plenty";q=1000000;w=1, "single";q=1000000;w=1')
  t.match(answer.headers.get('ratelimit'), /^"plenty";r=\d+, "single";r=\d+$/)
})

t.test("Fastify: all routes are limited, wherever they are registered; a route's own options go before", async t => {
  const app = fastify()
  t.teardown(() => app.close())
  app.register(forFastify.rateLimit, { flags, flag: 'cut' })
  app.register(async child => {
    child.get('/child', hello.bind(null, ''))
    child.get('/open', { config: { sluice: false } }, hello.bind(null, ''))
    child.get('/own', { config: { sluice: { flag: 'plenty', legacyHeaders: true } } }, hello.bind(null, ''))
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const status = async (path: string): Promise<number> => (await fetch(url + path)).status
  t.equal(await status('/child'), 429)
  t.equal(await status('/no-such-page'), 429)
  t.equal(await status('/open'), 200)
  const own = await fetch(`${url}/own`)
  t.equal(own.headers.get('x-ratelimit-limit'), '1000000')
  t.match(own.headers.get('ratelimit'), /^"plenty"/)
})

t.test('Fastify: without a flag only the routes that name one are limited; a later hook knows who it is', async t => {
  const app = fastify()
  t.teardown(() => app.close())
  app.decorateRequest('account', '')
  await app.register(forFastify.rateLimit, {
    flags,
    hook: 'preHandler',
    context: request => (request.getDecorator<string>('account') === 'a-17' ? { targetingKey: 'a-17' } : null),
  })
  app.addHook('preValidation', async request => request.setDecorator('account', String(request.headers['x-account'])))
  app.get('/', hello.bind(null, ''))
  app.get('/own', { config: { sluice: { flag: 'cut' } } }, hello.bind(null, ''))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const as = async (path: string, account: string): Promise<number> =>
    (await fetch(url + path, { headers: { 'x-account': account } })).status
  t.strictSame([await as('/', 'a-17'), await as('/own', 'a-17'), await as('/own', 'a-18')], [200, 429, 200])
})

t.test('one account is held over the API, and it alone; then it is let in again', async t => {
  const context = (request: IncomingMessage) => {
    const account = { id: String(request.headers['x-account']) }
    return { targetingKey: account.id, account }
  }
  const url = await listen(
    t,
    forNode.rateLimit({ flags, flag: 'plenty', context }, (_request, response) => response.end('hello')),
  )
  const as = async (id: string): Promise<number> => (await fetch(url, { headers: { 'x-account': id } })).status
  const until = async (status: number): Promise<void> => {
    while ((await as('a-17')) !== status) await new Promise(resolve => setImmediate(resolve))
  }
  t.strictSame([await as('a-17'), await as('a-18')], [200, 200])
  const limits = '/api/v1/projects/default/environments/development/flags/plenty/limits'
  const clauses = [{ attribute: '/account/id', op: 'in', values: ['a-17'] }]
  const held = await server.call('POST', `${limits}?force=true`, { clauses, value: { rate: 0, per: 'second' }, reason: 'hammering' })
  t.equal(held.status, 201)
  await until(429)
  t.equal(await as('a-18'), 200)
  t.equal((await server.call('DELETE', `${limits}/${String(held.body.limit.id)}`)).status, 200)
  await until(200)
})
