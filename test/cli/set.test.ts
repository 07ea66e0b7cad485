import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { begin } from './run.ts'

const HERE = '/api/v1/projects/default/environments/production'

t.test('a rollout, targets, prerequisites and rules are laid over what stands', async t => {
  const { server, home, sluice, done } = await begin(t)
  for (const flag of ['ledger', 'upstream']) await done(['flag', 'create', flag])
  const flag = async (): Promise<Record<string, unknown>> => (await server.call('GET', `${HERE}/flags/ledger`)).body
  const weights = (on: number): object => ({
    by: '/account/id',
    weights: [
      { variation: 'on', weight: on },
      { variation: 'off', weight: 100_000 - on },
    ],
  })

  t.match(
    (await done(['flag', 'set', 'ledger', '-e', 'production', '--rollout', 'on=5%', '--by', '/account/id'])).stdout,
    /fallthrough: on → on 5 %, off 95 % by \/account\/id/,
  )
  await done(['flag', 'set', 'ledger', '-e', 'production', '--rollout', 'on=25%', '-m', 'more'])
  t.match(await flag(), { fallthrough: { rollout: weights(25_000) } })

  await done(
    [
      'flag',
      'set',
      'ledger',
      '-e',
      'production',
      '--target',
      '/account/id=a-17,"18":off',
      '--target',
      'vip:on',
      '--prerequisite',
      'upstream=on',
    ].map(word => (word === 'vip:on' ? 'targetingKey=vip:on' : word)),
  )
  await done(['flag', 'set', 'ledger', '-e', 'production', '--target', '/account/id=a-17:on', '--untarget', 'targetingKey=vip'])
  t.match(await flag(), {
    targets: [
      { attribute: '/account/id', values: ['18'], variation: 'off' },
      { attribute: '/account/id', values: ['a-17'], variation: 'on' },
    ],
    prerequisites: [{ flag: 'upstream', variations: ['on'] }],
  })

  const dry = await done(['flag', 'rules', 'add', 'ledger', '-e', 'production', '--where', 'plan=beta', '--serve', 'on', '--dry-run'])
  t.match(dry.stdout, /WOULD CHANGE ledger in production/)
  t.match(await flag(), { rules: [] })
  t.match(
    (await done(['flag', 'rules', 'add', 'ledger', '-e', 'production', '--where', 'plan=beta', '--serve', 'on'])).stdout,
    /\+ rules\[r1\]: plan is "beta" → on/,
  )
  await done([
    'flag',
    'rules',
    'add',
    'ledger',
    '-e',
    'production',
    '--where',
    'country=de',
    '--rollout',
    'on=10%',
    '--position',
    '1',
    '--name',
    'Germany',
  ])
  t.match(
    (await done(['flag', 'rules', 'show', 'ledger', '-e', 'production'])).stdout,
    /1\. r2 \(Germany\): country is "de" → on 10 %, off 90 % by targetingKey\n {2}2\. r1: plan is "beta" → on\n/,
  )
  const file = join(home, 'rules.yaml')
  writeFileSync(file, (await done(['flag', 'rules', 'show', 'ledger', '-e', 'production', '--yaml'])).stdout.replaceAll('de', 'at'))
  await done(['flag', 'rules', 'set', 'ledger', '-e', 'production', '-f', file])
  await done(['flag', 'rules', 'remove', 'ledger', 'r1', '-e', 'production'])
  t.match(await flag(), { rules: [{ id: 'r2', clauses: [{ attribute: 'country', op: 'in', values: ['at'] }] }] })

  for (const words of [
    ['set', 'ledger'],
    ['set', 'ledger', '--rollout', 'on=1', '--fallthrough', 'on'],
    ['set', 'ledger', '--target', 'a=b'],
    ['set', 'upstream', '--by', 'x'],
    ['rules', 'add', 'ledger', '--where', 'a=b'],
    ['rules', 'remove', 'ledger', 'nosuch'],
  ]) {
    t.equal((await sluice(['flag', ...words, '-e', 'production'])).code, 2, words.join(' '))
  }
  const refused = await sluice(['flag', 'set', 'ledger', '-e', 'production', '--fallthrough', 'nosuch', '--json'])
  t.equal(refused.code, 1)
  t.equal(refused.stdout, '')
  t.match(JSON.parse(refused.stderr), { code: 'INVALID_FLAG', details: [{ path: 'fallthrough.variation' }] })

  const explained = await done(['explain', 'ledger', '-e', 'production', '--with', '/account/id=a-17', '--with', 'country=at'])
  t.match(explained.stdout, /reason +OFF/)
  await done(['flag', 'on', 'ledger', '-e', 'production'])
  await done(['flag', 'on', 'upstream', '-e', 'production'])
  const now = (await done(['explain', 'ledger', '-e', 'production', '--context', '{ "account": { "id": "a-17" } }', '--json'])).json()
  t.match(now, { value: true, variation: 'on', reason: 'TARGET_MATCH' })
  const then = (
    await done(['explain', 'ledger', '-e', 'production', '--with', '/account/id=a-17', '--revision', String(now.revision - 1), '--json'])
  ).json()
  t.match(then, { reason: 'PREREQUISITE_FAILED', prerequisite: 'upstream', revision: now.revision - 1 })
})
