/** What nobody should send, sent to every route that writes: an error of the caller with code, place and cure, never one of ours. */
import t from 'tap'
import { DOCUMENT_BYTES_MAX } from '../../../schemas/limits.ts'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`

/** Every write route with a body that it takes, and where in that body a flag's settings stand. */
const ROUTES: readonly { method: string; path: string; body: Record<string, unknown>; flag?: string }[] = [
  { method: 'POST', path: `${P}/flags`, body: { key: 'fresh', kind: 'release' }, flag: '' },
  { method: 'PATCH', path: `${P}/flags/a`, body: { owner: 'dana' } },
  { method: 'POST', path: `${P}/flags/a/clone`, body: { key: 'copy-of-a' } },
  { method: 'PATCH', path: `${D}/flags/a`, body: { enabled: true }, flag: '' },
  { method: 'POST', path: `${D}/segments`, body: { key: 'fresh' } },
  { method: 'PATCH', path: `${D}/segments/s`, body: { name: 'S' } },
  { method: 'POST', path: `${D}/flags/a/kills`, body: { reason: 'x' } },
  { method: 'POST', path: `${D}/kills`, body: { reason: 'x', flags: ['a'] } },
  { method: 'POST', path: `${D}/explain`, body: { flag: 'a', context: {} } },
  { method: 'POST', path: `${D}/copy`, body: { from: 'staging', flags: ['a'] } },
  { method: 'POST', path: `${D}/changes/1/revert`, body: { comment: 'x' } },
  { method: 'PUT', path: `${D}/ruleset`, body: { flags: [{ key: 'a', kind: 'release' }], segments: [{ key: 's' }] }, flag: 'flags[0]' },
]

const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)

/** Spoils that fit any object: each answers the text to send. */
const SPOILS: readonly [name: string, spoil: (body: Record<string, unknown>) => string][] = [
  ['an unknown field', body => JSON.stringify({ ...body, surprise: 1 })],
  ['__proto__', body => `{"__proto__":{"admin":true},${JSON.stringify(body).slice(1)}`],
  ['constructor', body => `{"constructor":{"prototype":{"admin":true}},${JSON.stringify(body).slice(1)}`],
  ['an array', body => JSON.stringify([body])],
  ['a text', () => '"flag"'],
  ['a number', () => '7'],
  [
    'null in every field',
    body => JSON.stringify(Object.fromEntries(Object.keys(body).map(field => [field, field === 'owner' || field === 'name' ? 7 : null]))),
  ],
  [
    'an object in every field',
    body => JSON.stringify(Object.fromEntries(Object.keys(body).map(field => [field, field === 'context' ? 7 : { a: { b: 1 } }]))),
  ],
  ['an array in every field', body => JSON.stringify(Object.fromEntries(Object.keys(body).map(field => [field, [[]]])))],
  ['a comment that is too long', body => JSON.stringify({ ...body, comment: 'x'.repeat(4_001), context: 'x'.repeat(5_000) })],
  ['a comment of half a surrogate pair', body => `{"comment":"\\ud800","context":"\\ud800",${JSON.stringify(body).slice(1)}`],
  ['a field twice', body => `{${JSON.stringify(body).slice(1, -1)},${JSON.stringify(body).slice(1)}`],
  ['half JSON', body => JSON.stringify(body).slice(0, -1)],
  ['two bodies', body => JSON.stringify(body) + JSON.stringify(body)],
  ['a field nested 200,000 deep', body => `{"comment":${deep(200_000).slice(0, 50_000)},${JSON.stringify(body).slice(1)}`],
  ['a field nested 1,000 deep', body => `{"comment":${deep(1_000)},"context":${deep(1_000)},${JSON.stringify(body).slice(1)}`],
  ['a number that is not finite', body => `{"comment":1e999,"context":{"a":1e999},${JSON.stringify(body).slice(1)}`],
]

/** Flags that say nothing sensible, with the place of the error in the flag. */
const FLAGS: readonly [settings: Record<string, unknown>, path: string][] = [
  [{ enabled: 'yes' }, 'enabled'],
  [{ offVariation: 'sideways' }, 'offVariation'],
  [{ offVariation: '__proto__' }, 'offVariation'],
  [{ fallthrough: { variation: 'sideways' } }, 'fallthrough.variation'],
  [{ fallthrough: {} }, 'fallthrough.variation'],
  [{ fallthrough: { rollout: { weights: [{ variation: 'on', weight: 1 }] } } }, 'fallthrough.rollout.weights'],
  [{ fallthrough: { rollout: { weights: [{ variation: 'on', weight: 1.5 }] } } }, 'fallthrough.rollout.weights[0].weight'],
  [{ fallthrough: { rollout: { weights: [{ variation: 'on', weight: -1 }] } } }, 'fallthrough.rollout.weights[0].weight'],
  [{ fallthrough: { rollout: { by: '/a~2', weights: [{ variation: 'on', weight: 100_000 }] } } }, 'fallthrough.rollout.by'],
  [{ fallthrough: { rollout: { seed: 2 ** 32, weights: [{ variation: 'on', weight: 100_000 }] } } }, 'fallthrough.rollout.seed'],
  [{ prerequisites: [{ flag: 'nobody', variations: ['on'] }] }, 'prerequisites[0].flag'],
  [{ prerequisites: [{ flag: 'toString', variations: ['on'] }] }, 'prerequisites[0].flag'],
  [{ prerequisites: [{ flag: 'a', variations: [] }] }, 'prerequisites[0].variations'],
  [{ targets: [{ values: [{ a: 1 }], variation: 'on' }] }, 'targets[0].values[0]'],
  [{ targets: [{ values: ['x'.repeat(4_097)], variation: 'on' }] }, 'targets[0].values[0]'],
  [{ targets: [{ attribute: 'x'.repeat(257), values: [], variation: 'on' }] }, 'targets[0].attribute'],
  [
    { rules: [{ id: 'r', clauses: [{ attribute: 'a', op: 'equals', values: [1] }], serve: { variation: 'on' } }] },
    'rules[0].clauses[0].op',
  ],
  [
    { rules: [{ id: 'r', clauses: [{ attribute: 'a', op: 'matches', values: ['(a+)+('] }], serve: { variation: 'on' } }] },
    'rules[0].clauses[0].values[0]',
  ],
  [
    { rules: [{ id: 'r', clauses: [{ attribute: 'a', op: 'matches', values: ['(?=a)'] }], serve: { variation: 'on' } }] },
    'rules[0].clauses[0].values[0]',
  ],
  [
    { rules: [{ id: 'r', clauses: [{ attribute: 'a', op: 'inCidr', values: ['10.0.0.0/33'] }], serve: { variation: 'on' } }] },
    'rules[0].clauses[0].values[0]',
  ],
  [
    { rules: [{ id: 'r', clauses: [{ attribute: 'a', op: 'before', values: ['soon'] }], serve: { variation: 'on' } }] },
    'rules[0].clauses[0].values[0]',
  ],
  [{ rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['nobody'] }], serve: { variation: 'on' } }] }, 'rules[0].clauses[0].values[0]'],
  [{ rules: [{ id: 'a b', clauses: [], serve: { variation: 'on' } }] }, 'rules[0].id'],
  [
    {
      rules: [
        { id: 'r', clauses: [], serve: { variation: 'on' } },
        { id: 'r', clauses: [], serve: { variation: 'on' } },
      ],
    },
    'rules[1].id',
  ],
  [{ rules: Array.from({ length: 1_001 }, (_, i) => ({ id: `r${i}`, clauses: [], serve: { variation: 'on' } })) }, 'rules'],
]

t.test('bodies nobody should send', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await call('POST', `${D}/segments`, { key: 's' })
  const revision = (await call('GET', `${D}/changes`)).body.revision

  const wrong: string[] = []
  for (const { method, path, body } of ROUTES) {
    const taken = await call(method, `${path}?dryRun=true`.replace('explain?dryRun=true', 'explain'), body)
    if (taken.status >= 300) wrong.push(`${method} ${path}: its own body is answered ${taken.status} ${JSON.stringify(taken.body)}`)
    for (const [name, spoil] of SPOILS) {
      const { status, body: answer } = await call(method, path, spoil(body))
      const isRefused =
        status >= 400 && status < 500 && typeof answer?.code === 'string' && answer.code !== 'INTERNAL' && answer.message?.length > 20
      const hasPlace = answer?.code !== 'INVALID_REQUEST' || answer.details.length > 0
      if (!isRefused || !hasPlace) wrong.push(`${method} ${path}, ${name}: ${status} ${JSON.stringify(answer)?.slice(0, 300)}`)
    }
  }
  t.same(wrong, [])
  t.equal(({} as Record<string, unknown>).admin, undefined)
  t.equal((await call('GET', `${D}/changes`)).body.revision, revision, 'nothing was written')
})

t.test('flags that say nothing sensible are refused where they are wrong, on every route that takes flags', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await call('POST', `${D}/segments`, { key: 's' })
  const wrong: string[] = []
  for (const { method, path, body, flag } of ROUTES) {
    if (flag === undefined) continue
    for (const [settings, place] of FLAGS) {
      const sent = flag === '' ? { ...body, ...settings } : { flags: [{ key: 'a', kind: 'release', ...settings }] }
      const { status, body: answer } = await call(method, path, sent)
      const expected = flag === '' ? place : `${flag}.${place}`
      const places = (answer?.details ?? []).map((detail: { path: string }) => detail.path)
      if (status < 400 || status >= 500 || !places.includes(expected)) {
        wrong.push(
          `${method} ${path} ${JSON.stringify(settings).slice(0, 100)}: ${status} at ${JSON.stringify(places)}, expected ${expected}`,
        )
      }
    }
  }
  t.same(wrong, [])
})

t.test('keys in paths that are none', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const wrong: string[] = []
  for (const key of ['__proto__', 'constructor', '..%2f..%2fx', 'a%00', '%E0%A4%A', 'x'.repeat(500), '%ff', 'a/b', '*', '%20', 'a;b']) {
    for (const [method, path, body] of [
      ['GET', `${D}/flags/${key}`, undefined],
      ['PATCH', `${D}/flags/${key}`, { enabled: true }],
      ['DELETE', `${D}/flags/${key}`, undefined],
      ['POST', `${D}/flags/${key}/kills`, { reason: 'x' }],
      ['DELETE', `${D}/flags/a/kills/${key}`, undefined],
      ['GET', `${D}/segments/${key}`, undefined],
      ['GET', `${P}/flags/${key}`, undefined],
      ['GET', `${P}/environments/${key}/flags`, undefined],
      ['GET', `/api/v1/projects/${key}/flags`, undefined],
      ['GET', `${D}/changes/${key}`, undefined],
    ] as const) {
      const { status, body: answer } = await call(method, path, body)
      if (status < 400 || status >= 500 || typeof answer?.code !== 'string')
        wrong.push(`${method} ${path}: ${status} ${JSON.stringify(answer)?.slice(0, 200)}`)
    }
  }
  t.same(wrong, [])
})

t.test('a body that is too large is cut off', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const large = { rules: [], comment: 'x'.repeat(DOCUMENT_BYTES_MAX + 128 * 1024) }
  t.match(await call('PATCH', `${D}/flags/a`, large), { status: 413, body: { code: 'BODY_TOO_LARGE' } })
  const targets = Array.from({ length: 100 }, (_, i) => ({
    values: Array.from({ length: 20 }, (_, j) => `${i}-${j}`.padEnd(2_100, 'x')),
    variation: 'on',
  }))
  t.match(await call('PATCH', `${D}/flags/a`, { targets }), {
    status: 422,
    body: { code: 'INVALID_FLAG', details: [{ code: 'too_large' }] },
  })
})
