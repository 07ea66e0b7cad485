import t from 'tap'
import { parsePercent } from '../../cli/valve.ts'
import { begin } from './run.ts'

const PLACE = ['-e', 'production']
const HERE = '/api/v1/projects/default/environments/production'

t.test('shares are read as people write them', async t => {
  const rows: [string, number | null][] = [
    ['50%', 50],
    ['12.5', 12.5],
    ['0%', 0],
    ['100', 100],
    ['101%', null],
    ['-1%', null],
    ['half', null],
    ['', null],
  ]
  for (const [text, expected] of rows) {
    if (expected === null) t.throws(() => parsePercent(text), { code: 'USAGE' }, text)
    else t.equal(parsePercent(text), expected, text)
  }
})

t.test('sluice valve throttles, cuts and opens, says how to undo it, and the undo brings back what stood', async t => {
  const { server, sluice, done } = await begin(t)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'payments-vendor', kind: 'safety-valve' })
  const stands = async () => (await server.call('GET', `${HERE}/valves/payments-vendor`)).body.valve
  const valve = ['valve', 'payments-vendor', ...PLACE]
  const undo = async (stdout: string): Promise<void> => {
    const line = stdout.trim().split('\n').at(-1) ?? ''
    const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(match => match[1] ?? match[2] ?? '')
    t.equal(words.shift(), 'sluice')
    await done(words)
  }

  const half = await done([...valve, '--throttle', '50%', '-m', 'vendor is slow'])
  t.match(
    half.stdout,
    /^THROTTLED: payments-vendor in production\n +now +50 % of the calls pass, whatever the valve sees\n +was +by itself\n/,
  )
  t.match(half.stdout, /affects +everyone\n.*asked +not once/)
  t.match(half.stdout, /\nsluice valve payments-vendor -e production --auto\n$/)
  t.match(await stands(), { state: 'throttled', admit: 0.5 })
  const tenth = await done([...valve, '--throttle', '10%', '-m', 'worse'])
  t.match(tenth.stdout, /was +by hand: 50 %/)
  await undo(tenth.stdout)
  t.match(await stands(), { admit: 0.5 }, 'a changed throttle goes back to what it was')
  const cut = await done([...valve, '--cut', '-m', 'they asked us to stop'])
  t.match(cut.stdout, /^CUT: .*\n +now +nothing passes/)
  t.match((await done(['status'])).stdout, /valve +payments-vendor in default\/production is cut by a kill: 0 % let through/)
  t.match(
    (await done([...valve])).stdout,
    /cut, 0 % let through, a kill[^]*50 % by hand for everyone, "vendor is slow"[^]*killed +for everyone, "they asked/,
  )
  const auto = await done([...valve, '--auto'])
  t.match(auto.stdout, /^RELEASED[^]*that stays until: sluice lift payments-vendor/, 'a kill stays, and how to lift it is said')
  await undo(cut.stdout)
  t.match(await stands(), { state: 'flowing', setting: { by: 'flag', isAuto: true } })
  await undo(auto.stdout)
  t.match(await stands(), { admit: 0.5, throttles: [{ reason: 'vendor is slow' }] })
  await server.call('DELETE', `${HERE}/valves/payments-vendor/throttle`)

  const some = await done([...valve, '--flow', '--where', '/account/plan=paid', '-m', 'paying ones'])
  t.match(some.stdout, /^OPENED: [^]*everyone else as before[^]*this lets everything through, whatever the valve sees/)
  t.match((await done(['valves', ...PLACE])).stdout, /VALVE +STATE[^]*payments-vendor +flowing +100 % +by itself/)
  t.match((await done(['valves', 'payments-vendor', ...PLACE, '--json'])).json(), {
    valve: { throttles: [{ percent: 100 }] },
    instances: [],
  })
  const wrong = await sluice([...valve, '--auto'])
  t.match([wrong.code, wrong.stderr], [1, /THROTTLE_NOT_FOUND[^]*Set is valve-\w+ \(100 %, contexts where/])
  t.match(await sluice([...valve, '--cut', '--flow', '-m', 'x']), { code: 2 })
  t.match(await sluice([...valve, '--cut']), { code: 2, stderr: /needs a reason/ })
})
