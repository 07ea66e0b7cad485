/** What docs/valves.md shows, run: its valve, its table of settings, and an application whose vendor has a bad day. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { VALVE_PRESETS, valveValueSchema } from '../../../schemas/values.ts'
import { VALVE_DEFAULTS } from '../../../sdk/evaluator/valve.ts'
import { startServer } from '../start.ts'

t.setTimeout(300_000)

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const page = readFileSync(join(root, 'docs/valves.md'), 'utf8')
const PROJECT = '/api/v1/projects/default'
const ENVIRONMENT = `${PROJECT}/environments/development`

/** The cells of the rows of the page's tables that begin with a word in code. */
const rows = page
  .split('\n')
  .filter(line => line.startsWith('| `'))
  .map(line => line.split('|').map(cell => cell.trim()))

t.test('the table of settings has every setting, with its default', async t => {
  const { breaker, adaptive, ...others } = valveValueSchema.shape
  const inside = (name: string, shape: object): string[] => Object.keys(shape).map(inner => `${name}.${inner}`)
  const known = [...Object.keys(others), ...inside('breaker', breaker.unwrap().shape), ...inside('adaptive', adaptive.unwrap().shape)]
  const told = new Map(rows.map(([, name = '', usual = '']) => [name.replaceAll('`', ''), usual]))
  for (const name of known) t.ok(told.has(name), name)
  for (const [name, usual] of Object.entries(VALVE_DEFAULTS)) {
    const cell = told.get(`breaker.${name}`) ?? told.get(`adaptive.${name}`)
    t.equal(cell, String(usual), `the default of ${name}`)
  }
})

t.test('the presets of the page are those that a valve is made with', async t => {
  for (const [name, value] of Object.entries(VALVE_PRESETS)) {
    const cell = rows.find(([, first, second]) => first === `\`${name}\`` && second?.startsWith('`{') === true)?.[2] ?? ''
    t.same(JSON.parse(cell.replaceAll('`', '')), value, name)
  }
})

t.test('docs/examples/valves/http.js: the vendor fails and is spared, a person cuts the valve, and lifted it flows again', async t => {
  const server = await startServer(t)
  const [valve] = [...page.matchAll(/^```json\n(.*?)^```/gms)].map(([, text]) => JSON.parse(text!) as object)
  const created = await server.call('POST', `${PROJECT}/flags`, valve)
  t.equal(created.status, 201, JSON.stringify(created.body))

  let [isSick, heard] = [false, 0]
  const vendor = createServer((_request, response) => {
    heard++
    response.writeHead(isSick ? 503 : 200).end('paid')
  })
  vendor.listen(0, '127.0.0.1')
  await once(vendor, 'listening')
  t.teardown(() => vendor.close())

  // The SDK as it is installed, with what was built for this test in the place of what is packed.
  const folder = t.testdir({
    'package.json': '{ "type": "module" }',
    node_modules: {
      '@sluice': {
        sdk: { 'package.json': readFileSync(join(root, 'sdk/package.json'), 'utf8'), dist: t.fixture('symlink', join(root, 'dist')) },
      },
    },
  })
  copyFileSync(join(root, 'docs/examples/valves/http.js'), join(folder, 'app.js'))
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, ['app.js'], {
    cwd: folder,
    env: {
      ...{ ...env, SLUICE_URL: server.url, SLUICE_KEY: server.serverKey, PORT: '0' },
      VENDOR_URL: `http://127.0.0.1:${(vendor.address() as AddressInfo).port}/`,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string]
  const ask = async (): Promise<Response> => {
    const answer = await fetch(`${url}/orders`, { headers: { 'x-account': 'a-17' } })
    await answer.text()
    return answer
  }
  const until = async (status: number): Promise<Response> => {
    for (;;) {
      const answer = await ask()
      if (answer.status === status) return answer
    }
  }
  t.equal((await ask()).status, 200)

  isSick = true
  const turnedAway = await until(503)
  t.match(turnedAway.headers.get('retry-after'), /^\d+$/)
  isSick = false
  const open = { percent: 100, reason: 'it is well' }
  t.equal((await server.call('POST', `${ENVIRONMENT}/valves/payments-vendor/throttle`, open)).status, 201)
  await until(200)
  const cut = await server.call('POST', `${ENVIRONMENT}/valves/payments-vendor/throttle`, { percent: 0, reason: 'they asked us to stop' })
  await until(503)
  const before = heard
  for (let i = 0; i < 20; i++) t.equal((await ask()).status, 503)
  t.equal(heard, before, 'nothing reaches the vendor')
  await server.call('DELETE', `${ENVIRONMENT}/flags/payments-vendor/kills/${cut.body.kill.id}`)
  await until(200)

  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number | null]
  t.equal(code, 0)
})
