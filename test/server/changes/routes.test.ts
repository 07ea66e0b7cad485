import { request } from 'node:http'
import t from 'tap'
import type { Change } from '../../../schemas/change.ts'
import { manualClock } from '../../clock.ts'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`

const revisions = (body: { changes: Change[] }): number[] => body.changes.map(change => change.revision)

t.test('the log is read by revision, moment, flag, page by page', async t => {
  const clock = manualClock()
  const start = clock.now()
  const { call } = await startServer(t, { clock })
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  clock.advance(60_000)
  await call('POST', `${P}/flags`, { key: 'b', kind: 'release' })
  clock.advance(60_000)
  await call('PATCH', `${D}/flags/a`, { enabled: true, comment: 'go' })
  clock.advance(60_000)
  await call('POST', `${D}/segments`, { key: 's' })
  const at = (minutes: number): string => encodeURIComponent(new Date(start + minutes * 60_000).toISOString())
  const cases: [string, number[], boolean][] = [
    ['', [4, 3, 2, 1], false],
    ['?limit=2', [4, 3], true],
    ['?limit=2&until=2', [2, 1], false],
    ['?since=2', [4, 3], false],
    ['?since=1&until=3&order=oldest', [2, 3], false],
    [`?since=${at(1)}`, [4, 3, 2], false],
    [`?until=${at(1)}`, [2, 1], false],
    [`?since=${at(1)}&until=${at(2)}`, [3, 2], false],
    ['?flag=a', [3, 1], false],
    ['?segment=s', [4], false],
    ['?flag=nobody', [], false],
    ['?since=99', [], false],
    [`?since=2026-11-21T04:02:00%2B01:00`, [4, 3], false],
    [`?since=2026-11-21T04:02:00+01:00`, [4, 3], false],
  ]
  for (const [query, expected, more] of cases) {
    const { body } = await call('GET', `${D}/changes${query}`)
    t.same(revisions(body), expected, query)
    t.match(body, { revision: 4, more }, query)
  }
  t.match((await call('GET', `${D}/changes/3`)).body, {
    revision: 3,
    action: 'flag.edit',
    comment: 'go',
    actor: { kind: 'key' },
    edits: [{ type: 'flag', key: 'a' }],
  })
  for (const [path, status, code, place] of [
    ['changes?since=yesterday', 400, 'INVALID_REQUEST', 'since'],
    ['changes?limit=501', 400, 'INVALID_REQUEST', 'limit'],
    ['changes?limit=x', 400, 'INVALID_REQUEST', 'limit'],
    ['changes?order=up', 400, 'INVALID_REQUEST', 'order'],
    ['changes?flagg=a', 400, 'INVALID_REQUEST', 'flagg'],
    ['changes/x', 400, 'INVALID_REQUEST', 'revision'],
  ] as const) {
    t.match(await call('GET', `${D}/${path}`), { status, body: { code, details: [{ path: place }] } }, path)
  }
  t.match(await call('GET', `${D}/changes/5`), { status: 404, body: { code: 'CHANGE_NOT_FOUND' } })
  t.match((await call('GET', `${D}/verify`)).body, { log: 'default/development', revision: 4, brokenAt: null })
})

t.test('the log is read by who did it and what was done, and every page says where the next begins', async t => {
  const { call, makeKey } = await startServer(t)
  const { id, token } = await makeKey('admin', 'development', { name: 'Dana of the night shift', grants: [{ role: 'admin' }] })
  await call('POST', `${P}/flags`, { key: 'a', kind: 'kill-switch' })
  await call('POST', `${P}/flags`, { key: 'b', kind: 'release' }, { key: token })
  await call('POST', `${D}/flags/a/kills`, { reason: 'crash' }, { key: token })
  await call('PATCH', `${D}/flags/b`, { enabled: true })
  for (const [query, expected] of [
    ['actor=dana', [3, 2]],
    [`actor=${id}`, [3, 2]],
    ['actor=nobody', []],
    ['action=flag.create', [2, 1]],
    ['action=flag', [4, 3, 2, 1]],
    ['action=flag.kill&actor=NIGHT', [3]],
    ['action=segment', []],
    ['action=flag.create&order=oldest', [1, 2]],
  ] as const) {
    t.same(revisions((await call('GET', `${D}/changes?${query}`)).body), expected, query)
  }
  for (const [order, name, expected] of [
    ['newest', 'until', [4, 3, 2, 1]],
    ['oldest', 'since', [1, 2, 3, 4]],
  ] as const) {
    const seen: number[] = []
    for (let next: number | null = order === 'newest' ? 4 : 0; next !== null;) {
      const { body } = await call('GET', `${D}/changes?limit=1&action=flag&order=${order}&${name}=${next}`)
      seen.push(...revisions(body))
      next = body.next
    }
    t.same(seen, expected, order)
  }
  t.match(await call('GET', `${D}/changes?action=flag.explode`), { status: 400, body: { details: [{ path: 'action' }] } })
})

t.test('the chain is verified a part at a time', async t => {
  const { call, services } = await startServer(t)
  for (let i = 1; i <= 7; i++) await call('POST', `${D}/segments`, { key: `s${i}` })
  const whole = (await call('GET', `${D}/verify`)).body
  t.match(whole, { revision: 7, brokenAt: null, reached: { revision: 7, hash: whole.hash } })
  let part = (await call('GET', `${D}/verify?most=3`)).body
  t.match(part, { brokenAt: null, reached: { revision: 3 } })
  t.equal(part.reached.hash, (await services.log.change('default/development', 3)).hash)
  part = (await call('GET', `${D}/verify?most=3&after=3&hash=${'0'.repeat(64)}`)).body
  t.equal(part.brokenAt, 4, 'what went before is another')
  part = (await call('GET', `${D}/verify?most=10&after=3&hash=${(await services.log.change('default/development', 3)).hash}`)).body
  t.match(part, { brokenAt: null, reached: { revision: 7, hash: whole.hash } })
  t.match(await call('GET', `${D}/verify?after=3`), { status: 400, body: { details: [{ path: 'hash' }] } })
})

t.test('a page ends before it grows too large', async t => {
  const { call } = await startServer(t)
  const values = (n: number): string[] => Array.from({ length: 300 }, (_, i) => `${n}-${i}-`.padEnd(4_000, 'x'))
  for (let i = 0; i < 6; i++)
    await call(i === 0 ? 'POST' : 'PATCH', i === 0 ? `${D}/segments` : `${D}/segments/s`, {
      ...(i === 0 ? { key: 's' } : {}),
      included: [{ values: values(i) }],
    })
  const first = await call('GET', `${D}/changes`)
  t.equal(first.body.more, true)
  t.ok(first.body.changes.length >= 1 && first.body.changes.length < 6)
  const seen = revisions(first.body)
  for (let more = true; more;) {
    const { body } = await call('GET', `${D}/changes?until=${seen.at(-1)! - 1}`)
    seen.push(...revisions(body))
    more = body.more
  }
  t.same(seen, [6, 5, 4, 3, 2, 1])
})

t.test('waiting ends with a change, in time, when the caller hangs up and when the server closes', async t => {
  const clock = manualClock()
  const server = await startServer(t, { clock })
  const { call } = server
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  t.match(
    (await call('GET', `${D}/changes/wait?after=0`)).body,
    { revision: 1, changes: [{ revision: 1 }], more: false },
    'what is there already is answered at once',
  )

  const waiting = async (): Promise<void> => {
    for (let i = 0; clock.waiting === before && i < 2_000; i++) await new Promise(resolve => setTimeout(resolve, 10))
  }
  let before = clock.waiting
  const changed = call('GET', `${D}/changes/wait?after=1`)
  await waiting()
  await call('PATCH', `${P}/environments/staging/flags/a`, { enabled: true })
  await call('PATCH', `${D}/flags/a`, { enabled: true })
  t.match((await changed).body, { revision: 2, changes: [{ revision: 2 }] })

  before = clock.waiting
  const inVain = call('GET', `${D}/changes/wait?after=2&waitMs=5000`)
  let isAnswered = false
  void inVain.then(() => (isAnswered = true))
  for (let i = 0; !isAnswered && i < 2_000; i++) {
    clock.advance(5_000)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  t.match((await inVain).body, { revision: 2, changes: [], more: false })

  before = clock.waiting
  // Not fetch: after an abort it opens a connection in reserve, which the close below would wait for.
  const hungUp = request(`${server.url}${D}/changes/wait?after=2`, {
    agent: false,
    headers: { authorization: `Bearer ${server.adminKey}` },
  })
  hungUp.on('error', () => {})
  hungUp.end()
  await waiting()
  hungUp.destroy()
  for (let i = 0; clock.waiting > before && i < 2_000; i++) await new Promise(resolve => setTimeout(resolve, 10))
  t.equal(clock.waiting, before, 'nothing waits for somebody who has left')

  before = clock.waiting
  const cutOff = call('GET', `${D}/changes/wait?after=2`)
  await waiting()
  const closed = server.close()
  t.match((await cutOff).body, { changes: [] })
  await closed
  t.match(await server.restart().then(() => call('GET', `${D}/changes/wait?after=2&waitMs=30001`)), {
    status: 400,
    body: { details: [{ path: 'waitMs' }] },
  })
})

t.test('receipts say how far a revision has arrived', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  t.match(await call('GET', `${D}/changes/1/receipts`), { status: 200, body: { revision: 1, instances: 0, confirmed: 0, missing: [] } })
  t.match(await call('GET', `${D}/changes/1/receipts?waitMs=20000`), { status: 200, body: { instances: 0 } }, 'nobody to wait for')
  t.match(await call('GET', `${D}/changes/2/receipts`), { status: 404, body: { code: 'CHANGE_NOT_FOUND' } })
})

t.test('a revert brings back what stood, as a new entry', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  await call('PATCH', `${D}/flags/a`, { enabled: true })
  const back = await call('POST', `${D}/changes/2/revert`, { comment: 'not yet' })
  t.match(back, { status: 200, body: { revision: 3, change: { action: 'change.revert', reverts: 2, comment: 'not yet' } } })
  t.match((await call('GET', `${D}/flags/a`)).body, { enabled: false, version: 3 })
  t.match((await call('POST', `${D}/changes/3/revert`)).body, { change: { reverts: 3 } }, 'and a revert is reverted')
  t.match((await call('GET', `${D}/flags/a`)).body, { enabled: true })
  t.match((await call('POST', `${D}/changes/4/revert?dryRun=true`)).body, { dryRun: true, revision: 4 })

  await call('DELETE', `${D}/flags/a`)
  await call('POST', `${D}/changes/5/revert`)
  t.match((await call('GET', `${D}/flags/a`)).body, { enabled: true, version: 1 }, 'an archived flag is back')
  t.match(await call('POST', `${D}/changes/1/revert`), {
    status: 409,
    body: { code: 'REVERT_CONFLICT', message: /by revision 2, 3, 4, 5, 6/, details: [{ path: 'flags.a', code: 'changed_since' }] },
  })
  t.match(await call('POST', `${D}/changes/1/revert?force=true`), { status: 200, body: { change: { edits: [{ after: null }] } } })
  t.match(await call('POST', `${D}/changes/99/revert`), { status: 404, body: { code: 'CHANGE_NOT_FOUND' } })
})

t.test('a revert never lifts a kill, nor makes one', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' }) // 1
  await call('PATCH', `${D}/flags/a`, { enabled: true }) // 2
  const { body } = await call('POST', `${D}/flags/a/kills`, { reason: 'x' }) // 3
  t.match(await call('POST', `${D}/changes/3/revert?force=true`), {
    status: 409,
    body: { code: 'REVERT_CONFLICT', message: /Lift the kill instead/ },
  })
  t.match(await call('POST', `${D}/changes/2/revert`), { status: 200, body: { revision: 4 } }, 'a kill in between is no conflict')
  t.match((await call('GET', `${D}/flags/a`)).body, { enabled: false, kills: [{ id: body.kill.id }] })
  t.match(
    await call('POST', `${D}/changes/1/revert?force=true`),
    { status: 409, body: { code: 'FLAG_KILLED' } },
    'nor does the flag vanish below it',
  )
  await call('DELETE', `${D}/flags/a/kills`) // 5
  t.match(await call('POST', `${D}/changes/5/revert`), { status: 409, body: { code: 'REVERT_CONFLICT', message: /Kill the flag again/ } })
  t.match(await call('POST', `${D}/changes/4/revert`), { status: 200 })
  t.match((await call('GET', `${D}/flags/a`)).body, { enabled: true, kills: [] }, 'the kill that stood at 4 does not come back')
})

t.test('what a revert would break is refused like any write', async t => {
  const { call } = await startServer(t)
  await call('POST', `${D}/segments`, { key: 's' }) // 1
  await call('POST', `${P}/flags`, { key: 'parent', kind: 'release' }) // 2
  await call('POST', `${P}/flags`, { key: 'child', kind: 'release' }) // 3
  await call('PATCH', `${D}/flags/child`, {
    prerequisites: [{ flag: 'parent', variations: ['on'] }],
    rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['s'] }], serve: { variation: 'on' } }],
  }) // 4
  t.match(await call('POST', `${D}/changes/1/revert`), { status: 409, body: { code: 'SEGMENT_IN_USE' } })
  t.match(await call('POST', `${D}/changes/2/revert`), { status: 409, body: { code: 'FLAG_IN_USE' } })
  await call('PATCH', `${D}/flags/child`, { prerequisites: [], rules: [] }) // 5
  await call('PATCH', `${D}/flags/parent`, { prerequisites: [{ flag: 'child', variations: ['on'] }] }) // 6
  t.match(await call('POST', `${D}/changes/5/revert`), {
    status: 422,
    body: { code: 'PREREQUISITE_CYCLE', details: [{ path: /^flags\.(child|parent)\.prerequisites$/ }] },
  })
})

t.test('the difference between two points, place by place', async t => {
  const clock = manualClock()
  const { call } = await startServer(t, { clock })
  await call('POST', `${P}/flags`, { key: 'a', kind: 'release' })
  const moment = encodeURIComponent(new Date(clock.now()).toISOString())
  clock.advance(1_000)
  await call('PATCH', `${D}/flags/a`, { enabled: true, rules: [{ id: 'r', clauses: [], serve: { variation: 'on' } }] })
  await call('POST', `${D}/segments`, { key: 's' })
  t.match((await call('GET', `${D}/diff`)).body, {
    from: 2,
    to: 3,
    documents: [{ type: 'segment', key: 's', differences: [{ path: '', before: null, after: { key: 's' } }] }],
  })
  const between = await call('GET', `${D}/diff?from=${moment}&to=2`)
  t.match(between.body, {
    from: 1,
    to: 2,
    documents: [{ type: 'flag', key: 'a', differences: [{ path: 'enabled', before: false, after: true }, { path: 'rules' }] }],
    more: false,
  })
  t.equal(between.body.documents[0].differences.length, 2)
  t.match((await call('GET', `${D}/diff?from=2&to=1`)).body.documents, [
    { differences: [{ path: 'enabled', before: true, after: false }, {}] },
  ])
  t.match((await call('GET', `${D}/diff?from=0&flag=a`)).body.documents, [
    { type: 'flag', key: 'a', differences: [{ path: '', before: null }] },
  ])
  t.match(await call('GET', `${D}/diff?from=9`), { status: 404, body: { code: 'CHANGE_NOT_FOUND' } })
})
