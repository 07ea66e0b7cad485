/** What the repository as a whole promises: its shape, its pinned dependencies, and that nothing of one machine is in it. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))
// A clone may belong to somebody else than who tests it, as in a container; it is only listed here.
const files = execFileSync('git', ['-c', 'safe.directory=*', 'ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0').filter(Boolean)
const read = (file: string): string => readFileSync(`${root}/${file}`, 'utf8')

const FOLDERS = ['bench', 'cli', 'docs', 'schemas', 'sdk', 'server', 'test']
const FILES = ['LICENSE', 'README.md', 'package-lock.json', 'package.json', 'tsconfig.json']
const MANIFESTS = [
  'package.json',
  'schemas/package.json',
  'sdk/package.json',
  'server/package.json',
  'cli/package.json',
  'bench/peers/package.json',
]

interface Manifest {
  readonly version: string
  readonly license?: string
  readonly dependencies?: Record<string, string>
  readonly devDependencies?: Record<string, string>
  readonly scripts?: Record<string, string>
}
const manifest = (file: string): Manifest => JSON.parse(read(file)) as Manifest

t.test('the top level holds what it should and nothing else', async t => {
  const visible = new Set(files.map(file => file.split('/')[0] ?? '').filter(name => !name.startsWith('.')))
  t.same(
    [...visible].filter(name => !FOLDERS.includes(name) && !FILES.includes(name)),
    [],
    'nothing else',
  )
  for (const name of [...FOLDERS, ...FILES]) t.ok(visible.has(name), name)
})

t.test('every folder says what belongs in it', async t => {
  for (const folder of FOLDERS.filter(name => name !== 'docs')) t.ok(files.includes(`${folder}/README.md`), `${folder}/README.md`)
})

t.test('no file names a place on one machine, or where packages were fetched from', async t => {
  // Put together here, so that this file does not hold what it looks for.
  const places = [['', 'work', ''].join('/'), ['', 'tmp', 'wt'].join('/'), ['', 'root', ''].join('/')]
  const place = new RegExp(`(^|[\\s"'\`(=])(${places.join('|')})`)
  const registry = new RegExp(`https?://[^\\s"'<>)]*(${['registry', 'artifactory', 'verdaccio', 'nexus'].join('|')})\\b`)
  for (const file of files) {
    const lines = read(file).split('\n')
    const found = lines.findIndex(line => place.test(line) || registry.test(line))
    t.equal(found, -1, found === -1 ? file : `${file}:${found + 1} ${lines[found]?.trim().slice(0, 120)}`)
  }
})

t.test('the lockfiles hold fingerprints and no addresses', async t => {
  for (const file of ['package-lock.json', 'bench/peers/package-lock.json']) {
    const { packages } = JSON.parse(read(file)) as {
      packages: Record<string, { resolved?: string; link?: boolean; integrity?: string }>
    }
    const installed = Object.entries(packages).filter(([path, entry]) => path.startsWith('node_modules/') && entry.link !== true)
    t.ok(installed.length > 50, file)
    t.same(
      installed.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path),
      [],
      'no address',
    )
    t.same(
      installed.filter(([, entry]) => entry.integrity === undefined).map(([path]) => path),
      [],
      'a fingerprint each',
    )
  }
})

t.test('every dependency is pinned to one version, the same everywhere', async t => {
  const versions = new Map<string, string>()
  for (const file of MANIFESTS) {
    const { dependencies = {}, devDependencies = {} } = manifest(file)
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      t.match(version, /^\d+\.\d+\.\d+(-[\w.]+)?$/, `${file}: ${name}`)
      t.equal(versions.get(name) ?? version, version, `${file}: ${name} as elsewhere`)
      versions.set(name, version)
    }
  }
})

t.test('an application installs the SDK without a native build, a server, or many dependencies', async t => {
  const names = Object.keys(manifest('sdk/package.json').dependencies ?? {}).filter(name => !name.startsWith('@sluice/'))
  t.ok(names.length <= 5, names.join(', '))
  t.notOk(names.some(name => ['fastify', 'better-sqlite3', 'zod', 'pg'].includes(name)))
})

t.test('the licence is Apache-2.0, in every manifest', async t => {
  t.match(read('LICENSE'), /Apache License\s+Version 2\.0, January 2004/)
  for (const file of MANIFESTS) t.equal(manifest(file).license, 'Apache-2.0', file)
})
