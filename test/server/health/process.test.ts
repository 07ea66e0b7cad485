/** The server as a process: what it prints, how it ends. */
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ADMIN_KEY, SERVER_KEY } from '../start.ts'
import { type ProcessOptions, runProcess, startProcess } from '../process.ts'

/** Kills what a test has started, whatever happens to the test. */
const killed = (t: Test): Pick<ProcessOptions, 'onSpawn'> => ({
  onSpawn: (child: ChildProcess) => t.teardown(() => void child.kill('SIGKILL')),
})

t.test('the first start shows two keys, once; they work, and at rest there is only their hash', async t => {
  const data = join(t.testdir(), 'data')
  const first = await startProcess({ data, adminKey: null, serverKey: null, ...killed(t) })
  const admin = /admin key +(slc_admin_\S+)/.exec(first.stdout())?.[1] ?? ''
  const server = /server key +(slc_server_\S+)/.exec(first.stdout())?.[1] ?? ''
  t.match(first.stdout(), /shown only once/)
  t.match(first.stdout(), new RegExp(`documentation +${first.url}/docs`))
  t.match(first.stdout(), /sluice status/, 'and the next command to try')
  const who = async (url: string, key: string) => (await fetch(`${url}/api/v1/whoami`, { headers: { 'x-api-key': key } })).json()
  t.match(await who(first.url, admin), { kind: 'admin', grants: [{ role: 'admin' }] })
  t.match(await who(first.url, server), { kind: 'server', project: 'default', environment: 'development' })
  const projects = await fetch(`${first.url}/api/v1/projects`, { headers: { authorization: `Bearer ${admin}` } })
  t.match(await projects.json(), { projects: [{ key: 'default', environments: ['development', 'staging', 'production'] }] })
  t.equal(await first.stop(), 0)

  for (const file of readdirSync(data, { recursive: true, encoding: 'utf8' })) {
    const path = join(data, file)
    if (!statSync(path).isFile()) continue
    const bytes = readFileSync(path)
    for (const key of [admin, server]) t.notOk(bytes.includes(key) || bytes.includes(key.split('_')[3] ?? '?'), `${file} holds no key`)
  }

  const second = await startProcess({ data, adminKey: null, serverKey: null, ...killed(t) })
  t.notMatch(second.stdout() + second.stderr(), /slc_/, 'nothing secret the second time')
  t.match(await who(second.url, admin), { kind: 'admin' }, 'and the keys still work')
  t.equal(await second.stop('SIGINT'), 0)
})

t.test('configured keys are never printed, and a changed one replaces the former', async t => {
  const data = join(t.testdir(), 'data')
  const first = await startProcess({ data, ...killed(t) })
  const secrets = new RegExp(`${ADMIN_KEY}|${SERVER_KEY}|slc_`)
  t.notMatch(first.stdout() + first.stderr(), secrets)
  const status = async (url: string, key: string) => (await fetch(`${url}/api/v1/whoami`, { headers: { 'x-api-key': key } })).status
  t.equal(await status(first.url, ADMIN_KEY), 200)
  t.equal(await status(first.url, SERVER_KEY), 200)
  await first.kill()
  const next = 'the next admin key, with blanks and ~signs~'
  const second = await startProcess({ data, adminKey: next, ...killed(t) })
  t.equal(await status(second.url, ADMIN_KEY), 401)
  t.equal(await status(second.url, next), 200)
  t.equal(await second.stop(), 0)
  t.notMatch(second.stdout() + second.stderr(), /next admin key/)
})

t.test('a variable that is no setting is named on standard error, and the server starts', async t => {
  const environment = { SLUICE_PROT: 'not to be shown', SLUICE_SERVICE_HOST: '10.0.0.7' }
  const server = await startProcess({ data: join(t.testdir(), 'data'), environment, ...killed(t) })
  t.equal(await server.stop(), 0)
  t.match(server.stderr(), /ignored: SLUICE_PROT, SLUICE_SERVICE_HOST\. Known are SLUICE_HOST, SLUICE_PORT/)
  t.notMatch(server.stderr(), /not to be shown/)
})

t.test('asked to stop, it answers what has begun, refuses readiness, and ends', async t => {
  const server = await startProcess({ data: join(t.testdir(), 'data'), ...killed(t), environment: { SLUICE_LOG_LEVEL: 'info' } })
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  t.equal(await statusOf(`${server.url}/readyz`, agent), 200, 'an idle connection stays open behind this')
  // Half a request: its body is still to come when the signal arrives.
  const { port } = new URL(server.url)
  let ended = Promise.resolve<number | null>(null)
  const answer = new Promise<number>((resolve, reject) => {
    const slow = request(
      {
        host: '127.0.0.1',
        port,
        method: 'POST',
        path: '/api/v1/projects',
        headers: {
          authorization: `Bearer ${ADMIN_KEY}`,
          'content-type': 'application/json',
          'content-length': '13',
          expect: '100-continue',
        },
      },
      response => {
        response.resume()
        resolve(response.statusCode ?? 0)
      },
    )
    slow.on('error', reject)
    slow.on('continue', () => {
      ended = server.stop()
      const look = (): void => {
        if (!server.stderr().includes('"closing"')) return
        server.child.stderr?.off('data', look)
        slow.end('{"key":"shop"}'.slice(0, 13))
      }
      server.child.stderr?.on('data', look)
      look()
    })
    slow.flushHeaders()
  })
  t.equal(await answer, 400, 'half a JSON body, but answered')
  t.equal(await ended, 0)
})

t.test('what cannot start says why in one line', async t => {
  const data = join(t.testdir(), 'data')
  const running = await startProcess({ data, ...killed(t) })
  const cases: [name: string, options: ProcessOptions, expected: RegExp][] = [
    [
      'settings that cannot be used',
      { data, adminKey: 'short-secret', environment: { SLUICE_PORT: 'http' } },
      /^sluice: CONFIG_INVALID: .*SLUICE_PORT: .*SLUICE_ADMIN_KEY: .*24/,
    ],
    ['the data of another', { data }, /^sluice: DATA_LOCKED: /],
    ['the port of another', { data: join(data, '../other'), port: running.port }, new RegExp(`^sluice: PORT_IN_USE: .*${running.port}`)],
  ]
  for (const [name, options, expected] of cases) {
    const run = runProcess({ ...options, ...killed(t) })
    t.equal(await run.ended, 1, name)
    t.match(run.stderr(), expected, name)
    t.equal(run.stderr().trim().split('\n').length, 1, `${name}: one line, no stack`)
    t.notMatch(run.stderr(), /short-secret/)
  }
  t.equal(await running.stop(), 0)
})

function statusOf(url: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { agent }, response => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
    })
      .on('error', reject)
      .end()
  })
}
