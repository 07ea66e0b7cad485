import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { begin } from './run.ts'

t.test('an environment goes out as a file, is edited, and comes back in one change', async t => {
  const { home, sluice, done } = await begin(t)
  await done(['flag', 'create', 'checkout'])
  await done([
    'flag',
    'create',
    'banner',
    '--kind',
    'config',
    '--variation',
    'none=""',
    '--variation',
    'sale=50 % off',
    '--off-variation',
    'none',
    '--fallthrough',
    'sale',
  ])
  const yaml = (await done(['export', '-e', 'production'])).stdout
  const file = join(home, 'production.yaml')
  writeFileSync(file, yaml)
  t.match((await done(['import', file, '-e', 'production'])).stdout, /NOTHING TO IMPORT: production is already so/)

  writeFileSync(file, yaml.replace('enabled: false', 'enabled: true').replace('50 % off', '60 % off'))
  const dry = await done(['import', file, '-e', 'production', '--dry-run'])
  t.match(dry.stdout, /0 new, \d changed, 0 archived/)
  t.match(dry.stdout, /60 % off/)
  t.match((await done(['export', '-e', 'production'])).stdout, /50 % off/, 'a dry run changes nothing')
  const imported = await done(['import', file, '-e', 'production', '-m', 'as reviewed'])
  t.match(imported.stdout, /^IMPORTED .*production\.yaml into production$/m)
  t.match((await done(['history', '-e', 'production', '--limit', '1', '--json'])).json(), {
    changes: [{ action: 'ruleset.import', comment: 'as reviewed' }],
  })
  const undo = /^sluice (revert \d+ -e production)$/m.exec(imported.stdout)?.[1] ?? ''
  await done(undo.split(' '))
  t.match((await done(['export', '-e', 'production'])).stdout, /50 % off/)

  const json = join(home, 'production.json')
  await done(['export', '-e', 'production', '-o', json])
  t.match(JSON.parse(readFileSync(json, 'utf8')), { flags: [{ key: 'banner' }, { key: 'checkout' }], segments: [] })
  const stdin = await sluice(['import', '-', '-e', 'staging', '--dry-run', '--json'], { stdin: readFileSync(json, 'utf8') })
  t.match(stdin.json(), { dryRun: true })
  t.equal((await sluice(['import', file])).code, 2, 'the environment is not guessed')
  t.equal((await sluice(['import', join(home, 'nosuch.yaml'), '-e', 'production'])).code, 2)
  const broken = await sluice(['import', '-', '-e', 'production'], { stdin: 'flags:\n  - key: a\n    key: b\n' })
  t.equal(broken.code, 2)
  t.match(broken.stderr, /stdin cannot be read: .*line 3/)
  const twice = await sluice(['import', '-', '-e', 'production'], { stdin: '{ "flags": [], "flags": [], "segments": [] }' })
  t.equal(twice.code, 1, 'what only the server notices in JSON still reaches it')
})
