/** Outcomes reported by the three middlewares, before real servers, as a server of flags receives them. */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import express from 'express'
import fastify from 'fastify'
import t, { type Test } from 'tap'
import type { HttpRequest } from '../../../sdk/http/context.ts'
import * as forExpress from '../../../sdk/http/express.ts'
import * as forFastify from '../../../sdk/http/fastify.ts'
import * as forNode from '../../../sdk/http/node.ts'
import type { ReportOptions } from '../../../sdk/http/report.ts'
import { LONG_MS, open, stayAlive } from '../open.ts'
import { flag, startModel } from '../server.ts'
import { listen } from './scene.ts'

t.setTimeout(300_000)
stayAlive(t)

type Options = ReportOptions<HttpRequest>

/** What an application does with a path: `/503` answers so, `/hang` waits for its client to go. */
async function answer({ url, headers }: HttpRequest, response: ServerResponse, begun: (path: string) => void): Promise<number> {
  begun(url ?? '')
  if (url === '/hang') await once(response, 'close')
  if (url === '/throws') throw new Error('a mistake of the application')
  return headers['x-status'] === undefined ? 200 : Number(headers['x-status'])
}

const applications: Readonly<Record<string, (t: Test, options: Options, begun: (path: string) => void) => Promise<string>>> = {
  async fastify(t, options, begun) {
    const app = fastify({ forceCloseConnections: true })
    t.teardown(() => app.close())
    await app.register(forFastify.reportOutcomes, options)
    app.all('/*', async (request, reply) => reply.code(await answer(request, reply.raw, begun)).send('done'))
    return app.listen({ host: '127.0.0.1', port: 0 })
  },
  async express(t, options, begun) {
    const app = express()
    app.set('env', 'test')
    app.use(forExpress.reportOutcomes(options))
    app.use(async (request, response) => void response.status(await answer(request, response, begun)).send('done'))
    return listen(t, app)
  },
  async 'node:http'(t, options, begun) {
    const listener = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      response.statusCode = await answer(request, response, begun).catch(() => 500)
      response.end('done')
    }
    return listen(t, forNode.reportOutcomes(options, listener))
  },
}

/** The sums that arrived, by flag. */
async function scene(t: Test, start: (typeof applications)[string], options: Partial<Options>) {
  const model = await startModel(t, [flag('ledger'), flag('search')])
  const flags = open(t, model.url)
  await flags.ready(LONG_MS)
  const begun: string[] = []
  const waiting = new Set<() => void>()
  const url = await start(
    t,
    { flags, report: 'ledger', context: ({ headers }) => ({ targetingKey: String(headers['x-account']) }), ...options },
    path => {
      begun.push(path)
      for (const check of waiting) check()
    },
  )
  return {
    ask: (path: string, account: string, status?: number, more: RequestInit = {}) =>
      fetch(url + path, { headers: { 'x-account': account, ...(status === undefined ? {} : { 'x-status': `${status}` }) }, ...more }),
    begins: (path: string) =>
      new Promise<void>(resolve => {
        waiting.add(() => begun.includes(path) && resolve())
      }),
    async arrived() {
      await flags.close()
      await model.until(() => model.live.size === 0)
      const rows = model.received.flatMap(({ outcomes }) => (outcomes ?? []) as { flag: string }[])
      return Object.fromEntries(rows.map(({ flag, ...sums }) => [flag, sums]))
    },
  }
}

for (const [name, start] of Object.entries(applications)) {
  t.test(`${name}: an answer of 500 and above is a failure of the flag's variation, with how long it took`, async t => {
    const { ask, begins, arrived } = await scene(t, start, {})
    for (const status of [200, 404, 429]) t.equal((await ask('/', 'a-1', status)).status, status)
    t.equal((await ask('/', 'a-2', 503)).status, 503)
    t.equal((await ask('/throws', 'a-2')).status, 500)
    const given = new AbortController()
    const begun = begins('/hang')
    const hanging = ask('/hang', 'a-3', 503, { signal: given.signal })
    await begun
    given.abort()
    await t.rejects(hanging)
    // On the same server: once this is answered the other is over.
    t.equal((await ask('/', 'a-3')).status, 200)
    const { ledger } = await arrived()
    t.match(ledger, { variation: 'on', contexts: 3, errors: 1, slow: 0, allCalls: 7, allErrors: 2, allSlow: 0 })
    t.ok((ledger as unknown as { totalMs: number }).totalMs > 0)
  })

  t.test(`${name}: a function says which flags a request is evidence for, slow is what takes long, and mistakes are said once`, async t => {
    const log: string[] = []
    const { ask, arrived } = await scene(t, start, {
      report: ({ url }) => (url === '/search' ? ['search', 'ledger'] : url === '/health' ? null : 'ledger'),
      context: ({ headers }) => {
        if (headers['x-account'] === 'broken') throw new Error('no session')
        return { targetingKey: String(headers['x-account']) }
      },
      slowMs: 0,
      logger: { error: text => void log.push(text) },
    })
    for (const path of ['/', '/search', '/health']) await ask(path, 'a-1')
    for (let i = 0; i < 2; i++) t.equal((await ask('/', 'broken')).status, 200)
    t.match(await arrived(), { ledger: { allCalls: 2, contexts: 1, slow: 1 }, search: { allCalls: 1, slow: 1 } })
    t.equal(log.length, 1)
    t.match(log[0], /context failed \(no session\)/)
  })
}
