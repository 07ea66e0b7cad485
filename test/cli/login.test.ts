import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ADMIN_KEY, SERVER_KEY } from '../server/start.ts'
import { begin } from './run.ts'

const NOBODY = { url: null, key: null }

t.test('login checks a key, keeps it for later commands, and never shows it', async t => {
  const { server, home, sluice } = await begin(t)
  const login = await sluice(['login', '--url', `${server.url}/`, '--key', '-', '-e', 'staging'], { ...NOBODY, stdin: `${ADMIN_KEY}\n` })
  t.equal(login.code, 0, login.stderr)
  t.match(login.stdout, /Logged in at http.* \(admin key\): admin everywhere/)
  const file = join(home, 'config', 'sluice', 'login.json')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.same(JSON.parse(readFileSync(file, 'utf8')), { url: server.url, key: ADMIN_KEY, environment: 'staging' })

  const status = await sluice(['status'], NOBODY)
  t.equal(status.code, 0, status.stderr)
  t.match(status.stdout, /storage +healthy/)
  t.match(status.stdout, /commands +go to default\/staging$/m)
  t.match(status.stdout, /default\/production +0 +0 +0/)
  t.match((await sluice(['status', '--json'], NOBODY)).json(), {
    url: server.url,
    environment: 'staging',
    storage: { healthy: true },
    you: { kind: 'admin' },
  })

  const elsewhere = await sluice(['status', '--url', 'http://127.0.0.1:1'], NOBODY)
  t.equal(elsewhere.code, 2, 'the key is not sent to another server')
  t.match(elsewhere.stderr, /KEY_UNKNOWN/)

  t.match((await sluice(['logout'], NOBODY)).stdout, /Logged out/)
  t.equal((await sluice(['status', '--url', server.url], NOBODY)).code, 2)

  const wrong = await sluice(['login', '--url', server.url, '--key', 'not-a-key-but-a-long-text'], NOBODY)
  t.equal(wrong.code, 1)
  t.match(wrong.stderr, /KEY_INVALID\)\n.*sluice login/)
  const nobody = await sluice(['login', '--url', server.url], NOBODY)
  t.equal(nobody.code, 2, 'without a terminal nobody is asked')
  t.equal((await sluice(['login', '--url', server.url, '--key', 'two\nlines'], NOBODY)).code, 2)
  const application = await sluice(['login', '--url', server.url, '--key', SERVER_KEY, '--dry-run'], NOBODY)
  t.match(application.stderr, /this is a server key, for applications/)
  for (const ran of [login, status, wrong, application]) t.notMatch(ran.stdout + ran.stderr, /admin-key-of|not-a-key-but|server-key-of/)
})

t.test('keys, environments and projects are made and ended', async t => {
  const { sluice, done } = await begin(t)
  const created = await done([
    'keys',
    'create',
    '--kind',
    'admin',
    '--name',
    'night shift',
    '--grant',
    'operator:default/production',
    '--expires',
    '90d',
  ])
  t.match(created.stdout, /CREATED admin key "night shift": operator in default\/production/)
  const token = created.stdout.trim().split('\n').at(-1) ?? ''
  t.match(token, /^slc_admin_/)
  await done(['flag', 'create', 'checkout'])
  t.equal((await sluice(['kill', 'checkout', '-e', 'production', '-m', 'why'], { key: token })).code, 0, 'an operator may kill')
  const forbidden = await sluice(['flag', 'on', 'checkout', '-e', 'production'], { key: token })
  t.equal(forbidden.code, 1)
  t.match(forbidden.stderr, /FORBIDDEN\)\n.*sluice status/)
  const id = /sluice keys revoke (\w+)/.exec(created.stdout)?.[1] ?? ''
  t.match((await done(['keys'])).stdout, new RegExp(`${id} +admin +night shift +operator in default/production`))
  t.equal((await sluice(['keys', 'revoke', token])).code, 2, 'a whole key is not taken for an id')
  await done(['keys', 'revoke', id])
  t.match((await sluice(['kills'], { key: token })).stderr, /KEY_INVALID/)
  t.equal((await sluice(['keys', 'create', '--kind', 'server', '--name', 'shop'])).code, 2, 'a server key needs its environment named')
  t.match((await done(['keys', 'create', '--kind', 'server', '--name', 'shop', '-e', 'production', '--json'])).json(), {
    key: { kind: 'server' },
    token: /^slc_server_/,
  })

  await done(['environments', 'create', 'preview', '--copy-from', 'production', '--name', 'Preview'])
  t.match((await done(['environments'])).stdout, /preview +Preview/)
  await done(['lift', 'checkout', '-e', 'production'])
  await done(['environments', 'delete', 'preview'])
  await done(['projects', 'create', 'shop'])
  await done(['environments', 'create', 'live', '-p', 'shop'])
  t.match(
    (await done(['flag', 'create', 'cart', '-p', 'shop'])).stdout,
    /^sluice flag archive cart --everywhere -p shop$/m,
    'the undo names the project',
  )
  t.match((await sluice(['flags', '-p', 'nosuch'])).stderr, /PROJECT_NOT_FOUND\)\n.*sluice projects/)
  t.match((await sluice(['flags', '-e', 'nosuch'])).stderr, /ENVIRONMENT_NOT_FOUND\)\n.*sluice environments/)
  t.equal((await sluice(['projects', 'delete', 'shop'])).code, 1)
})
