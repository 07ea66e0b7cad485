import t from 'tap'
import type { Change } from '../../../schemas/change.ts'
import { changeMessage, changesMessage, rulesetOpening, type Step, stepOf } from '../../../server/stream/messages.ts'
import { textFrame, textFrameHeader } from '../../../server/stream/frame.ts'
import { append, emptyRecent, fill, hashAt, RECENT_BYTES_MAX, RECENT_STEPS_MAX, stepsFrom } from '../../../server/stream/recent.ts'
import { openTokenBucket } from '../../../server/stream/tokenbucket.ts'
import { manualClock } from '../../clock.ts'

const entry = (revision: number, ...touched: unknown[]): Step => {
  return { from: revision - 1, fromHash: `h${revision - 1}`, revision, hash: `h${revision}`, touched: touched as Step['touched'] }
}
const kept = (step: Step, bytes = 10): { step: Step; bytes: number } => ({ step, bytes })
const numbers = (steps: readonly Step[]): number[] => steps.map(step => step.revision)

t.test('the history gives what follows a revision', async t => {
  const recent = emptyRecent('e1', 5, 'h5')
  t.match(recent, { floor: 5, isFilled: false })
  for (const revision of [6, 7, 8]) append(recent, 'e1', entry(revision), 10)
  t.strictSame(numbers(stepsFrom(recent, 5)), [6, 7, 8])
  t.strictSame(numbers(stepsFrom(recent, 7)), [8])
  t.strictSame(
    [4, 5, 6, 8, 9].map(revision => hashAt(recent, revision)),
    [null, 'h5', 'h6', 'h8', null],
  )
  t.match(recent, { floor: 5, revision: 8, bytes: 30 })
})

t.test('older entries are put before it, as far as they follow one another', async t => {
  const recent = emptyRecent('e1', 5, 'h5')
  append(recent, 'e1', entry(6), 10)
  fill(recent, [kept(entry(2)), kept(entry(4)), kept(entry(5)), kept(entry(6))])
  t.match(recent, { floor: 3, isFilled: true })
  t.strictSame(numbers(stepsFrom(recent, 3)), [4, 5, 6])
})

t.test('a gap or a new epoch starts over', async t => {
  for (const [epoch, revision] of [
    ['e1', 9],
    ['e2', 7],
    ['e2', 2],
  ] as const) {
    const recent = emptyRecent('e1', 5, 'h5')
    append(recent, 'e1', entry(6), 10)
    append(recent, epoch, entry(revision), 10)
    t.match(recent, { epoch, floor: revision - 1, revision, bytes: 10, isFilled: true })
    t.equal(hashAt(recent, revision - 1), `h${revision - 1}`)
    t.equal(hashAt(recent, revision - 2), null)
    t.strictSame(numbers(stepsFrom(recent, revision - 1)), [revision])
  }
})

t.test('the history is bounded in entries and in bytes', async t => {
  const many = emptyRecent('e1', 0, 'h0')
  for (let revision = 1; revision <= RECENT_STEPS_MAX + 10; revision++) append(many, 'e1', entry(revision), 1)
  t.match(many, { floor: 10, bytes: RECENT_STEPS_MAX })
  t.strictSame(numbers(stepsFrom(many, RECENT_STEPS_MAX + 9)), [RECENT_STEPS_MAX + 10])
  const large = emptyRecent('e1', 0, 'h0')
  for (let revision = 1; revision <= 10; revision++) append(large, 'e1', entry(revision), RECENT_BYTES_MAX / 4)
  t.match(large, { floor: 6, bytes: RECENT_BYTES_MAX })
  const huge = emptyRecent('e1', 0, 'h0')
  append(huge, 'e1', entry(1), RECENT_BYTES_MAX + 1)
  t.match(huge, { floor: 1, revision: 1, bytes: 0 })
  const filled = emptyRecent('e1', 3, 'h3')
  fill(filled, [kept(entry(2), RECENT_BYTES_MAX), kept(entry(3), 10)])
  t.match(filled, { floor: 2, bytes: 10 })
})

t.test('several changes as one carry the newest state of everything touched', async t => {
  const edit = (type: string, key: string, version: number | null): unknown => ({
    type,
    key,
    before: null,
    after: version === null ? null : { key, version },
  })
  const change = (revision: number, ...edits: unknown[]): Step =>
    stepOf({ revision, hash: `${'a'.repeat(63)}${revision}`, previousHash: `${revision - 1}${'b'.repeat(63)}`, edits } as unknown as Change)
  const steps = [
    change(4, edit('flag', 'a', 1), edit('segment', 'a', 1)),
    change(5, edit('flag', 'a', 2), edit('flag', 'b', 1), edit('project', 'p', 1)),
    change(6, edit('flag', 'b', null), edit('segment', 's', null), edit('flag', 'c', null)),
    change(7, edit('flag', 'c', 9)),
  ]
  t.strictSame(JSON.parse(changesMessage('e1', steps)), {
    type: 'changes',
    epoch: 'e1',
    from: 3,
    revision: 7,
    hash: 'a'.repeat(16),
    flags: [
      { key: 'a', version: 2 },
      { key: 'c', version: 9 },
    ],
    segments: [{ key: 'a', version: 1 }],
    removedFlags: ['b'],
    removedSegments: ['s'],
  })
  const [first] = steps
  if (first === undefined) return
  t.match(JSON.parse(changeMessage('e1', first, true)), { type: 'change', from: 3, revision: 4, volatile: true })
  t.notMatch(JSON.parse(changeMessage('e1', first, false)), { volatile: true })
  t.match(JSON.parse(`${rulesetOpening(true)}"revision":4}`), { type: 'ruleset', reset: true, revision: 4 })
})

t.test('frames are as RFC 6455 has them, at every length of header', async t => {
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]) {
    const frame = textFrame('x'.repeat(length))
    const header = textFrameHeader(length)
    t.equal(frame[0], 0x81, 'one final text frame')
    t.ok(frame.subarray(0, header.length).equals(header))
    const small = (frame[1] ?? 0) & 0x7f
    t.equal((frame[1] ?? 0) & 0x80, 0, 'not masked')
    const said = small === 127 ? Number(frame.readBigUInt64BE(2)) : small === 126 ? frame.readUInt16BE(2) : small
    t.equal(said, length)
    t.equal(frame.length, header.length + length)
  }
  t.equal(textFrame('ä€😀').length, 2 + 9, 'lengths are bytes')
})

t.test('a token bucket admits its rate, and no more than a second of it at once', async t => {
  const clock = manualClock()
  const bucket = openTokenBucket(clock, 10)
  const taken = (): number => {
    let count = 0
    while (bucket.take()) count++
    return count
  }
  t.equal(taken(), 10)
  clock.advance(500)
  t.equal(taken(), 5)
  clock.advance(60_000)
  t.equal(taken(), 10)
})
