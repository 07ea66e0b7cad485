/** Properties: whatever is sent, a verdict comes of it; and nothing but the bytes that were signed is genuine. */
import fc from 'fast-check'
import t from 'tap'
import { HOOK_SOURCES, type Hook } from '../../../schemas/hook.ts'
import { type Judged, judge } from '../../../server/hooks/judge.ts'
import type { Received } from '../../../server/hooks/signatures.ts'
import { openSns } from '../../../server/hooks/sns.ts'
import { completeHook } from '../../../server/hooks/validate.ts'
import { manualClock } from '../../clock.ts'
import { runs } from '../../runs.ts'
import { startServer } from '../start.ts'
import { deliver, type Fixture, fixtures, HOOKS } from './fixtures.ts'

const all = fixtures()

function hookOf({ key, hook }: Pick<Fixture, 'key' | 'hook'>): Hook {
  return completeHook({ key, ...hook } as unknown as Parameters<typeof completeHook>[0])
}

function receivedOf(body: Buffer, headers: Readonly<Record<string, string>>): Received {
  return {
    pathSecret: null,
    body,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    remote: '',
  }
}

/** Judged as at the moment that a fixture arrives. */
async function judged(
  fixture: Pick<Fixture, 'key' | 'hook' | 'secret' | 'certificate' | 'at'>,
  received: Received,
  isUnproved: boolean,
): Promise<Judged> {
  const clock = manualClock(Date.parse(fixture.at))
  const sns = openSns({ clock, fetch: () => Promise.resolve({ status: 200, body: Buffer.from(fixture.certificate ?? '') }) })
  const secrets = { readAll: () => Promise.resolve(fixture.secret === undefined ? [] : [fixture.secret]) }
  return judge(hookOf(fixture), received, { secrets, sns, now: clock.now(), isUnproved })
}

/** A sample with something in it replaced, added or taken away: close enough to the real thing to get far. */
function mutated(value: unknown): fc.Arbitrary<unknown> {
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(
      '__proto__',
      'constructor',
      '\ud800',
      '',
      'x'.repeat(20_000),
      1e308,
      -1,
      '0001-01-01T00:00:00Z',
      '+275760-09-13T00:00:00Z',
      'firing',
    ),
  )
  if (Array.isArray(value)) {
    const items = value as readonly unknown[]
    return fc.oneof(odd, fc.tuple(...items.map(item => fc.oneof({ weight: 3, arbitrary: fc.constant(item) }, mutated(item)))))
  }
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([name, item]) =>
      fc.tuple(fc.constant(name), fc.oneof({ weight: 6, arbitrary: fc.constant(item as unknown) }, mutated(item))),
    )
    return fc.oneof({ weight: 9, arbitrary: fc.tuple(...fields).map(pairs => Object.fromEntries(pairs) as unknown) }, odd)
  }
  return odd
}

t.test('no body makes any source fail', async t => {
  for (const source of HOOK_SOURCES) {
    const samples = all.filter(fixture => fixture.hook.source === source)
    const bodies = fc.oneof(
      ...samples.map(fixture => mutated(fixture.payload).map(value => Buffer.from(JSON.stringify(value)))),
      fc.jsonValue().map(value => Buffer.from(JSON.stringify(value))),
      fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...samples), bodies, async (fixture, body) => {
        const { verdict, reason, reading } = await judged(fixture, receivedOf(body, fixture.headers), true)
        if (verdict !== 'accepted' && verdict !== 'malformed') throw new Error(verdict)
        if (verdict === 'malformed' && reason === '') throw new Error('it does not say why')
        for (const alert of reading.alerts) {
          if (alert.dedupKey === '' || alert.title === '' || !alert.title.isWellFormed() || !alert.description.isWellFormed())
            throw new Error('odd texts')
          if (Object.keys(alert.labels).length > 64 || Object.values(alert.labels).some(label => label.length > 1_024))
            throw new Error('labels')
          for (const at of [alert.startsAt, alert.endsAt]) if (at !== null) new Date(at).toISOString()
        }
      }),
      runs(200),
    )
  }
  t.equal(({} as { isAdmin?: unknown }).isAdmin, undefined)
})

t.test('no body makes the server fail', async t => {
  const server = await startServer(t, { clock: manualClock(Date.parse('2026-11-21T04:00:00Z')), config: { apiLimit: 'off' } })
  for (const source of HOOK_SOURCES.filter(each => each !== 'cloudwatch-sns')) {
    const sample = all.find(fixture => fixture.hook.source === source)!
    const { body: made } = await server.call('POST', HOOKS, { key: source, source, auth: 'path' })
    await fc.assert(
      fc.asyncProperty(mutated(sample.payload), async value => {
        const { status, body } = await deliver(server, `${made.hook.url}.${made.secret}`, {
          body: JSON.stringify(value),
          headers: sample.headers,
        })
        if (status !== 200 && status !== 400) throw new Error(`${status} ${JSON.stringify(body)}`)
      }),
      runs(15),
    )
  }
  const { alerts } = (await server.call('GET', `${HOOKS.replace('/hooks', '/alerts')}?limit=200`)).body
  t.ok(Array.isArray(alerts), 'and what came of it can be read')
})

t.test('a signed delivery with one byte changed is refused', async t => {
  for (const fixture of all.filter(each => each.hook.auth === 'signature')) {
    const bytes = Buffer.from(fixture.body)
    t.equal((await judged(fixture, receivedOf(bytes, fixture.headers), false)).verdict, 'accepted', fixture.key)
    // What SNS does not sign may be anything: the place of the signature within the body, the address to unsubscribe.
    const end = fixture.hook.source === 'cloudwatch-sns' ? bytes.indexOf('"SignatureVersion"') : bytes.length
    const unsubscribe = bytes.indexOf('"UnsubscribeURL"')
    const most = unsubscribe === -1 ? end : Math.min(end, unsubscribe)
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: most - 1 }), fc.integer({ min: 1, max: 255 }), async (i, change) => {
        const altered = Buffer.from(bytes)
        altered[i] = altered[i]! ^ change
        const { verdict } = await judged(fixture, receivedOf(altered, fixture.headers), false)
        if (verdict === 'accepted') throw new Error(`byte ${i}`)
      }),
      runs(60),
    )
    const header = Object.keys(fixture.headers).find(name => name.endsWith('signature'))
    if (header === undefined) continue
    const signature = fixture.headers[header]!
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 30 }), fc.constantFrom(...'0123456789abcdef'), async (i, digit) => {
        // Behind "v1=" or "sha256=" and before the padding, where every digit counts.
        const place = signature.length - 40 + i
        if (signature[place]!.toLowerCase() === digit) return
        const altered = `${signature.slice(0, place)}${digit}${signature.slice(place + 1)}`
        const { verdict } = await judged(fixture, receivedOf(bytes, { ...fixture.headers, [header]: altered }), false)
        if (verdict !== 'bad-signature') throw new Error(altered)
      }),
      runs(30),
    )
  }
})
