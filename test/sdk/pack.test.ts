/** The packed SDK, alone in an empty folder with its three dependencies: it connects, evaluates, and its types need nothing else. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { VERSION } from '../../sdk/version.ts'
import { flag, KEY, startModel } from './server.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../../', import.meta.url))
const sdk = join(root, 'sdk')
const manifest = JSON.parse(readFileSync(join(sdk, 'package.json'), 'utf8')) as { version: string; dependencies: Record<string, string> }
// tap loads itself into children through NODE_OPTIONS; npm's own variables would make it think it is inside another run.
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.startsWith('npm_'))),
  npm_config_offline: 'true',
  npm_config_update_notifier: 'false',
}

/** The application: what the README shows. */
const APPLICATION = `
import { connect } from '@sluice/sdk'
const flags = connect({ url: process.argv[2], key: process.argv[3] })
const ready = await flags.ready(60_000)
const explained = flags.explain('new-ledger', {}, false)
process.stdout.write(JSON.stringify({ ready, value: flags.value('new-ledger', { targetingKey: 'a' }, false), reason: explained.reason }))
await flags.close()
`
const CONSUMER = `
import { connect, type Context, type Explanation } from '@sluice/sdk'
const flags = connect({ url: 'ws://localhost:7400', key: undefined, cache: '/var/cache/shop' })
const context: Context = { targetingKey: 'a', account: { id: 'a-17' } }
export const on: boolean = flags.value('new-ledger', context, false)
export const plan: { readonly name: string } = flags.value('plan', context, { name: 'free' })
export const why: Explanation<number> = flags.explain('rate', context, 5)
export const anything = flags.value('any', context)
flags.on('change', keys => keys.map(key => key.length))
// @ts-expect-error a default has a type
export const wrong: string = flags.value('new-ledger', context, false)
`

// Compilers and sockets on a busy machine.
t.setTimeout(300_000)

t.test("the version that is told is the package's", async t => {
  t.equal(VERSION, manifest.version)
  t.same(Object.keys(manifest.dependencies).sort(), ['murmurhash', 're2js', 'undici'])
})

t.test('the tarball installs alone', async t => {
  // Outside of the repository: below it, everything installed for the server would be found as well.
  const folder = mkdtempSync(join(tmpdir(), 'sluice-pack-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'package.json'), '{ "name": "shop", "private": true, "type": "module" }')
  writeFileSync(join(folder, 'app.js'), APPLICATION)
  writeFileSync(join(folder, 'consumer.ts'), CONSUMER)
  await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: sdk, env })
  const tarball = readdirSync(folder).find(name => name.endsWith('.tgz'))!
  const listed = (await run('tar', ['-tzf', tarball], { cwd: folder })).stdout.split('\n').filter(line => line !== '')

  // Laid out as an installation would: the package and its three dependencies, nothing above them to fall back on.
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, '@sluice/sdk'), { recursive: true })
  await run('tar', ['-xzf', tarball, '-C', join(modules, '@sluice/sdk'), '--strip-components=1'], { cwd: folder })
  for (const name of Object.keys(manifest.dependencies)) symlinkSync(join(root, 'node_modules', name), join(modules, name), 'dir')

  await t.test('it holds the SDK and nothing of the server', async t => {
    const files = listed.map(name => name.replace('package/', '')).sort()
    const modulesOf = (at: string): string[] =>
      readdirSync(join(root, at))
        .filter(name => name.endsWith('.ts'))
        .map(name => `dist/${at}/${name.replace(/\.ts$/, '.js')}`)
    const expected = [
      'README.md',
      'package.json',
      ...modulesOf('sdk'),
      ...modulesOf('sdk/evaluator'),
      ...['connect', 'index', 'types'].map(name => `dist/sdk/${name}.d.ts`),
      ...['limits', 'operator', 'protocol', 'reason'].map(name => `dist/schemas/${name}.js`),
    ].sort()
    t.same(files, expected)
    const code = files.filter(name => name.endsWith('.js')).map(name => readFileSync(join(modules, '@sluice/sdk', name), 'utf8'))
    const imported = new Set(
      code.flatMap(text => [...text.matchAll(/^(?:import|export) [^'"]*?from ['"]([^.'"][^'"]*)['"]/gm)].map(match => match[1]!)),
    )
    const known = Object.keys(manifest.dependencies)
    t.same(
      [...imported].filter(name => !name.startsWith('node:') && !known.includes(name)),
      [],
    )
  })

  await t.test('it connects to a server and evaluates', async t => {
    const server = await startModel(t, [flag('new-ledger')])
    const { stdout } = await run(process.execPath, ['--preserve-symlinks', 'app.js', server.url, KEY], {
      cwd: folder,
      env,
      timeout: 120_000,
    })
    t.same(JSON.parse(stdout), { ready: { ok: true, stale: false, revision: 1 }, value: true, reason: 'FALLTHROUGH' })
  })

  await t.test('its types need no other package', async t => {
    const options = {
      module: 'nodenext',
      target: 'es2023',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['consumer.ts'] }))
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const outcome = await run(process.execPath, [compiler, '-p', '.'], { cwd: folder, env }).catch((error: { stdout: string }) => error)
    t.equal(outcome.stdout, '')
  })
})
