/** Every promise of `docs/guarantees.md` names the test that holds it, and that test is there. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

// From dist/test back to the repository.
const root = fileURLToPath(new URL('../../', import.meta.url))
const page = readFileSync(`${root}docs/guarantees.md`, 'utf8')

interface Guarantee {
  readonly promise: string
  readonly path: string
  readonly name: string
}

/** The rows of all tables, without their heads and lines. */
const rows = page
  .split('\n')
  .filter(line => line.startsWith('|') && !/^\| *(promise|-+) *\|/.test(line))
  .map(line =>
    line
      .slice(1, -1)
      .split('|')
      .map(cell => cell.trim()),
  )

function guaranteeOf([promise = '', holds = '', ...more]: readonly string[]): Guarantee | null {
  const [, path, name] = /^`(test\/[\w./-]+\.test\.ts)`: (.+)$/.exec(holds) ?? []
  return promise === '' || path === undefined || name === undefined || more.length > 0 ? null : { promise, path, name }
}

t.test('every promise names a test that is there', async t => {
  t.ok(rows.length > 20, 'the page is read')
  for (const row of rows) {
    const guarantee = guaranteeOf(row)
    if (guarantee === null) {
      t.fail(`not understood, expected | promise | \`test/….test.ts\`: name |: ${row.join(' | ')}`)
      continue
    }
    const { path, name } = guarantee
    const source = existsSync(root + path) ? readFileSync(root + path, 'utf8') : ''
    t.ok(source.includes(`'${name}'`) || source.includes(`\`${name}\``) || source.includes(`"${name}"`), `${path}: ${name}`)
  }
})

t.test('no promise is made twice', async t => {
  const promises = rows.map(([promise = '']) => promise)
  t.same(
    promises.filter((promise, i) => promises.indexOf(promise) !== i),
    [],
  )
})
