import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { begin } from './run.ts'

t.test('history, diff and revert tell and undo', async t => {
  const { sluice, done } = await begin(t)
  await done(['flag', 'create', 'checkout', '-m', 'first'])
  const { revision } = (await done(['flag', 'on', 'checkout', '-e', 'production', '-m', 'go live', '--json'])).json()
  const history = await done(['history', '-e', 'production'])
  t.match(
    history.stdout,
    new RegExp(`^r${revision} {2}\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\dZ {2}.* {2}edited checkout {2}"go live"$`, 'm'),
  )
  t.match((await done(['history', 'checkout', '-e', 'production', '--full', '--limit', '1'])).stdout, /~ enabled: false → true/)
  t.match((await done(['history', '-e', 'production', '--revision', String(revision), '--json'])).json(), { revision, comment: 'go live' })
  t.match((await done(['history', '-e', 'production', '--since', String(revision), '--json'])).json(), { changes: [] })
  t.match((await done(['diff', String(revision - 1), '-e', 'production'])).stdout, /enabled: false → true/)
  t.match((await done(['diff', '1h', '-e', 'production'])).stdout, /is new/)
  t.equal((await sluice(['revert', String(revision)])).code, 2, 'the environment is not guessed')
  const dry = await done(['revert', String(revision), '-e', 'production', '--dry-run'])
  t.match(dry.stdout, /WOULD REVERT/)
  const reverted = await done(['revert', `r${revision}`, '-e', 'production', '-m', 'too soon'])
  t.match(reverted.stdout, /~ enabled: true → false/)
  t.match(reverted.stdout, new RegExp(`^sluice revert ${revision + 1} -e production$`, 'm'))
  await done(['flag', 'set', 'checkout', '-e', 'production', '--rollout', 'on=5%'])
  await done(['flag', 'on', 'checkout', '-e', 'production'])
  const conflict = await sluice(['revert', String(revision), '-e', 'production'])
  t.equal(conflict.code, 1)
  t.match(conflict.stderr, /REVERT_CONFLICT\)\n.*--force/)
  const killed = (await done(['kill', 'checkout', '-e', 'production', '-m', 'why', '--json'])).json()
  const override = await sluice(['revert', String(killed.revision), '-e', 'production'])
  t.match(override.stderr, /REVERT_CONFLICT\)\n[^]*Use "sluice lift"/)
  t.notMatch(override.stderr, /--force/, 'which would be refused too')
})

t.test('segments are kept in files', async t => {
  const { home, sluice, done } = await begin(t)
  const file = join(home, 'beta.yaml')
  writeFileSync(file, 'key: beta\nincluded: [{ attribute: /account/id, values: [a-17, a-18] }]\n')
  t.match((await done(['segments', 'set', 'beta', '-e', 'production', '-f', file])).stdout, /CREATED segment beta in production/)
  writeFileSync(
    file,
    'included: [{ attribute: /account/id, values: [a-17] }]\nrules: [{ id: r1, clauses: [{ attribute: plan, op: in, values: [beta] }] }]\n',
  )
  t.match((await done(['segments', 'set', 'beta', '-e', 'production', '-f', file])).stdout, /CHANGED segment beta in production/)
  t.match((await done(['segments', '-e', 'production'])).stdout, /beta +1 +0 +1/)
  t.match(
    (await done(['segments', 'show', 'beta', '-e', 'production'])).stdout,
    /included +\/account\/id is "a-17"\n +rule +r1: plan is "beta"/,
  )
  await done(['flag', 'create', 'checkout'])
  await done(['flag', 'rules', 'add', 'checkout', '-e', 'production', '--where', 'segment=beta', '--serve', 'on'])
  t.match((await sluice(['segments', 'archive', 'beta', '-e', 'production'])).stderr, /SEGMENT_IN_USE/)
  await done(['flag', 'rules', 'remove', 'checkout', 'r1', '-e', 'production'])
  await done(['segments', 'archive', 'beta', '-e', 'production'])
  t.match((await done(['segments', '-e', 'production', '--json'])).json(), { segments: [] })
})
