import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ERRORS } from '../../../schemas/errors.ts'

t.test('docs/errors.md and the catalogue name the same codes with the same status', async t => {
  const text = readFileSync(fileURLToPath(new URL('../../../../docs/errors.md', import.meta.url)), 'utf8')
  const documented = [...text.matchAll(/^\| `([A-Z_]+)` +\| (\d{3}) +\| ([^|]+)\| ([^|]+)\|$/gm)]
  const codes = documented.map(match => match[1] ?? '')
  t.same(codes.toSorted(), Object.keys(ERRORS).sort(), 'each code once')
  for (const [, code = '', status, when = '', cure = ''] of documented) {
    t.equal(Number(status), ERRORS[code as keyof typeof ERRORS].status, code)
    t.ok(when.trim().length > 10 && cure.trim().length > 10, `${code} says when and what to do`)
  }
})
