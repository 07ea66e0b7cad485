/** The client of a page, with its clock, network, storage and page in the test's hands. */
import t from 'tap'
import { COUNTS_MAX } from '../../../schemas/protocol.ts'
import { clientUpstreamSchema } from '../../../schemas/clientstream.ts'
import type { PollAnswer } from '../../../sdk/connection.ts'
import type { Context } from '../../../sdk/types.ts'
import { HELLOS_MAX, HELLOS_WINDOW_MS, startClient } from '../../../sdk/web/client.ts'
import { parseBulk } from '../../../sdk/web/messages.ts'
import { CONTEXT_BYTES_MAX, readOptions } from '../../../sdk/web/options.ts'
import type { Page, PageStorage } from '../../../sdk/web/page.ts'
import { CONTEXTS_KEPT, KEPT_MS, localStore } from '../../../sdk/web/storage.ts'
import type { LinkEvents } from '../../../sdk/web/transport.ts'
import type { Options } from '../../../sdk/web/types.ts'
import { manualClock } from '../../clock.ts'

const KEY = 'slc_client_abcdefgh1234_secret'
const item = (key: string, value: unknown, more: object = {}) => ({ key, value, variant: String(value), reason: 'STATIC', metadata: { reason: 'FALLTHROUGH', flagVersion: 1 }, ...more }) // prettier-ignore

/** A storage as browsers have it, in memory. */
function storage(): PageStorage & { readonly entries: Map<string, string> } {
  const entries = new Map<string, string>()
  return {
    entries,
    get length() {
      return entries.size
    },
    key: i => [...entries.keys()][i] ?? null,
    getItem: key => entries.get(key) ?? null,
    setItem: (key, text) => void entries.set(key, text),
    removeItem: key => void entries.delete(key),
  }
}

function scene(options: Partial<Options> = {}, page: Page = {}) {
  const clock = manualClock()
  const links: {
    readonly events: LinkEvents
    readonly sent: { type: string; contextId?: number; context?: unknown; revision?: number }[]
    isDropped: boolean
  }[] = []
  const polls: { readonly context: string; readonly tag: string; answer(answer: PollAnswer, tag?: string): Promise<void> }[] = []
  const errors: string[] = []
  const settings = readOptions(
    { url: 'https://flags.example.com', key: KEY, cache: 'local', logger: { error: text => errors.push(text) }, ...options },
    page,
  )
  const client = startClient(settings, {
    page,
    clock,
    random: () => 0,
    store: settings.cache === 'local' ? localStore(page, settings, clock) : null,
    transport: {
      open(events) {
        const link = { events, sent: [] as (typeof links)[number]['sent'], isDropped: false }
        links.push(link)
        return { send: text => void link.sent.push(JSON.parse(text)), drop: () => (link.isDropped = true) }
      },
      poll: (context, tag) =>
        new Promise(resolve => {
          polls.push({
            context,
            tag,
            async answer(answer, tag = '') {
              resolve({ answer, tag })
              await new Promise(done => setImmediate(done))
            },
          })
        }),
    },
  })
  const link = () => links.at(-1)!
  const say = (message: object): void => link().events.message(JSON.stringify(message))
  return {
    client,
    clock,
    links,
    polls,
    errors,
    link,
    say,
    /** Connected, with these flags for the context at hand. */
    answer(flags: readonly object[], revision = 1) {
      if (link()?.sent.length === 0) link().events.opened()
      say({ type: 'evaluations', contextId: link().sent.findLast(one => one.type === 'hello')?.contextId, epoch: 'e', revision, flags })
    },
    /** The first attempt: a timer of no length. */
    begin() {
      clock.advance(0)
    },
  }
}

t.test('values, their types, and what is wrong with them', async t => {
  const { client, begin, answer, say } = scene()
  t.match(client.details('a', 1), { value: 1, reason: 'ERROR', error: 'NOT_READY', revision: 0 })
  const ready = client.ready()
  begin()
  answer([
    item('a', true),
    item('b', 'text'),
    item('c', 5),
    item('d', { e: 1 }),
    { key: 'bad', errorCode: 'PARSE_ERROR', errorDetails: 'no', metadata: { reason: 'ERROR', error: 'MALFORMED_FLAG' } },
  ])
  t.same(await ready, { ok: true, stale: false, revision: 1 })
  t.same(
    [
      client.value('a', false),
      client.value('b', ''),
      client.value('c', 0),
      client.value('d', {}),
      client.value('a'),
      client.value('a', null),
    ],
    [true, 'text', 5, { e: 1 }, true, true],
  )
  t.same([client.boolean('b', true), client.string('b', ''), client.number('b', 1), client.object('b', [1])], [true, 'text', 1, [1]])
  t.same(
    [client.value('bad', 7), client.value('none', 'x'), client.value('__proto__', 1), client.value('constructor', 'y')],
    [7, 'x', 1, 'y'],
  )
  t.match(client.details('a', 'x'), { value: 'x', error: 'TYPE_MISMATCH' })
  t.match(client.details('a', null as never, 'string'), { value: null, error: 'TYPE_MISMATCH' })
  t.match(client.details('none', 'x'), { value: 'x', error: 'FLAG_NOT_FOUND' })
  t.match(client.details('bad', 'x'), { value: 'x', error: 'MALFORMED_FLAG', message: 'no' })
  t.same(client.details('a', false), {
    value: true,
    variation: 'true',
    reason: 'FALLTHROUGH',
    static: true,
    flagVersion: 1,
    revision: 1,
    stale: false,
  })
  t.same(client.all(), { a: true, b: 'text', c: 5, d: { e: 1 } })

  const told: unknown[] = []
  client.on('change', keys => {
    told.push(...keys)
    throw new Error('not ours')
  })
  say({
    type: 'changed',
    epoch: 'e',
    from: 1,
    revision: 2,
    flags: [item('a', true, { metadata: { reason: 'FALLTHROUGH', flagVersion: 2 } }), item('c', 6)],
    removed: ['b'],
  })
  t.same(told.toSorted(), ['b', 'c'], 'a version is nothing that a page could notice')
  t.equal(client.details('a', false).flagVersion, 2)
  client.close()
})

t.test('what is said of a former context is not taken for the new one', async t => {
  const { client, begin, answer, say, link, clock } = scene({ context: { targetingKey: 'one' } })
  begin()
  answer([item('a', 'one')])
  const told: unknown[] = []
  client.on('stale', stale => told.push(stale))
  const moved = client.setContext({ targetingKey: 'two' })
  t.match(link().sent.at(-1), { type: 'hello', contextId: 2, context: { targetingKey: 'two' }, revision: 0, epoch: '' })
  // On their way when the context changed.
  say({ type: 'changed', epoch: 'e', from: 1, revision: 2, flags: [item('a', 'one, later')], removed: [] })
  say({ type: 'evaluations', contextId: 1, epoch: 'e', revision: 2, flags: [item('a', 'one, again')] })
  say({ type: 'current', contextId: 1, epoch: 'e', revision: 2 })
  say({ type: 'beat', epoch: 'e', revision: 2 })
  t.match(client.details('a', ''), { value: 'one', stale: true }, 'the old values stay')
  say({ type: 'evaluations', contextId: 2, epoch: 'e', revision: 2, flags: [item('a', 'two')] })
  t.same(await moved, { ok: true, stale: false, revision: 2 })
  t.equal(client.value('a', ''), 'two')
  t.same(told, [], 'waiting for a context is no news')
  t.equal(link().isDropped, false)

  t.same(await client.setContext({ targetingKey: 'two' }), { ok: true, stale: false, revision: 2 }, 'the same context again is none')
  const lost = client.setContext({ targetingKey: 'three' })
  clock.advance(5_000)
  t.same(await lost, { ok: false, stale: true, revision: 0 }, 'the wait is bounded')
  t.same(told, [true])
  answer([item('a', 'three')], 2)
  t.same(told, [true, false])
  client.close()
})

t.test('contexts that change all the time are sent as often as the server bears, the newest at last', async t => {
  const { client, begin, answer, link, clock } = scene()
  begin()
  answer([])
  for (let i = 0; i < 50; i++) void client.setContext({ targetingKey: String(i) })
  t.equal(link().sent.length, HELLOS_MAX)
  for (let ms = 0; ms < HELLOS_WINDOW_MS; ms += 1_000) {
    link().events.message('{"type":"beat","epoch":"e","revision":1}')
    clock.advance(1_000)
  }
  t.match(link().sent.at(-1), { context: { targetingKey: '49' }, contextId: 51 })
  t.equal(link().sent.length, HELLOS_MAX + 1)
  answer([item('a', 49)])
  t.equal(client.value('a', 0), 49)
  client.close()
})

t.test('a context that cannot be sent is not taken', async t => {
  const { client, errors, begin, link } = scene({ context: { targetingKey: 'one' } })
  begin()
  link().events.opened()
  const cyclic: Record<string, unknown> = {}
  cyclic.self = cyclic
  const hostile = { get targetingKey(): string { throw new Error('no') } } // prettier-ignore
  for (const context of [cyclic, { n: 1n }, [], null, 'text', hostile, { long: 'ä'.repeat(CONTEXT_BYTES_MAX / 2) }])
    void client.setContext(context as unknown as Context)
  t.equal(errors.length, 7)
  t.equal(link().sent.length, 1)
  const mine = { targetingKey: 'two' }
  void client.setContext(mine)
  mine.targetingKey = 'changed behind'
  t.same(link().sent.at(-1)?.context, { targetingKey: 'two' })
  client.close()
})

t.test('where websockets are closed it polls, and asks at once for another context', async t => {
  const { client, begin, links, polls, clock, link } = scene({ pollIntervalMs: 10_000 })
  begin()
  link().events.lost('refused', '')
  t.match(polls, [{ context: '{}', tag: '' }])
  const whole = (value: unknown, revision: number): PollAnswer => ({
    kind: 'whole',
    whole: parseBulk(JSON.stringify({ flags: [item('a', value)], metadata: { epoch: 'e', revision } }))!,
  })
  await polls[0]!.answer(whole('first', 1), '"t1"')
  t.same(await client.ready(), { ok: true, stale: false, revision: 1 })
  clock.advance(10_000)
  t.match(polls[1], { tag: '"t1"' })
  await polls[1]!.answer({ kind: 'unchanged' }, '"t1"')
  const moved = client.setContext({ targetingKey: 'two' })
  t.match(polls[2], { context: '{"targetingKey":"two"}', tag: '' })
  await polls[2]!.answer(whole('second', 1))
  t.same(await moved, { ok: true, stale: false, revision: 1 })
  t.equal(client.value('a', ''), 'second')
  // An answer that comes too late is somebody else's.
  clock.advance(10_000)
  const late = polls.at(-1)!
  void client.setContext({ targetingKey: 'three' })
  await late.answer(whole('of two', 9))
  t.equal(client.value('a', ''), 'second')
  await polls.at(-1)!.answer({ kind: 'failed', problem: 'x' })
  t.equal(client.status().stale, true)
  t.ok(links.length > 1, 'the stream is tried all the while')
  client.close()
  t.equal(clock.waiting, 0, 'no timer is left')
})

t.test('nonsense from the server costs a connection and nothing else', async t => {
  const { client, begin, answer, say, link, links, clock, errors } = scene()
  begin()
  answer([item('a', 1)])
  for (const nonsense of [
    '{',
    '',
    'null',
    '{"type":"changed"}',
    '{"type":"evaluations","contextId":1,"epoch":"e","revision":2,"flags":[5]}',
  ]) {
    const before = links.length
    link().events.message(nonsense)
    t.equal(link().isDropped, true, nonsense)
    while (links.length === before) clock.advance(500)
    link().events.opened()
    t.equal(client.value('a', 0), 1)
    say({ type: 'current', contextId: 1, epoch: 'e', revision: 1 })
  }
  // Deeper than anything a server of ours sends: what cannot be taken is asked for anew.
  link().events.message(
    `{"type":"changed","epoch":"e","from":1,"revision":2,"removed":[],"flags":[{"key":"a","variant":"x","reason":"x","value":${'['.repeat(50_000)}${']'.repeat(50_000)}}]}`,
  )
  t.equal(client.value('a', 0), 1)
  t.match(errors.at(-1), /could not be taken/)
  client.close()
})

t.test('the cache: values for a dark start, of the same key and context alone, for a day', async t => {
  const page = { localStorage: storage() }
  const first = scene({ context: { targetingKey: 'one' } }, page)
  first.begin()
  first.answer([item('a', 'kept')], 4)
  first.client.close()
  t.equal(page.localStorage.entries.size, 1)
  t.notMatch(JSON.stringify([...page.localStorage.entries]), /targetingKey|one|slc_/)

  const second = scene({ context: { targetingKey: 'one' } }, page)
  t.match(second.client.details('a', ''), { value: 'kept', stale: true, revision: 4 }, 'at once')
  second.begin()
  second.link().events.opened()
  t.match(second.link().sent, [{ revision: 4, epoch: 'e' }])
  second.say({ type: 'current', contextId: 1, epoch: 'e', revision: 4 })
  t.equal(second.client.details('a', '').stale, false)
  // Somebody else, and back.
  const other = second.client.setContext({ targetingKey: 'other' })
  t.match(second.client.details('a', ''), { value: 'kept', stale: true })
  second.answer([item('a', 'other')], 4)
  await other
  void second.client.setContext({ targetingKey: 'one' })
  t.match(second.client.details('a', ''), { value: 'kept', stale: true }, 'the values of the cache, until they are confirmed')
  t.match(second.link().sent.at(-1), { contextId: 3, revision: 4 })
  second.client.close()

  for (const options of [{ key: `${KEY}x` }, { url: 'https://other.example.com' }, { context: {} }, { cache: false }] as const)
    t.equal(scene({ context: { targetingKey: 'one' }, ...options }, page).client.value('a', 'none'), 'none', JSON.stringify(options))

  const [keptAt, entry] = [...page.localStorage.entries][0]!
  const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
  page.localStorage.entries.set(keptAt, entry.replace('"value":"kept"', `"value":${deep}`))
  t.equal(scene({ context: { targetingKey: 'one' } }, page).client.value('a', 'none'), 'none', 'deeper than anything of ours')

  const store = localStore(page, { base: 'x', key: 'y' }, { now: () => 0 })
  const kept = { epoch: 'e', revision: 1, hash: '', flags: [] }
  store.save('{}', kept)
  const at = (now: number) => localStore(page, { base: 'x', key: 'y' }, { now: () => now }).load('{}')
  t.match(at(KEPT_MS - 1), kept)
  t.equal(at(KEPT_MS + 1), null, 'after a day')
  let now = 0
  const many = localStore(page, { base: 'x', key: 'y' }, { now: () => now++ })
  for (let i = 0; i < 30; i++) many.save(String(i), kept)
  t.equal(page.localStorage.entries.size, CONTEXTS_KEPT)
  t.match(many.load('29'), kept)

  const name = [...page.localStorage.entries.keys()][0]!
  for (const damage of ['', '{', 'null', '5', '[]', '{"at":0}', '{"at":0,"epoch":"e","revision":1,"hash":"","flags":[5]}']) {
    page.localStorage.entries.clear()
    page.localStorage.entries.set(name, damage)
    t.equal(many.load('0') ?? many.load('29'), null, damage)
  }
})

t.test('a storage that is forbidden or full, and a page that is none, are no reason to fail', async t => {
  const forbidden = { get localStorage(): never { throw new Error('SecurityError') } } // prettier-ignore
  const full = { localStorage: { ...storage(), setItem: () => { throw new Error('QuotaExceededError') } } } // prettier-ignore
  for (const page of [forbidden, full, {}] as Page[]) {
    const { client, begin, answer, clock, errors } = scene({}, page)
    begin()
    answer([item('a', 1)])
    clock.advance(2_000)
    t.equal(client.value('a', 0), 1)
    client.close()
    t.same(errors, [])
  }
})

t.test('what is wrong with the options is said, and every value is then its default', async t => {
  for (const options of [
    {},
    { url: 'nowhere' },
    { url: 'ftp://x' },
    { key: undefined },
    { key: 'slc_server_abcdefgh1234_secret' },
    { key: 'a key, with more' },
  ] as Partial<Options>[]) {
    const said: string[] = []
    const { client } = scene({
      url: 'https://x',
      ...(Object.keys(options).length === 0 ? { url: undefined as never } : {}),
      ...options,
      logger: { error: text => said.push(text) },
    })
    t.equal(said.length, 1, said.join())
    t.same([await client.ready(), client.value('a', 1)], [{ ok: false, stale: false, revision: 0 }, 1])
    client.close()
  }
  t.doesNotThrow(() => readOptions(null, {}))
  const throwing = { error: () => { throw new Error('no') } } // prettier-ignore
  t.doesNotThrow(() => scene({ url: 'nowhere', logger: throwing }))
})

t.test('what is counted goes over the stream, within what the server takes', async t => {
  const { client, begin, answer, link, clock } = scene()
  begin()
  const flags = Array.from({ length: 700 }, (_, i) => item(`flag-${i}`.padEnd(128, 'x'), true))
  answer(flags)
  for (const { key } of flags) client.value(key, false)
  client.track('bought', 3)
  client.track('bought', NaN)
  client.track('ä'.repeat(128))
  client.track('')
  clock.advance(10_000)
  const reports = link().sent.filter(one => one.type === 'counts') as unknown as { counts: { flag: string }[]; tracked: object[] }[]
  t.equal(reports.length, 3, 'the rest waits')
  t.match(reports[0]?.tracked ?? [], [])
  for (let i = 0; i < 20; i++) {
    link().events.message('{"type":"beat","epoch":"e","revision":1}')
    clock.advance(10_000)
  }
  const all = link().sent.filter(one => one.type === 'counts') as unknown as typeof reports
  const rows = all.flatMap(report => report.counts)
  t.equal(rows.length, 500, 'a bound')
  t.equal(new Set(rows.map(row => row.flag)).size, 500)
  t.same(all.flatMap(report => report.tracked), [{ event: 'bought', count: 2, value: 3 }, { event: 'ä'.repeat(128), count: 1, value: 0 }]) // prettier-ignore
  for (const report of all) {
    t.ok(Buffer.byteLength(JSON.stringify(report)) < 16 * 1024 && report.counts.length <= COUNTS_MAX)
    t.ok(clientUpstreamSchema.safeParse(report).success)
  }
  client.close()
})

t.test('a page that was away is brought up to date, and one that is left keeps no socket', async t => {
  const listeners = new Map<string, (event: { persisted?: boolean }) => void>()
  const events = {
    addEventListener: (type: string, listener: (event: { persisted?: boolean }) => void) => void listeners.set(type, listener),
    removeEventListener: (type: string) => void listeners.delete(type),
  }
  const page = { ...events, document: { ...events, visibilityState: 'visible' } }
  const { client, begin, answer, link, links, clock, say } = scene({}, page)
  begin()
  answer([item('a', 1)])
  const hellos = (): number => link().sent.filter(one => one.type === 'hello').length
  listeners.get('online')!({})
  t.equal(hellos(), 2, 'asks whether it is still so')
  say({ type: 'current', contextId: 1, epoch: 'e', revision: 1 })
  listeners.get('pageshow')!({ persisted: false })
  t.equal(hellos(), 2, 'a page that is shown for the first time was not away')
  page.document.visibilityState = 'hidden'
  listeners.get('visibilitychange')!({})
  clock.jump(60_000)
  page.document.visibilityState = 'visible'
  listeners.get('visibilitychange')!({})
  t.equal(hellos(), 3)
  clock.advance(3_000)
  t.equal(link().isDropped, true, 'no answer: the link did not outlive it')
  clock.advance(1_000)
  link().events.opened()
  say({ type: 'current', contextId: 1, epoch: 'e', revision: 1 })
  listeners.get('pagehide')!({ persisted: true })
  t.equal(link().isDropped, true)
  const before = links.length
  listeners.get('pageshow')!({ persisted: true })
  clock.advance(1_000)
  t.equal(links.length, before + 1)
  t.equal(client.value('a', 0), 1)
  client.close()
  t.same([...listeners.keys()], [])
})
