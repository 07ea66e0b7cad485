import fc from 'fast-check'
import t from 'tap'
import { SluiceError } from '../../../schemas/errors.ts'
import { parseJson } from '../../../server/http/json.ts'
import { runs } from '../../runs.ts'

const read = (text: string | Buffer): unknown => parseJson(Buffer.from(text as string))
const refusal = (text: string | Buffer): { code: string; path: string | undefined; detail: string | undefined } => {
  try {
    read(text)
  } catch (error) {
    if (error instanceof SluiceError) return { code: error.code, path: error.details[0]?.path, detail: error.details[0]?.code }
    throw error
  }
  return { code: 'taken', path: undefined, detail: undefined }
}

t.test('whatever JSON.stringify writes is read as JSON.parse reads it', async t => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(undefined, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      t.same(read(text), JSON.parse(text))
    }),
    runs(300),
  )
})

t.test('a key that stands twice in one object is refused, with its path', async t => {
  const cases: [string, string][] = [
    ['{"a":1,"a":2}', 'a'],
    ['{"a":{"b":[1,{"c":1,"d":[],"c":2}]}}', 'a.b[1].c'],
    ['[{"a":1},{"a":1,"b":{},"a":1}]', '[1].a'],
    ['{"a":1,"\\u0061":2}', 'a'],
    ['{"a":":","b":"{\\"a\\":1}" , "a" \n : 2}', 'a'],
    ['{"\\\\":1,"\\\\":2}', '\\'],
    ['{"__proto__":1,"__proto__":2}', '__proto__'],
    ['{"":1,"":2}', ''],
    ['{"a,b":1,"c":[1,2,{"x":[{"y":1,"y":2}]}]}', 'c[2].x[0].y'],
  ]
  for (const [text, path] of cases) t.same(refusal(text), { code: 'INVALID_JSON', path, detail: 'duplicate_key' }, text)
})

t.test('keys that only look equal are taken', async t => {
  for (const text of [
    '{"a":{"a":{"a":1}}}',
    '[{"a":1},{"a":2}]',
    '{"a":"\\"a\\":1","b":"\\\\"}',
    '{"A":1,"a":2}',
    '"a:b:c"',
    '{"é":1,"e\\u0301":2}',
  ]) {
    t.same(read(text), JSON.parse(text), text)
  }
})

t.test('what is not JSON in UTF-8 is refused without being repeated', async t => {
  const cases: (string | Buffer)[] = [
    '{',
    '{"secret":}',
    "{'a':1}",
    '{"a":1,}',
    'NaN',
    '{"a":Infinity}',
    '// no\n{}',
    '\ufeff{}',
    '{}{}',
    'undefined',
    Buffer.from([0x22, 0xff, 0x22]),
    Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
    Buffer.from('{"a":1}', 'utf16le'),
  ]
  for (const text of cases) t.match(refusal(text), { code: 'INVALID_JSON', detail: 'not_json' }, JSON.stringify(text))
  try {
    read('{"a": "tell-nobody", x}')
  } catch (error) {
    t.match((error as Error).message, /line 1, column \d+/)
    t.notMatch((error as Error).message, /tell-nobody/)
  }
})

t.test('nesting is bounded, and length costs no more than its own', async t => {
  t.same(refusal('['.repeat(65) + ']'.repeat(65)), { code: 'INVALID_REQUEST', path: '', detail: 'too_deep' })
  t.equal(refusal('['.repeat(64) + ']'.repeat(64)).code, 'taken')
  t.equal(refusal('['.repeat(200_000) + ']'.repeat(200_000)).detail, 'too_deep')
  t.equal(refusal(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`).detail, 'too_deep')
  // Runs of backslashes and of quotes, where a careless scanner is quadratic: seconds instead of milliseconds.
  t.equal(refusal(JSON.stringify(['\\'.repeat(400_000), '"'.repeat(400_000), '\\"'.repeat(200_000)])).code, 'taken')
  t.equal(refusal(`{${Array.from({ length: 50_000 }, (_, i) => `"k${i}":1`).join(',')},"k7":2}`).path, 'k7')
})
