import t from 'tap'
import { parseSteps } from '../../cli/plan.ts'
import { begin } from './run.ts'

t.test('steps are read as people write them', async t => {
  t.same(parseSteps('1%:5m, 5:10m:500x,25%:1h:approval,shadow@5%:evidence,100%'), [
    { percent: 1, holdMs: 300_000 },
    { percent: 5, holdMs: 600_000, minExposures: 500 },
    { percent: 25, holdMs: 3_600_000, gate: 'approval' },
    { percent: 5, variation: 'shadow', gate: 'evidence' },
    { percent: 100 },
  ])
  for (const text of ['', '5%:later', 'x%', '5%:5', '5%,,10%', '1.2345%']) t.throws(() => parseSteps(text), { code: 'USAGE' }, text)
})

t.test('sluice rollout starts, shows and turns back a plan; sluice schedule has a change made and takes it back', async t => {
  const { server, sluice, done } = await begin(t)
  await done(['flag', 'create', 'new-ledger'])
  const where = ['new-ledger', '-e', 'production']
  const started = await done([
    'rollout',
    'start',
    ...where,
    '--steps',
    '1%:5m,100%',
    '--guard',
    'errorShare',
    '--bake',
    '1h',
    '-m',
    'ledger 2',
  ])
  t.match(started.stdout, /^STARTED the rollout of new-ledger in production\n/)
  t.match(started.stdout, /steps +on 1 % for 5 min → on 100 % for 1 h\n/)
  t.match(started.stdout, /now +step 1 of 2: on 1 %, the rest off/)
  t.match(started.stdout, /then +in 5 min: then 100 % of on/)
  t.match(started.stdout, /\nsluice rollout revert new-ledger -e production\n$/)
  t.match((await done(['status'])).stdout, /rollout +new-ledger in default\/production is running, step 1 of 2/)
  t.match((await done(['rollout', 'show', ...where])).stdout, /▶ on 1 % for 5 min/)
  const reverted = await done(['rollout', 'revert', ...where, '-m', 'double entries', '--json'])
  t.match(reverted.json(), { plan: { reverted: { text: /double entries/ } }, flag: { enabled: false } })
  t.equal((await sluice(['rollout', 'resume', ...where])).code, 1)

  const added = await done(['schedule', 'add', ...where, '--on', '--at', '2h', '-m', 'launch', '--json'])
  t.match((await done(['schedule', 'list', '-e', 'production'])).stdout, /new-ledger +.*switches it on +.*launch/)
  await done(['schedule', 'remove', added.json().schedule.key, '-e', 'production'])
  t.equal(server.services.log.state('default/production').documents.schedule.size, 0)
})
