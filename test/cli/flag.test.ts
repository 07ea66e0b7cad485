import t from 'tap'
import { begin } from './run.ts'

const HERE = '/api/v1/projects/default/environments/production'

t.test('a flag is created, turned on, shown, cloned and archived', async t => {
  const { server, sluice, done } = await begin(t)
  const created = await done([
    'flag',
    'create',
    'checkout',
    '--name',
    'Checkout',
    '--owner',
    'shop',
    '--tag',
    'a',
    '--tag',
    'b',
    '--permanent',
  ])
  t.match(created.stdout, /CREATED checkout in every environment of project default, off/)
  t.match(created.stdout, /^sluice flag archive checkout --everywhere$/m)
  t.equal((await sluice(['flag', 'create', 'checkout'])).code, 1, 'twice is refused')
  t.equal((await sluice(['flag', 'create', 'x', '-e', 'production'])).code, 2)
  await done([
    'flag',
    'create',
    'api-requests',
    '--kind',
    'rate-limit',
    '--variation',
    'free={"rate":10,"per":"second"}',
    '--off-variation',
    'free',
    '--fallthrough',
    'free',
  ])

  const on = await done(['flag', 'on', 'checkout', '-e', 'production', '-m', 'go live'])
  t.match(on.stdout, /CHANGED checkout in production/)
  t.match(on.stdout, /serves +on to everyone/)
  t.match(on.stdout, /~ enabled: false → true/)
  t.match(on.stdout, /^sluice revert \d+ -e production$/m)
  const again = (await done(['flag', 'on', 'checkout', '-e', 'production', '--json'])).json()
  t.same([again.change, again.undo], [null, null])

  const show = await done(['flag', 'show', 'checkout', '-e', 'production'])
  t.match(show.stdout, /checkout in production: on/)
  t.match(show.stdout, /variations +on \(true\), off \(false\)/)
  t.match((await done(['flag', 'show', 'checkout', '-e', 'production', '--json'])).json(), {
    key: 'checkout',
    enabled: true,
    owner: 'shop',
    temporary: false,
  })

  t.match((await done(['flags'])).stdout, /checkout +release +off +off +on +a,b +Checkout|checkout +release.*on/)
  t.match((await done(['flags', '-e', 'production', '--state', 'on', '--json'])).json(), { flags: [{ key: 'checkout' }] })
  t.match((await done(['flags', '--kind', 'rate-limit', '--json'])).json(), { flags: [{ key: 'api-requests' }] })
  t.equal((await sluice(['flags', '--kind', 'feature'])).code, 2)

  await done(['flag', 'define', 'checkout', '--owner', 'payments'])
  await done(['flag', 'clone', 'checkout', 'checkout-2'])
  t.match((await done(['flag', 'show', 'checkout-2', '-e', 'production', '--json'])).json(), { owner: 'payments', enabled: true })
  t.match((await done(['diff', '--with', 'staging', '-e', 'production'])).stdout, /enabled: false → true/)
  await done(['flag', 'copy', 'checkout', '--from', 'production', '-e', 'staging'])
  t.match((await done(['flag', 'show', 'checkout', '-e', 'staging', '--json'])).json(), { enabled: true })

  t.equal((await sluice(['flag', 'archive', 'checkout-2'])).code, 2, 'where is not guessed')
  await done(['flag', 'archive', 'checkout-2', '--everywhere'])
  t.equal((await server.call('GET', `${HERE}/flags/checkout-2`)).status, 404)
})

t.test('a kill switch is said to be on as soon as it is created', async t => {
  const { done } = await begin(t)
  const created = await done(['flag', 'create', 'stop', '--kind', 'kill-switch'])
  t.match(created.stdout, /CREATED stop in every environment of project default, on: it serves on$/m)
  t.match(created.stdout, /next +switch it off when you must with "sluice kill stop /)
  t.match((await done(['flag', 'show', 'stop', '-e', 'production'])).stdout, /serves +on to everyone/)
})
