/** The client on a clock moved by hand and a transport held in the hand: what an application sees. */
import { join } from 'node:path'
import t from 'tap'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import { startClient } from '../../sdk/client.ts'
import type { PollAnswer } from '../../sdk/connection.ts'
import { readOptions } from '../../sdk/options.ts'
import type { LinkEvents } from '../../sdk/transport.ts'
import type { Context, Options } from '../../sdk/types.ts'
import type { OutcomeRow } from '../../sdk/outcomes.ts'
import { manualClock } from '../clock.ts'
import { flag, KEY } from './server.ts'

function start(options: Partial<Options> = {}) {
  const clock = manualClock()
  const links: { events: LinkEvents; sent: { type: string; [field: string]: unknown }[]; isDropped: boolean; bytes: number }[] = []
  const polls: ((answer: PollAnswer) => void)[] = []
  const telemetry: string[] = []
  const log: string[] = []
  let isTaken = true
  const write = (level: string) => (message: string) => void log.push(`${level}: ${message}`)
  const client = startClient(
    readOptions(
      {
        url: 'ws://localhost:1',
        key: KEY,
        logger: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
        ...options,
      },
      'instance-1',
    ),
    {
      clock,
      random: () => 0,
      transport: () => ({
        open(events) {
          const link = { events, sent: [] as { type: string }[], isDropped: false, bytes: 0 }
          links.push(link)
          return {
            send: text => void link.sent.push(JSON.parse(text) as { type: string }),
            drop: () => void (link.isDropped = true),
            bytesRead: () => link.bytes,
          }
        },
        poll: () => new Promise(resolve => polls.push(resolve)),
        report: body => {
          if (isTaken) telemetry.push(body)
          return Promise.resolve(isTaken)
        },
        close: () => Promise.resolve(),
      }),
    },
  )
  const link = () => links.at(-1)!
  const say = (message: object) => link().events.message(JSON.stringify(message))
  return {
    client,
    clock,
    links,
    polls,
    telemetry,
    log,
    link,
    say,
    takeReports: (taken: boolean) => void (isTaken = taken),
    /** Connected, holding these documents. */
    goLive: (flags: readonly Flag[], segments: readonly Segment[] = [], revision = 1, epoch = 'e') => {
      clock.advance(0)
      link().events.opened()
      say({ type: 'ruleset', epoch, revision, flags, segments })
    },
    change: (revision: number, flags: readonly Flag[], more: object = {}) => {
      say({ type: 'change', epoch: 'e', from: revision - 1, revision, flags, segments: [], removedFlags: [], removedSegments: [], ...more })
    },
  }
}

const json = (key: string, value: Flag['variations'][number]['value']): Flag =>
  flag(key, {
    kind: 'config',
    variations: [
      { key: 'on', value },
      { key: 'off', value },
    ],
  })

t.test('says hello with who it is, and applied when it has taken what came', async t => {
  const { client, goLive, link, change } = start({ service: 'shop' })
  goLive([flag('a')], [], 4)
  t.same(link().sent, [
    { type: 'hello', instance: 'instance-1', service: 'shop', sdk: 'node/0.1.0', revision: 0, epoch: '' },
    { type: 'applied', revision: 4 },
  ])
  change(5, [flag('a', { enabled: false, version: 2 })])
  t.same(link().sent.at(-1), { type: 'applied', revision: 5 })
  t.equal(client.value('a', {}, true), false)
  t.match(client.status(), { revision: 5, epoch: 'e', connected: true, stale: false })
})

t.test('the type of the default decides what may come out', async t => {
  const { client, goLive } = start()
  goLive([flag('b'), json('s', 'text'), json('n', 5), json('o', { deep: [1] }), json('l', [1, 2])])
  const context: Context = { targetingKey: 'x' }
  t.equal(client.value('b', context, false), true)
  t.equal(client.value('s', context, ''), 'text')
  t.equal(client.value('n', context, 0), 5)
  t.same(client.value('o', context, { deep: [0] }), { deep: [1] })
  t.same(client.value('l', context, [0]), [1, 2])
  t.equal(client.value('b', context, 'x'), 'x')
  t.equal(client.value('s', context, 1), 1)
  t.equal(client.value('n', context, false), false)
  t.same(client.value('n', context, { a: 1 }), { a: 1 })
  t.equal(client.value('none', context, 7), 7)
  t.equal(client.value('b', context), true, 'without a default any type may come')
  t.equal(client.value('s', context, null), 'text')
  t.equal(client.value('none', context), undefined)
  t.equal(client.value('none', context, null), null)
  t.equal(client.boolean('b', context, false), true)
  t.equal(client.string('s', context, ''), 'text')
  t.equal(client.number('n', context, 0), 5)
  t.same(client.object('o', context, {}), { deep: [1] })
  t.equal(client.boolean('s', context, false), false)
  t.same(client.object('b', context, { a: 1 }), { a: 1 })
})

t.test('explain tells why, with the revision and whether it is stale', async t => {
  const { client, goLive } = start()
  t.match(client.explain('a', {}, 1), { value: 1, reason: 'ERROR', error: 'NOT_READY', variation: null, revision: 0, steps: [] })
  goLive([flag('a')], [], 3)
  t.match(client.explain('a', {}, false), {
    value: true,
    variation: 'on',
    reason: 'FALLTHROUGH',
    flagVersion: 1,
    revision: 3,
    stale: false,
  })
  t.match(client.explain('a', {}, 'x'), { value: 'x', reason: 'ERROR', error: 'TYPE_MISMATCH', variation: null })
  t.match(client.explain('none', {}, 5), { value: 5, reason: 'ERROR', error: 'FLAG_NOT_FOUND' })
})

t.test('details tells what explain tells, without the steps, and is counted', async t => {
  const { client, clock, goLive, link } = start()
  t.match(client.details('a', {}, 1), { value: 1, reason: 'ERROR', error: 'NOT_READY', variation: null, revision: 0 })
  const half = [
    { variation: 'on', weight: 50_000 },
    { variation: 'off', weight: 50_000 },
  ]
  goLive([
    flag('a', { metadata: { team: 'payments' } }),
    flag('off', { enabled: false }),
    flag('split', { fallthrough: { rollout: { by: 'targetingKey', weights: half } } }),
    { key: 'torn' } as Flag,
  ])
  for (const name of ['a', 'off', 'split', 'torn', 'none']) {
    for (const context of [{}, { targetingKey: 'b' }] as Context[]) {
      const { steps, ...explained } = client.explain(name, context, false)
      t.type(steps, Array)
      t.match(explained, client.details(name, context, false), name)
    }
  }
  t.match(client.details('a', {}, null), { value: true, static: true, metadata: { team: 'payments' } }, 'no default takes any type')
  t.match(client.details('a', {}, null, 'string'), { value: null, error: 'TYPE_MISMATCH' })
  clock.advance(5_000)
  const counts = link()
    .sent.filter(message => message.type === 'counts')
    .flatMap(report => report.counts as { flag: string; count: number }[])
  t.equal(
    counts.reduce((sum, { count }) => sum + count, 0),
    12,
    'those of details, not those of explain, and none from before there was a ruleset',
  )
})

t.test('nothing that is asked makes it throw', async t => {
  const { client, goLive } = start()
  const hostile = new Proxy(
    {},
    {
      get() {
        throw new Error('no')
      },
      has() {
        throw new Error('no')
      },
      getOwnPropertyDescriptor() {
        throw new Error('no')
      },
    },
  )
  goLive([
    flag('a', { rules: [{ id: 'r', clauses: [{ attribute: 'x', op: 'in', values: ['1'] }], serve: { variation: 'off' } }] }),
    { key: 'torn' } as Flag,
    { ...flag('b'), rules: 'nonsense' } as unknown as Flag,
  ])
  const anything = [undefined, null, 5, 'text', {}, [], hostile, () => 1, Symbol('s'), 10n] as unknown as Context[]
  for (const context of anything) {
    for (const name of ['a', 'torn', 'b', 'none', undefined, null, 5, {}] as string[]) {
      t.doesNotThrow(() => {
        client.value(name, context, false)
        client.explain(name, context, false)
        client.details(name, context, false)
        client.number(name, context, 1)
      })
    }
    t.type(client.value('a', context, false), 'boolean')
  }
  t.equal(client.value('torn', {}, 'd'), 'd')
  t.equal(client.value('a', {}, hostile as never), hostile, 'a default of a strange kind')
})

t.test('change names the flags that changed and those that depend on them', async t => {
  const segment: Segment = { key: 'beta', version: 1, included: [], excluded: [], rules: [] }
  const outer: Segment = { ...segment, key: 'outer', rules: [{ id: 'r', clauses: [{ op: 'segment', values: ['beta'] }] }] }
  const rule = (named: string) => [{ id: 'r', clauses: [{ op: 'segment' as const, values: [named] }], serve: { variation: 'off' } }]
  const flags = [
    flag('base'),
    flag('child', { prerequisites: [{ flag: 'base', variations: ['on'] }] }),
    flag('grandchild', { prerequisites: [{ flag: 'child', variations: ['on'] }] }),
    flag('in-beta', { rules: rule('beta') }),
    flag('in-outer', { rules: rule('outer') }),
    flag('below-outer', { prerequisites: [{ flag: 'in-outer', variations: ['on'] }] }),
    flag('apart'),
  ]
  const { client, goLive, change, say } = start()
  goLive(flags, [segment, outer])
  const heard: string[][] = []
  const end = client.on('change', keys => heard.push([...keys].sort()))
  change(2, [flag('base', { version: 2 })])
  change(3, [], { segments: [{ ...segment, version: 2 }] })
  change(4, [flag('apart', { version: 2 })])
  change(5, [], { removedFlags: ['child'] })
  say({
    type: 'ruleset',
    epoch: 'f',
    revision: 1,
    segments: [{ ...segment, version: 2 }, outer],
    flags: [flag('base', { version: 2 }), ...flags.slice(3, -1), flag('new')],
  })
  t.same(heard, [
    ['base', 'child', 'grandchild'],
    ['below-outer', 'in-beta', 'in-outer'],
    ['apart'],
    ['child', 'grandchild'],
    ['apart', 'grandchild', 'new'],
  ])
  end()
  say({ type: 'ruleset', epoch: 'g', revision: 1, segments: [], flags: [] })
  t.equal(heard.length, 5, 'ended')
})

t.test('a listener that throws is contained, told, and does not stop the others', async t => {
  const { client, goLive, log } = start()
  const heard: string[] = []
  client.on('ready', () => {
    throw new Error('first')
  })
  client.on('ready', async () => {
    throw new Error('second')
  })
  client.on('ready', () => void heard.push('third'))
  client.on('nonsense' as 'ready', () => undefined)
  client.on('ready', 5 as unknown as () => void)
  goLive([flag('a')])
  await new Promise(resolve => setImmediate(resolve))
  t.same(heard, ['third'])
  t.equal(log.filter(line => line.startsWith('error: A listener of "ready" threw')).length, 2)
})

t.test('a listener may evaluate, listen and close', async t => {
  const { client, goLive } = start()
  let value: unknown
  client.on('ready', () => {
    value = client.value('a', {}, false)
    client.on('change', () => undefined)
    void client.close()
  })
  goLive([flag('a')])
  t.equal(value, true)
  await client.close()
})

t.test('a logger that throws stops nothing', async t => {
  const { client, goLive } = start({
    logger: {
      info() {
        throw new Error('no')
      },
      error() {
        throw new Error('no')
      },
    },
  })
  goLive([flag('a')])
  t.equal(client.value('a', {}, false), true)
})

t.test('ready ends when the server has answered', async t => {
  const { client, goLive } = start()
  const waiting = client.ready(60_000)
  goLive([], [], 3)
  t.same(await waiting, { ok: true, stale: false, revision: 3 })
  t.same(await client.ready(), { ok: true, stale: false, revision: 3 })
})

t.test('ready ends after its time without a ruleset, and when the client closes', async t => {
  const { client } = start({ readyTimeoutMs: 1 })
  t.same(await client.ready(), { ok: false, stale: false, revision: 0 })
  t.same(await client.ready(0), { ok: false, stale: false, revision: 0 })
  const waiting = client.ready(1e9)
  await client.close()
  t.same(await waiting, { ok: false, stale: false, revision: 0 })
  t.same(await client.ready(1e9), { ok: false, stale: false, revision: 0 })
})

t.test('wrong options are told, and every value is its default', async t => {
  const errors: string[] = []
  const logger = { error: (message: string) => void errors.push(message) }
  for (const options of [
    { url: 'ws://localhost:1', key: undefined },
    { url: 'ws://localhost:1', key: '  ' },
    { url: 'ws://localhost:1', key: 'line\nbreak' },
    { url: 'nonsense', key: KEY },
    { url: 'ftp://localhost', key: KEY },
    {},
    null,
  ]) {
    errors.length = 0
    const client = startClient(readOptions(options === null ? null : { ...options, logger }, 'i'), {
      clock: manualClock(),
      random: () => 0,
      transport: () => {
        throw new Error('must not be asked for')
      },
    })
    t.equal(client.value('a', {}, 5), 5)
    t.same(await client.ready(1e9), { ok: false, stale: false, revision: 0 })
    if (options !== null) t.ok(errors.length > 0 && !errors.join().includes(KEY))
    await client.close()
  }
})

t.test("addresses become the server's", async t => {
  for (const [url, base] of [
    ['ws://localhost:7400', 'http://localhost:7400'],
    ['wss://flags.example.com/', 'https://flags.example.com'],
    ['http://[::1]:7400', 'http://[::1]:7400'],
    ['https://example.com/sluice/', 'https://example.com/sluice'],
    ['ws://user:secret@localhost/x?key=1', 'http://localhost/x'],
  ] as const) {
    t.equal(readOptions({ url, key: KEY }, 'i').base, base)
  }
})

t.test('an outage is stale only when polling fails too, and says so once each way', async t => {
  const { client, clock, goLive, link, polls } = start()
  const heard: boolean[] = []
  client.on('stale', stale => heard.push(stale))
  goLive([flag('a')], [], 3)
  const { since } = client.status()
  clock.advance(1_000)
  link().events.lost('closed')
  t.match(client.status(), { connected: false, stale: false })
  t.ok(client.status().since > since)
  clock.advance(3_000)
  t.equal(polls.length, 1)
  polls[0]!({ kind: 'failed', problem: 'down' })
  await new Promise(resolve => setImmediate(resolve))
  t.match(client.status(), { stale: true, revision: 3 })
  t.equal(client.explain('a', {}, false).stale, true)
  t.equal(client.value('a', {}, false), true, 'the last values stay')
  clock.advance(0)
  link().events.opened()
  link().events.message(JSON.stringify({ type: 'current', epoch: 'e', revision: 3 }))
  t.same(heard, [true, false])
})

t.test('a transfer that trickles is no dead link', async t => {
  const { clock, links, link } = start()
  clock.advance(0)
  link().events.opened()
  for (let i = 0; i < 5; i++) {
    link().bytes += 1_000
    clock.advance(14_000)
  }
  t.equal(links[0]!.isDropped, false)
  clock.advance(20_000)
  t.equal(links[0]!.isDropped, true)
})

t.test('counts go over the stream every few seconds, and none before there is a ruleset', async t => {
  const { client, clock, goLive, link } = start()
  client.value('a', {}, false)
  goLive([flag('a')])
  for (let i = 0; i < 7; i++) client.value('a', {}, false)
  client.value('a', {}, 'other type')
  client.explain('a', {}, false)
  clock.advance(5_000)
  const reports = link().sent.filter(message => message.type === 'counts')
  t.match(reports, [
    {
      dropped: 0,
      counts: [
        { flag: 'a', variation: 'on', reason: 'FALLTHROUGH', count: 7 },
        { flag: 'a', variation: null, reason: 'ERROR', count: 1 },
      ],
    },
  ])
  clock.advance(5_000)
  t.equal(link().sent.filter(message => message.type === 'counts').length, 1, 'nothing new, nothing sent')
  client.value('a', {}, false)
  await client.close()
  t.match(
    link()
      .sent.filter(message => message.type === 'counts')
      .at(-1),
    { counts: [{ count: 1 }] },
    'the rest on close',
  )
})

t.test('while polling, counts are posted, and wait when they are not taken', async t => {
  const { client, clock, polls, link, telemetry, takeReports } = start()
  clock.advance(0)
  link().events.lost('refused')
  polls[0]!({ kind: 'whole', whole: { epoch: 'e', revision: 1, flags: [flag('a')], segments: [] } })
  await new Promise(resolve => setImmediate(resolve))
  client.value('a', {}, false)
  takeReports(false)
  clock.advance(5_000)
  await new Promise(resolve => setImmediate(resolve))
  takeReports(true)
  client.value('a', {}, false)
  clock.advance(5_000)
  await new Promise(resolve => setImmediate(resolve))
  t.match(
    telemetry.map(body => JSON.parse(body) as object),
    [{ type: 'counts', counts: [{ flag: 'a', count: 2 }], service: '', instance: 'instance-1', sdk: /^node\// }],
  )
})

t.test('the cache file is written at most once a second and on close, and the next start begins with it', async t => {
  const cache = join(t.testdir(), 'sluice.json')
  const first = start({ cache })
  first.goLive([flag('a')], [], 7)
  first.change(8, [flag('b')])
  await first.client.close()
  const second = start({ cache })
  t.match(second.client.status(), { revision: 8, epoch: 'e', connected: false, stale: true })
  t.equal(second.client.value('b', {}, false), true)
  t.equal(second.client.explain('b', {}, false).stale, true)
  second.clock.advance(0)
  second.link().events.opened()
  t.match(second.link().sent, [{ type: 'hello', revision: 8, epoch: 'e' }])
  second.say({
    type: 'changes',
    epoch: 'e',
    from: 8,
    revision: 9,
    flags: [flag('c')],
    segments: [],
    removedFlags: ['a'],
    removedSegments: [],
  })
  t.match(second.client.status(), { revision: 9, stale: false, connected: true })
  t.equal(second.client.value('a', {}, false), false)
  t.equal(second.client.value('c', {}, false), true)
  await second.client.close()
  const third = start({ cache })
  t.equal(third.client.status().revision, 9)
  const ready = third.client.ready(1e9)
  third.clock.advance(0)
  third.link().events.lost('unreachable')
  t.same(await ready, { ok: true, stale: true, revision: 9 }, 'with a cache the first failure is enough')
  await third.client.close()
})

t.test('close leaves no timer, and twice is once', async t => {
  const { client, clock, goLive, links } = start({ cache: join(t.testdir(), 'sluice.json') })
  goLive([flag('a')])
  const closing = client.close()
  t.equal(client.close(), closing)
  await closing
  t.equal(clock.waiting, 0)
  t.equal(links[0]!.isDropped, true)
  t.equal(client.value('a', {}, false), true, 'values stay')
  t.equal(client.status().connected, false)
})

t.test('what is reported is sent with the counts, for the variation the context has, and counts once in ten seconds', async t => {
  const { client, clock, goLive, link, say } = start()
  const weights = [
    { variation: 'on', weight: 50_000 },
    { variation: 'off', weight: 50_000 },
  ]
  client.report('a', { targetingKey: 'early' }, { ok: false })
  goLive([flag('a', { fallthrough: { rollout: { by: '/account/id', weights } } }), flag('b', { enabled: false })])
  const isOn = (id: number): boolean => client.all({ account: { id } }).a === true
  const on = Array.from({ length: 100 }, (_, i) => i).filter(isOn)
  for (let i = 0; i < 100; i++) client.report('a', { account: { id: i } }, { ok: true, ms: 2 })
  client.report('a', { account: { id: on[0]! } }, { ok: false, ms: 3, slow: true })
  client.report('b', { targetingKey: 'x' }, { ok: true })
  client.report('none', { targetingKey: 'x' }, { ok: true })
  const rows = () =>
    link()
      .sent.filter(({ outcomes }) => outcomes !== undefined)
      .at(-1)?.outcomes
  clock.advance(5_000)
  const nothing = { errors: 0, slow: 0, allErrors: 0, allSlow: 0 }
  t.same(
    new Set((rows() as OutcomeRow[]).map(({ failed: _failed, slowed: _slowed, ...row }) => row)),
    new Set([
      {
        flag: 'a',
        variation: 'on',
        contexts: on.length,
        errors: 1,
        slow: 1,
        allCalls: on.length + 1,
        allErrors: 1,
        allSlow: 1,
        totalMs: 2 * on.length + 3,
      },
      { ...nothing, flag: 'a', variation: 'off', contexts: 100 - on.length, allCalls: 100 - on.length, totalMs: 2 * (100 - on.length) },
      { ...nothing, flag: 'b', variation: 'off', contexts: 1, allCalls: 1, totalMs: 0 },
    ]),
  )
  t.equal(
    link()
      .sent.filter(({ type }) => type === 'counts')
      .every(({ counts }) => (counts as []).length === 0),
    true,
    'no report is an evaluation',
  )
  client.report('b', { targetingKey: 'x' }, { ok: false })
  clock.advance(5_000)
  t.match(rows(), [{ flag: 'b', contexts: 0, errors: 1, allCalls: 1 }])
  say({ type: 'beat', epoch: 'e', revision: 1 })
  client.report('b', { targetingKey: 'x' }, { ok: false })
  clock.advance(5_000)
  t.match(rows(), [{ flag: 'b', contexts: 1, errors: 1, allCalls: 1 }])
})

t.test('outcomes wait while nothing can be sent, and go beside the stream when polling works', async t => {
  const { client, clock, goLive, link, links, polls, telemetry, takeReports } = start()
  goLive([flag('a')])
  link().events.lost('closed')
  client.report('a', { targetingKey: 'x' }, { ok: false })
  clock.advance(5_000)
  t.equal(telemetry.length, 0)
  takeReports(false)
  await polled()
  clock.advance(5_000)
  await new Promise(setImmediate)
  takeReports(true)
  clock.advance(5_000)
  await new Promise(setImmediate)
  t.match(JSON.parse(telemetry.at(-1)!), { outcomes: [{ flag: 'a', variation: 'on', contexts: 1, errors: 1, allCalls: 1 }] })
  t.notOk(links.some(({ sent }) => sent.some(({ outcomes }) => outcomes !== undefined)))

  async function polled(): Promise<void> {
    while (polls.length === 0) clock.advance(1_000)
    polls.at(-1)!({ kind: 'unchanged' })
    await new Promise(setImmediate)
  }
})

t.test('a report of nonsense is ignored', async t => {
  const { client, goLive, clock, link } = start()
  goLive([flag('a')])
  const throwing = {
    get ok(): boolean {
      throw new Error('trap')
    },
  }
  for (const outcome of [undefined, null, 7, 'x', {}, throwing])
    t.doesNotThrow(() => client.report('a', { targetingKey: 'x' }, outcome as never))
  for (const context of [undefined, null, 7, []]) t.doesNotThrow(() => client.report('a', context as never, { ok: true }))
  for (const key of [undefined, null, 7, {}]) t.doesNotThrow(() => client.report(key as never, {}, { ok: true }))
  clock.advance(5_000)
  t.match(link().sent.at(-1), { outcomes: [{ flag: 'a', errors: 0 }] })
})

t.test('close waits for the writes of a migration, and reports them', async t => {
  const { client, goLive, link } = start()
  const stage = flag('ledger', {
    kind: 'migration',
    variations: [
      { key: 'dual-write', value: 'dual-write' },
      { key: 'off', value: 'off' },
    ],
    fallthrough: { variation: 'dual-write' },
  })
  goLive([stage])
  const written: string[] = []
  const ledger = client.migrate('ledger', {
    write: [
      async (entry: string) => void written.push(`old ${entry}`),
      async entry => {
        for (let i = 0; i < 5; i++) await new Promise(setImmediate)
        written.push(`new ${entry}`)
      },
    ],
  })
  await ledger.write({ targetingKey: 'a-17' }, 'e1')
  t.same(written, ['old e1'])
  await client.close()
  t.same(written, ['old e1', 'new e1'])
  const row = { flag: 'ledger', variation: 'dual-write', allCalls: 1, allErrors: 0 }
  t.match(
    link().sent.find(({ type }) => type === 'counts'),
    {
      counts: [{ flag: 'ledger', variation: 'dual-write', count: 1 }],
      outcomes: [{ ...row, side: 'old' }, row, { ...row, side: 'new' }, { ...row, side: 'mismatch' }],
    },
  )
})
