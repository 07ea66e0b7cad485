/** What docs/rate-limits.md shows, run: its flag, and an application on each framework, beside a real server. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { rateOf } from '../../../sdk/evaluator/rate.ts'
import { overAdmissionMax } from '../../../server/limits/memory.ts'
import { startServer } from '../../server/start.ts'
import { holds, LONG_MS, open, stayAlive } from '../open.ts'
import { ENVIRONMENT, expectOk, PROJECT } from './scene.ts'

t.setTimeout(300_000)
stayAlive(t)

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const LIMITS = `${ENVIRONMENT}/flags/api-requests/limits`

const page = readFileSync(join(root, 'docs/rate-limits.md'), 'utf8')
/** The flag of the page: what it is, and what it does. */
const [flag, rules] = [...page.matchAll(/^```json\n(.*?)^```/gms)].map(([, text]) => JSON.parse(text!) as object)

async function startFlag(t: Test) {
  const server = await startServer(t)
  await expectOk(server.call('POST', `${PROJECT}/flags`, flag))
  await expectOk(server.call('PATCH', `${ENVIRONMENT}/flags/api-requests`, rules))
  return server
}

t.test('the three rules of the page choose the rates it says', async t => {
  const server = await startFlag(t)
  const flags = open(t, server.url, { key: server.serverKey })
  await flags.ready(LONG_MS)
  await holds(flags, () => flags.details('api-requests', {}, null).reason === 'FALLTHROUGH')
  const of = (context: object): number => flags.limit('api-requests', { ip: '192.0.2.1', method: 'GET', ...context }).limit
  t.equal(of({ account: { id: 'a-17' } }), 10)
  t.equal(of({ account: { id: 'a-18' }, method: 'POST', authScheme: 'basic' }), 5)
  t.equal(of({ account: { id: 'a-18' }, authScheme: 'basic' }), 100)
  t.equal(of({ account: { id: 'a-18' }, method: 'POST', authScheme: 'bearer' }), 100)
  t.equal(of({ account: { id: 'a-17' }, ip: '10.20.30.40' }), Infinity, 'the first rule that matches decides')
})

t.test('the bounds of the page are those that the server prints', async t => {
  for (const [rate, burst, bound] of [
    [100, 25, 55],
    [10, 3, 22],
  ] as const) {
    const { ratePerMs, depth } = rateOf({ rate, per: 'second' })!
    t.equal(depth, burst)
    t.equal(overAdmissionMax({ kind: 'rate', ratePerMs, depth, onPartition: 'safe-share' }, 10, 10), bound)
    const row = page.split('\n').find(line => line.startsWith(`| ${rate} per second`))!
    const most = (rate * 60 + burst + bound).toLocaleString('en-US')
    t.ok(row.includes(`| ${burst} `) && row.includes(` = ${bound} `) && row.includes(` + ${burst} + ${bound} = ${most} `), row)
  }
})

for (const example of ['fastify', 'express', 'http'])
  t.test(`docs/examples/limits/${example}.js: one account is held, it alone is 429, lifted it is 200 again`, async t => {
    const server = await startFlag(t)
    // The SDK as it is installed, with what was built for this test in the place of what is packed.
    const folder = t.testdir({
      'package.json': '{ "type": "module" }',
      node_modules: {
        '@sluice': {
          sdk: { 'package.json': readFileSync(join(root, 'sdk/package.json'), 'utf8'), dist: t.fixture('symlink', join(root, 'dist')) },
        },
      },
    })
    copyFileSync(join(root, `docs/examples/limits/${example}.js`), join(folder, 'app.js'))
    const { NODE_OPTIONS: _, ...env } = process.env
    const child = spawn(process.execPath, ['app.js'], {
      cwd: folder,
      env: { ...env, SLUICE_URL: server.url, SLUICE_KEY: server.serverKey, PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    const [url] = (await once(createInterface(child.stdout), 'line')) as [string]

    const as = (account: string): Promise<Response> => fetch(`${url}/orders`, { headers: { 'x-account': account } })
    const until = async (status: number): Promise<Response> => {
      for (;;) {
        const answer = await as('a-20')
        if (answer.status === status) return answer
        await answer.text()
      }
    }
    t.equal((await as('a-20')).status, 200)
    t.equal((await as('a-21')).status, 200)
    t.notOk((await fetch(`${url}/health`)).headers.has('ratelimit'), 'not limited')

    const clauses = [{ attribute: '/account/id', op: 'in', values: ['a-20'] }]
    const body = { clauses, value: { rate: 1, per: 'minute' }, reason: 'hammering' }
    const held = (await expectOk(server.call('POST', LIMITS, body))) as { limit: { id: string } }
    const denied = await until(429)
    t.equal(denied.headers.get('ratelimit-policy'), '"api-requests";q=1;w=60')
    t.match(await denied.json(), { status: 429, 'violated-policies': ['api-requests'] })
    t.equal((await as('a-21')).status, 200, 'nobody else is')
    await expectOk(server.call('DELETE', `${LIMITS}/${held.limit.id}`))
    t.equal((await until(200)).headers.get('ratelimit-policy'), '"api-requests";q=100;w=1')

    child.kill('SIGTERM')
    const [code] = (await once(child, 'exit')) as [number | null]
    t.equal(code, 0)
  })
