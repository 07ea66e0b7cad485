/** Who may import whom: the table of the project's layout, held for every file. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** For each folder (the longest name decides): the folders of ours and the packages it may import. */
const allowed: Readonly<Record<string, { folders: readonly string[]; packages: readonly string[]; node: boolean }>> = {
  schemas: { folders: ['schemas'], packages: ['zod'], node: false },
  'sdk/evaluator': { folders: ['schemas', 'sdk/evaluator'], packages: ['murmurhash', 're2js'], node: false },
  sdk: { folders: ['schemas', 'sdk', 'sdk/evaluator'], packages: ['undici'], node: true },
  'sdk/http': { folders: ['schemas', 'sdk', 'sdk/http'], packages: ['fastify'], node: true },
  // What of the SDK's own files runs in a browser is seen by test/sdk/web/bundle.test.ts.
  'sdk/web': { folders: ['schemas', 'sdk', 'sdk/web'], packages: [], node: false },
  'sdk/openfeature': {
    folders: ['schemas', 'sdk', 'sdk/evaluator', 'sdk/openfeature', 'sdk/web'],
    packages: ['@openfeature/core', '@openfeature/server-sdk', '@openfeature/web-sdk', '@opentelemetry/api'],
    node: false,
  },
  server: {
    folders: ['schemas', 'sdk/evaluator', 'server'],
    packages: ['fastify', '@fastify/*', 'better-sqlite3', 'kysely', 'ws', 'prom-client', 'pino', 'close-with-grace', 'undici', 'zod'],
    node: true,
  },
  // A page: of the schemas types and plain constants, and the public API.
  'server/dashboard': {
    folders: ['schemas', 'server/dashboard'],
    packages: ['preact', '@preact/signals', 'uplot', '@picocss/pico'],
    node: false,
  },
  cli: { folders: ['schemas', 'cli'], packages: ['commander', 'picocolors', 'yaml', 'zod'], node: true },
}
/** What the evaluator and the SDK may use of the schemas when they run; everything else only as types. */
const plain = [
  'schemas/limits.ts',
  'schemas/reason.ts',
  'schemas/operator.ts',
  'schemas/protocol.ts',
  'schemas/words.ts',
  'schemas/hooksetup.ts',
]

const files = execFileSync('git', ['-c', 'safe.directory=*', 'ls-files', 'schemas', 'sdk', 'server', 'cli'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(file => /\.tsx?$/.test(file))

function folderOf(file: string): string | undefined {
  return Object.keys(allowed)
    .sort((a, b) => b.length - a.length)
    .find(folder => file.startsWith(`${folder}/`))
}

t.ok(files.length > 50, 'the files were found')

t.test('every import stands in the table', async t => {
  const wrong: string[] = []
  for (const file of files) {
    const folder = folderOf(file)
    if (folder === undefined) continue
    const may = allowed[folder]!
    // Code that a page shows is text, not code.
    const text = readFileSync(join(root, file), 'utf8').replace(/`(?:[^`\\]|\\.)*`/gs, '``')
    for (const match of text.matchAll(
      /^\s*(?:import|export)\s+(type\s+)?[^'"]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'|\bimport\('([^']+)'\)/gm,
    )) {
      const isType = match[1] !== undefined
      const from = match[2] ?? match[3] ?? match[4]!
      if (from.startsWith('.')) {
        const target = normalize(join(dirname(file), from))
        const targetFolder = folderOf(target)
        if (targetFolder === undefined || !may.folders.includes(targetFolder)) wrong.push(`${file} imports ${target}`)
        else if (
          (folder.startsWith('sdk') || folder === 'server/dashboard') &&
          targetFolder === 'schemas' &&
          !isType &&
          !plain.includes(target)
        )
          wrong.push(`${file} imports ${target} not only as a type`)
      } else if (from.startsWith('node:') || builtinModules.includes(from)) {
        if (!may.node) wrong.push(`${file} imports ${from}`)
      } else if (
        !may.packages.some(
          name => from === name || from.startsWith(`${name}/`) || (name.endsWith('/*') && from.startsWith(name.slice(0, -1))),
        )
      ) {
        wrong.push(`${file} imports ${from}`)
      }
    }
  }
  t.strictSame(wrong, [])
})
