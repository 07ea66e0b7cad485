import t from 'tap'
import { parseRate } from '../../cli/rate.ts'
import { begin } from './run.ts'

const HERE = '/api/v1/projects/default/environments/production'
const A17 = ['--where', '/account/id=a-17']

t.test('rates are read as people write them', async t => {
  const rows: [string, object | null][] = [
    ['10/s', { rate: 10, per: 'second' }],
    ['600/min', { rate: 600, per: 'minute' }],
    ['1000/h', { rate: 1_000, per: 'hour' }],
    ['1e5/day', { rate: 100_000, per: 'day' }],
    ['0.5/second', { rate: 0.5, per: 'second' }],
    ['5 / minutes', { rate: 5, per: 'minute' }],
    ['0', { rate: 0, per: 'second' }],
    ['unlimited', { unlimited: true }],
    ['5/m', null],
    ['5/M', null],
    ['5', null],
    ['10/s/s', null],
    ['-1/s', null],
    ['ten/s', null],
    ['10/fortnight', null],
    ['10/constructor', null],
    ['', null],
  ]
  for (const [text, expected] of rows) {
    if (expected === null) t.throws(() => parseRate(text), { code: 'USAGE' }, text)
    else t.same(parseRate(text), expected, text)
  }
  t.throws(() => parseRate('5/m'), { message: /minute or by the month/ })
})

t.test('sluice limit holds one account, says how to undo it, and its undo brings back what stood', async t => {
  const { server, sluice, done } = await begin(t)
  const variations = ['--variation', 'usual={"rate":100,"per":"second"}', '--variation', 'off={"unlimited":true}']
  await done(['flag', 'create', 'api-requests', '--kind', 'rate-limit', ...variations])
  await done(['flag', 'on', 'api-requests', '-e', 'production'])
  const flag = async () => (await server.call('GET', `${HERE}/flags/api-requests`)).body
  const before = await flag()
  const limit = ['limit', 'api-requests', '-e', 'production', ...A17]
  /** Runs the command that an answer prints, through a shell's eyes. */
  const undo = async (stdout: string): Promise<void> => {
    const line = stdout.trim().split('\n').at(-1) ?? ''
    const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(match => match[1] ?? match[2] ?? '')
    t.equal(words.shift(), 'sluice')
    await done(words)
  }

  const held = await done([...limit, '--rate', '10/s', '-m', 'hammering'])
  t.match(held.stdout, /^LIMITED: contexts where \/account\/id is "a-17" on api-requests in production\n/)
  t.match(held.stdout, /to +10 requests per second\n +counted +each \/account\/id for itself\n +was +usual \(100 requests per second\)/)
  t.match(held.stdout, /reason +"hammering"/)
  t.match(held.stdout, /is new in default\/development, default\/staging, default\/production/)
  t.match(held.stdout, /revision +3\n/)
  t.match(held.stdout, /no instance is connected/)
  t.match(held.stdout, /\nsluice limit api-requests -e production --where \/account\/id=a-17 --remove\n$/)

  const lower = await done([...limit, '--rate', '2/s', '--burst', '10', '-m', 'still hammering'])
  t.match(lower.stdout, /to +2 requests per second, at most 10 at once/)
  t.match(lower.stdout, /was +10 requests per second/)
  t.equal((await flag()).rules.length, 1)
  await undo(lower.stdout)
  t.match((await flag()).variations.at(-1), { value: { rate: 10 } })
  t.match(
    (await done(['limit', 'api-requests', '-e', 'production'])).stdout,
    /limit-\w+ +contexts where .*: 10 requests per second, each .* "hammering"/,
  )
  t.match((await done([...limit, '--rate', '10/s', '-m', 'again'])).stdout, /ALREADY LIMITED[^]*revision +\d+ stays/)

  const cut = await sluice([...limit, '--rate', '0', '-m', 'abuse'])
  t.equal(cut.code, 1)
  t.match(cut.stderr, /RATE_STEP_TOO_LARGE[^]*--force/)
  t.match((await done([...limit, '--rate', '0', '--force', '-m', 'abuse', '--dry-run'])).stdout, /WOULD LIMIT[^]*rate 0[^]*stays/)
  const unlimited = await done([...limit, '--rate', 'unlimited', '-m', 'our own', '--json'])
  t.match(unlimited.json(), { limit: { value: { unlimited: true } }, undo: /--rate 10\/s --force -m hammering$/ })

  const removed = await done([...limit, '--remove', '-m', 'they have mended it'])
  t.match(removed.stdout, /^REMOVED the limit of/)
  t.match(removed.stdout, /now +usual/)
  const after = await flag()
  t.same([after.rules, after.variations], [before.rules, before.variations])
  await undo(removed.stdout)
  t.match((await flag()).rules, [{ serve: { variation: 'limit-unlimited' } }])
})

t.test('what is not clear is refused before anything is sent', async t => {
  const { sluice } = await begin(t)
  const rows: [words: string[], expected: RegExp][] = [
    [['-e', 'production', ...A17, '--rate', '10/s'], /needs a reason/],
    [[...A17, '--rate', '10/s', '-m', 'x'], /needs to know the environment/],
    [['-e', 'production', '--rate', '10/s', '-m', 'x'], /needs --where/],
    [['-e', 'production', ...A17, '-m', 'x'], /needs --rate/],
    [['-e', 'production', ...A17, '--rate', '5/m', '-m', 'x'], /5\/min/],
    [['-e', 'production', ...A17, '--rate', '5/s', '--burst', '0', '-m', 'x'], /--burst/],
    [['-e', 'production', ...A17, '--rate', '5/s', '--remove'], /Give one of them/],
    [['-e', 'production', '--remove'], /not clear/],
  ]
  for (const [words, expected] of rows) {
    const ran = await sluice(['limit', 'api-requests', ...words])
    t.equal(ran.code, 2, words.join(' '))
    t.match(ran.stderr, expected)
  }
})
