/** What a page loads: the web SDK as a bundler of today makes it, and that nothing of Node or of the evaluator comes along. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { build } from 'vite'

const sdk = fileURLToPath(new URL('../../../sdk/', import.meta.url))

/** In bytes, gzipped. */
const WEB_MAX = 10_000

interface Bundle {
  readonly code: string
  readonly modules: readonly string[]
}

async function bundle(t: Test, entry: string, external: readonly string[] = []): Promise<Bundle> {
  const folder = join(t.testdir(), 'page')
  mkdirSync(folder)
  writeFileSync(join(folder, 'main.js'), `import * as sdk from ${JSON.stringify(join(sdk, entry))}\nglobalThis.sdk = sdk\n`)
  const built = await build({
    root: folder,
    configFile: false,
    logLevel: 'silent',
    build: { write: false, modulePreload: false, rolldownOptions: { input: join(folder, 'main.js'), external: [...external] } },
  })
  const chunks = [built]
    .flat()
    .flatMap(one => ('output' in one ? one.output : []))
    .filter(one => one.type === 'chunk')
  return { code: chunks.map(chunk => chunk.code).join('\n'), modules: chunks.flatMap(chunk => chunk.moduleIds) }
}

t.test('the web SDK is less than 10 kB, gzipped', async t => {
  const { code, modules } = await bundle(t, 'web/index.js')
  const bytes = gzipSync(code).length
  t.comment(`${bytes} bytes gzipped, ${Buffer.byteLength(code)} minified`)
  t.ok(bytes < WEB_MAX, `${bytes} bytes`)
  const ours = modules.filter(id => id.startsWith(sdk)).map(id => id.slice(sdk.length))
  t.ok(ours.includes('web/client.js') && ours.includes('connection.js'))
  t.same(
    ours.filter(id => id.startsWith('evaluator/')),
    [],
    'no evaluator',
  )
  t.same(
    modules.filter(id => id.includes('node_modules')),
    [],
    'no package',
  )
  t.same(importsOf(t, code), [], 'nothing of Node')
})

t.test('its OpenFeature provider brings nothing of Node either', async t => {
  const { code } = await bundle(t, 'openfeature/web.js', ['@openfeature/web-sdk'])
  t.same(importsOf(t, code), ['@openfeature/web-sdk'])
  t.comment(`${gzipSync(code).length} bytes gzipped without @openfeature/web-sdk`)
})

/** What a module still imports; vite puts an empty module, or a warning, in the place of Node's own. */
function importsOf(t: Test, code: string): string[] {
  t.notMatch(code, /__vite-browser-external|Module "[^"]*" has been externalized/)
  const found = [...code.matchAll(/(?:from|import)\s*\(?["'`]([^"'`]+)["'`]/g)].map(match => match[1]!)
  t.notOk(found.some(name => builtinModules.includes(name.replace(/^node:/, ''))))
  return found
}
