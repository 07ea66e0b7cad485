/**
 * The packed SDK, alone in an empty folder with its three dependencies: it connects, evaluates, and its types need nothing
 * else. With OpenFeature and OpenTelemetry beside it, so do its provider and hook; without them they say what is missing.
 */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
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
const manifest = JSON.parse(readFileSync(join(sdk, 'package.json'), 'utf8')) as {
  version: string
  dependencies: Record<string, string>
  peerDependencies: Record<string, string>
  peerDependenciesMeta: Record<string, { optional: boolean }>
}
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
import { connect, type Context, type Explanation, ValveCutError } from '@sluice/sdk'
import * as web from '@sluice/sdk/web'
const page: web.Sluice = web.connect({ url: 'wss://flags.example.com', key: 'slc_client_x', context: { targetingKey: 'a' }, cache: 'local' })
export const shown: string = page.value('greeting', 'Hello')
export const reason: web.Reason = page.details('greeting', 'Hello').reason
export const moved: Promise<web.Ready> = page.setContext({ targetingKey: 'b' })
const flags = connect({ url: 'ws://localhost:7400', key: undefined, cache: '/var/cache/shop' })
const context: Context = { targetingKey: 'a', account: { id: 'a-17' } }
export const on: boolean = flags.value('new-ledger', context, false)
export const plan: { readonly name: string } = flags.value('plan', context, { name: 'free' })
export const why: Explanation<number> = flags.explain('rate', context, 5)
export const anything = flags.value('any', context)
flags.on('change', keys => keys.map(key => key.length))
flags.on('valve', event => event.from === 'flowing' && event.calls > 5)
export const answer: Promise<Response> = flags.valve('vendor').run(context, signal => fetch('https://vendor.example.com', { signal }), { timeoutMs: 500 })
export const either: Promise<number> = flags.valve('vendor').run(context, () => 5, error => error.retryAfterMs)
export const isCut = (error: unknown): boolean => error instanceof ValveCutError && error.code === 'VALVE_CUT'
flags.on('mismatch', ({ why, missed }) => why.length + missed)
flags.report('ledger', context, { ok: true, ms: 5 })
const ledger = flags.migrate('ledger', {
  read: [async (account: string) => account.length, (account: string) => account.length],
  write: [(account: string, amount: number) => [account, amount], async () => []],
  compare: (old, its) => Math.abs(old - its) < 1,
})
export const balance: Promise<number> = ledger.read(context, 'a-17')
export const written: Promise<(string | number)[]> = ledger.write(context, 'a-17', 5)
// @ts-expect-error the sides take an account
export const nobody = ledger.read(context)
// @ts-expect-error a default has a type
export const wrong: string = flags.value('new-ledger', context, false)
`
const OPENFEATURE_CONSUMER = `
import { OpenFeature } from '@openfeature/server-sdk'
import { connect } from '@sluice/sdk'
import { SluiceProvider } from '@sluice/sdk/openfeature'
import { openTelemetryHook } from '@sluice/sdk/opentelemetry'
import { OpenFeature as OpenFeatureWeb } from '@openfeature/web-sdk'
import { SluiceWebProvider } from '@sluice/sdk/openfeature/web'
OpenFeatureWeb.setProvider(new SluiceWebProvider({ url: 'wss://flags.example.com', key: 'slc_client_x', cache: 'local' }))
import { createServer } from 'node:http'
import * as express from '@sluice/sdk/express'
import * as limited from '@sluice/sdk/http'
const options = { url: 'ws://localhost:7400', key: undefined }
const flags = connect(options)
OpenFeature.setProvider(new SluiceProvider(options)).setProvider('shop', new SluiceProvider(connect(options)))
OpenFeature.addHooks(openTelemetryHook(), openTelemetryHook({ contextId: true, setId: 'default/production' }))
OpenFeature.getClient().addHooks(openTelemetryHook())
createServer(limited.rateLimit({ flags, flag: 'api', context: request => ({ ...limited.contextOf(request), account: 'a-17' }) }, (request, response) => response.end(request.url)))
createServer(limited.reportOutcomes({ flags, report: ['ledger', 'search'], slowMs: 500 }, (request, response) => response.end(request.url)))
createServer((request, response) => express.reportOutcomes({ flags, report: request => request.url ?? null })(request, response, () => response.end()))
createServer((request, response) => express.rateLimit({ flags, flag: 'api', cost: 2 })(request, response, () => response.end()))
// @ts-expect-error a limit needs a flag
express.rateLimit({ flags })
// @ts-expect-error a provider needs something to connect with
export const wrong = new SluiceProvider()
`
// Compilers and sockets on a busy machine.
t.setTimeout(300_000)

t.test("the version that is told is the package's", async t => {
  t.equal(VERSION, manifest.version)
  t.same(Object.keys(manifest.dependencies).sort(), ['murmurhash', 're2js', 'undici'])
  // Otherwise npm would install OpenFeature and OpenTelemetry into every application.
  t.same(
    Object.keys(manifest.peerDependencies).filter(name => manifest.peerDependenciesMeta[name]?.optional !== true),
    [],
  )
})

t.test('the tarball installs alone', async t => {
  // Outside of the repository: below it, everything installed for the server would be found as well.
  const folder = mkdtempSync(join(tmpdir(), 'sluice-pack-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'package.json'), '{ "name": "shop", "private": true, "type": "module" }')
  writeFileSync(join(folder, 'app.js'), APPLICATION)
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
      ...modulesOf('sdk/http'),
      ...modulesOf('sdk/limiter'),
      ...modulesOf('sdk/openfeature'),
      ...modulesOf('sdk/valve'),
      ...modulesOf('sdk/web'),
      ...[
        'connect',
        'index',
        'types',
        'valve/error',
        'openfeature/provider',
        'openfeature/opentelemetry',
        'openfeature/web',
        'http/context',
        'http/express',
        'http/fastify',
        'http/guard',
        'http/node',
        'http/report',
        'web/connect',
        'web/index',
        'web/types',
      ].map(name => `dist/sdk/${name}.d.ts`),
      ...['limits', 'operator', 'protocol', 'reason'].map(name => `dist/schemas/${name}.js`),
    ].sort()
    t.same(files, expected)
    const importedBy = (name: string): string[] =>
      [...readFileSync(join(modules, '@sluice/sdk', name), 'utf8').matchAll(/^(?:import|export) [^'"]*?from ['"]([^.'"][^'"]*)['"]/gm)].map(
        match => match[1]!,
      )
    const known = Object.keys(manifest.dependencies)
    const knownBeside = [...known, ...Object.keys(manifest.peerDependencies)]
    for (const name of files.filter(name => name.endsWith('.js'))) {
      const may = name.startsWith('dist/sdk/openfeature/') ? knownBeside : known
      t.same(
        importedBy(name).filter(from => !from.startsWith('node:') && !may.includes(from)),
        [],
        name,
      )
    }
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

  /** What the compiler complains about. */
  const compile = async (source: string, types: readonly string[]): Promise<string> => {
    writeFileSync(join(folder, 'consumer.ts'), source)
    const options = {
      module: 'nodenext',
      target: 'es2023',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      // Declarations of ours are checked alone; those of Node would take longer than everything else here.
      skipLibCheck: types.length > 0,
      types,
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['consumer.ts'] }))
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const outcome = await run(process.execPath, [compiler, '-p', '.'], { cwd: folder, env }).catch((error: { stdout: string }) => error)
    return outcome.stdout
  }

  await t.test('its types need no other package', async t => {
    t.equal(await compile(CONSUMER, []), '')
  })

  await t.test('the middlewares load without a framework', async t => {
    const entries = ['http', 'express', 'fastify'].map(name => `import('@sluice/sdk/${name}')`).join(', ')
    writeFileSync(
      join(folder, 'middlewares.js'),
      `for (const { rateLimit } of await Promise.all([${entries}])) console.log(typeof rateLimit)`,
    )
    const { stdout } = await run(process.execPath, ['--preserve-symlinks', 'middlewares.js'], { cwd: folder, env })
    t.equal(stdout, 'function\nfunction\nfunction\n')
  })

  await t.test('the provider and the hook say which package they miss', async t => {
    for (const [entry, missing] of [
      ['@sluice/sdk/openfeature', '@openfeature/server-sdk'],
      ['@sluice/sdk/openfeature/web', '@openfeature/web-sdk'],
      ['@sluice/sdk/opentelemetry', '@opentelemetry/api'],
    ] as const) {
      writeFileSync(join(folder, 'missing.js'), `import '${entry}'`)
      const failed = await run(process.execPath, ['--preserve-symlinks', 'missing.js'], { cwd: folder, env }).catch(
        (error: { stderr: string }) => error,
      )
      t.match(failed.stderr, `Cannot find package '${missing}'`)
    }
  })

  await t.test('with OpenFeature and OpenTelemetry beside it, the example of the documentation runs', async t => {
    for (const name of ['@openfeature/core', '@openfeature/server-sdk', '@openfeature/web-sdk', '@opentelemetry/api', '@types/node']) {
      mkdirSync(join(modules, name, '..'), { recursive: true })
      symlinkSync(join(root, 'node_modules', name), join(modules, name), 'dir')
    }
    t.equal(await compile(OPENFEATURE_CONSUMER, ['node']), '')
    copyFileSync(join(root, 'docs/examples/openfeature.js'), join(folder, 'openfeature.js'))
    const server = await startModel(t, [flag('new-ledger')])
    const { stdout } = await run(process.execPath, ['--preserve-symlinks', 'openfeature.js'], {
      cwd: folder,
      env: { ...env, SLUICE_URL: server.url, SLUICE_KEY: KEY },
      timeout: 120_000,
    })
    t.equal(stdout, 'evaluated: new-ledger\nnew-ledger is true (on, STATIC, FALLTHROUGH at revision 1)\n')
    t.match(
      server.received.filter(({ type }) => type === 'counts'),
      [{ counts: [{ flag: 'new-ledger', count: 1 }], tracked: [{ event: 'purchase', count: 1, value: 61.5 }] }],
      'what was counted is sent as it closes',
    )
  })
})
