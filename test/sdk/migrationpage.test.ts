/** What docs/migrations.md shows, run: its commands in their order, and its service, beside a real server. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { begin } from '../cli/run.ts'
import { plainEnvironment } from '../server/process.ts'

t.setTimeout(300_000)

const root = fileURLToPath(new URL('../../../', import.meta.url))
const EXAMPLE = join(root, 'docs/examples/migration')
const page = readFileSync(join(root, 'docs/migrations.md'), 'utf8')

/** The commands of the page, as words. */
const commands = [...page.matchAll(/^```sh\n(.*?)^```/gms)]
  .flatMap(([, text]) => text!.trim().split('\n'))
  .map(line => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!).slice(1))

t.test('a ledger is moved by the commands of the page, and nobody misses an entry', async t => {
  const { server, sluice, done } = await begin(t)
  const { token } = await server.makeKey('server', 'production')
  // The SDK as it is installed, with what was built for this test in the place of what is packed.
  const folder = t.testdir({
    'package.json': '{ "type": "module" }',
    node_modules: {
      '@sluice': {
        sdk: { 'package.json': readFileSync(join(root, 'sdk/package.json'), 'utf8'), dist: t.fixture('symlink', join(root, 'dist')) },
      },
    },
  })
  for (const file of ['app.js', 'ledgers.js']) copyFileSync(join(EXAMPLE, file), join(folder, file))
  const child = spawn(process.execPath, ['app.js'], {
    cwd: folder,
    env: { ...plainEnvironment(), SLUICE_URL: server.url, SLUICE_KEY: token, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const mismatches: string[] = []
  const warned = createInterface(child.stderr)
  warned.on('line', line => line.startsWith('mismatch') && mismatches.push(line))
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string]

  const ask = async (account: string, what: string, method = 'GET'): Promise<unknown> =>
    (await fetch(`${url}/${account}/${what}`, { method })).json()
  const balance = (): Promise<unknown> => ask('a-17', 'balance')
  let total = 0
  const enter = async (amount: number): Promise<void> => {
    await ask('a-17', `entries?amount=${amount}`, 'POST')
    total += amount
  }
  const isAt = async (stage: string): Promise<void> => {
    while (((await ask('a-17', 'migration')) as { stage: string }).stage !== stage);
  }
  /** Runs the next commands of the page, up to the one that serves this to everybody. */
  const until = async (stage: string): Promise<void> => {
    for (;;) {
      const command = commands.shift()
      if (command === undefined) throw new Error(`no command of the page leads to ${stage}`)
      await done(command)
      if (command.includes(stage) && command[command.indexOf(stage) - 1] === '--fallthrough') break
    }
    await isAt(stage)
  }

  t.equal((await fetch(`${url}/a-17/balance`)).status, 404)
  // The flag, on at its first stage.
  for (const command of commands.splice(0, 2)) await done(command)
  await isAt('off')
  await enter(5)
  await until('dual-write')
  await enter(2)
  t.equal(await balance(), total)

  await until('shadow')
  t.equal(await balance(), total)
  while (mismatches.length === 0) await once(warned, 'line')
  t.equal(mismatches[0], 'mismatch: read differs at shadow, a-17, and 0 more', 'what was there before is not copied yet')
  await ask('a-17', 'backfill', 'POST')
  t.equal(await balance(), total)

  await until('live')
  await enter(1)
  t.equal(await balance(), total)
  const [kill] = [.../`sluice (kill [^`]*)`/.exec(page)!].slice(1)
  await done([...kill!.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!))
  await isAt('dual-write')
  await enter(10)
  t.equal(await balance(), total, 'the old ledger has what the new one took')
  await done(['lift', 'ledger', '-e', 'production'])
  await isAt('live')
  t.equal(await balance(), total, 'and the new one what the old one took meanwhile')

  const refused = await sluice(['flag', 'set', 'ledger', '-e', 'production', '--fallthrough', 'complete'])
  t.match(refused.stderr, /without those writes/)
  await until('ramp-down')
  await enter(20)
  await until('complete')
  await enter(40)
  t.equal(await balance(), 78)
  t.same(commands, [], 'these were all')
  t.equal(mismatches.length, 1)

  child.kill('SIGTERM')
  const [code] = (await once(child, 'exit')) as [number | null]
  t.equal(code, 0)
  const metrics = String((await server.call('GET', '/metrics')).body)
  const calls = (variation: string, side: string): number =>
    Number(
      metrics
        .split('\n')
        .find(
          line =>
            line.startsWith('sluice_outcome_calls_total{') && line.includes(`variation="${variation}"`) && line.includes(`side="${side}"`),
        )
        ?.split(' ')
        .at(-1),
    )
  t.equal(calls('off', 'old'), 1)
  t.equal(calls('dual-write', 'new'), 2)
  t.equal(calls('shadow', 'mismatch'), 2)
  t.equal(calls('complete', 'new'), 2)
})
