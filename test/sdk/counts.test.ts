/** Sums of evaluations: exact, bounded, and always within what the server takes. */
import t, { type Test } from 'tap'
import { TRACKED_MAX } from '../../schemas/protocol.ts'
import { countsSchema, UPSTREAM_BYTES_MAX } from '../../schemas/stream.ts'
import { Counts, type Report, ROWS_MAX } from '../../sdk/counts.ts'
import { type Evaluation, type Outcome, outcomeOf } from '../../sdk/evaluator/evaluation.ts'

type Result = Pick<Evaluation, 'variation' | 'reason' | 'error' | 'unbucketed'>

const on: Result = { variation: 'on', reason: 'FALLTHROUGH' }
const off: Result = { variation: 'off', reason: 'OFF' }
const missing: Result = { variation: null, reason: 'ERROR', error: 'FLAG_NOT_FOUND' }
const mismatch: Result = { variation: null, reason: 'ERROR', error: 'TYPE_MISMATCH' }

/** As a prepared ruleset holds them: one per flag and result. */
const outcomes = new Map<string, Outcome>()

function add(counts: Counts, flag: string, result: Result): void {
  if (result.error !== undefined) return counts.addError(flag, result, 'boolean')
  const key = JSON.stringify([flag, result])
  const outcome = outcomes.get(key) ?? outcomeOf(flag, { value: true, type: 'boolean', flagVersion: 1, ...result })
  outcomes.set(key, outcome)
  counts.add(outcome)
}

/** Everything in several reports, each within the server's limits. */
function total(t: Test, reports: readonly Report[]): { count: number; dropped: number; rows: number } {
  let count = 0
  let dropped = 0
  let rows = 0
  const problems: string[] = []
  for (const report of reports) {
    if (!countsSchema.safeParse(report).success) problems.push('shape')
    if (Buffer.byteLength(JSON.stringify(report)) > UPSTREAM_BYTES_MAX) problems.push('size')
    for (const row of report.counts) count += row.count
    rows += report.counts.length
    dropped += report.dropped
  }
  t.same(problems, [])
  return { count, dropped, rows }
}

t.test('sums per flag, variation and reason, and starts anew once taken', async t => {
  const counts = new Counts()
  for (let i = 0; i < 5; i++) add(counts, 'a', on)
  add(counts, 'a', off)
  add(counts, 'b', { variation: 'on', reason: 'RULE_MATCH', unbucketed: true })
  add(counts, 'b', { variation: 'on', reason: 'RULE_MATCH' })
  for (let i = 0; i < 3; i++) add(counts, 'x', missing)
  add(counts, 'y', missing)
  t.same(counts.take(), [
    {
      type: 'counts',
      dropped: 0,
      counts: [
        { flag: 'a', variation: 'on', reason: 'FALLTHROUGH', count: 5 },
        { flag: 'a', variation: 'off', reason: 'OFF', count: 1 },
        { flag: 'b', variation: 'on', reason: 'RULE_MATCH', count: 2, unbucketed: 1 },
        { flag: 'x', variation: null, reason: 'ERROR', error: 'FLAG_NOT_FOUND', count: 3 },
        { flag: 'y', variation: null, reason: 'ERROR', error: 'FLAG_NOT_FOUND', count: 1 },
      ],
      unknownOperators: [],
    },
  ])
  t.same(counts.take(), [])
  add(counts, 'a', on)
  t.equal(counts.take()[0]?.counts[0]?.count, 1, 'a known result is counted from nought again')
})

t.test('errors are told apart by code, and wrong types by the type asked for', async t => {
  const counts = new Counts()
  counts.addError('a', mismatch, 'string')
  counts.addError('a', mismatch, 'number')
  counts.addError('a', missing, 'number')
  counts.addError('a', mismatch, 'string')
  counts.addError('a', missing, 'string')
  const error = { flag: 'a', variation: null, reason: 'ERROR' }
  const rows = [
    { ...error, error: 'TYPE_MISMATCH', asked: 'string', count: 2 },
    { ...error, error: 'TYPE_MISMATCH', asked: 'number', count: 1 },
    { ...error, error: 'FLAG_NOT_FOUND', count: 2 },
  ]
  const [report] = counts.take()
  t.same(report?.counts, rows)
  counts.giveBack(report!)
  t.same(counts.take()[0]?.counts, rows, 'and stay so when a report is given back')
})

t.test('what was counted before there was a ruleset is void, however much it is', async t => {
  const counts = new Counts()
  for (let i = 0; i < ROWS_MAX + 5; i++) add(counts, `unknown-${i}`, missing)
  add(counts, 'a', on)
  counts.clear()
  t.same(counts.take(), [])
})

t.test('a report that could not be sent is added to what came since', async t => {
  const counts = new Counts()
  add(counts, 'a', on)
  const [report] = counts.take()
  add(counts, 'a', on)
  counts.giveBack(report!)
  t.match(counts.take(), [{ counts: [{ flag: 'a', count: 2 }] }])
})

t.test('a change of the ruleset keeps the sums', async t => {
  const counts = new Counts()
  add(counts, 'a', on)
  add(counts, 'a', off)
  counts.collect()
  outcomes.clear()
  add(counts, 'a', on)
  t.match(counts.take(), [
    {
      counts: [
        { flag: 'a', variation: 'on', count: 2 },
        { flag: 'a', variation: 'off', count: 1 },
      ],
    },
  ])
})

t.test('many rows are split into messages that the server takes, a few at a time', async t => {
  const counts = new Counts()
  const flags = 9_000
  for (let i = 0; i < flags; i++) add(counts, `${'long-'.repeat(20)}${i}`, { variation: 'on', reason: 'FALLTHROUGH' })
  let seen = 0
  for (let reports = counts.take(), rounds = 0; reports.length > 0; reports = counts.take(), rounds++) {
    t.ok(reports.length <= 5 && rounds < 20)
    seen += total(t, reports).count
  }
  t.equal(seen, flags, 'none is lost')
})

t.test('what does not fit is dropped and counted', async t => {
  const counts = new Counts()
  const evaluations = 2 * ROWS_MAX + 500
  for (let i = 0; i < evaluations; i++) add(counts, `unknown-${i}`, missing)
  for (let i = 0; i < 50_000; i++) add(counts, `flag-${i}`, { variation: 'on', reason: 'FALLTHROUGH' })
  add(counts, 'k'.repeat(5_000), missing)
  add(counts, undefined as unknown as string, missing)
  let count = 0
  let dropped = 0
  let rows = 0
  for (let reports = counts.take(); reports.length > 0; reports = counts.take()) {
    const sums = total(t, reports)
    count += sums.count
    dropped += sums.dropped
    rows += sums.rows
  }
  t.equal(count + dropped, evaluations + 50_002)
  t.equal(rows, ROWS_MAX)
})

t.test('operators that are not known are said once, and again to who has not heard them', async t => {
  const counts = new Counts()
  counts.setUnknownOperators([])
  t.same(counts.take(), [])
  counts.setUnknownOperators([{ op: 'soundsLike', where: 'flag a' }])
  t.match(counts.take(), [{ counts: [], unknownOperators: [{ op: 'soundsLike', where: 'flag a' }] }])
  t.same(counts.take(), [])
  counts.repeatUnknownOperators()
  t.equal(counts.take().length, 1)
  counts.setUnknownOperators(Array.from({ length: 500 }, (_, i) => ({ op: `op-${i}`.repeat(50), where: 'w'.repeat(1_000) })))
  t.equal(total(t, counts.take()).rows, 0)
})

t.test('tracked events are counted and summed, bounded, and given back like the rest', async t => {
  const counts = new Counts()
  counts.track('purchase', 20)
  counts.track('purchase', -5.5)
  counts.track('purchase', undefined)
  counts.track('purchase', Number.NaN)
  for (const name of ['', 'x'.repeat(129), undefined, null, {}] as string[]) counts.track(name, 1)
  const [report] = counts.take()
  t.match(report, { dropped: 5, counts: [], tracked: [{ event: 'purchase', count: 4, value: 14.5 }] })
  t.same(counts.take(), [], 'taken')
  counts.giveBack(report!)
  counts.track('purchase', Number.MAX_VALUE)
  counts.track('purchase', Number.MAX_VALUE)
  t.match(counts.take()[0]?.tracked, [{ count: 6, value: Number.MAX_VALUE }], 'JSON has no infinity')
  add(counts, 'a', on)
  counts.track('early', 1)
  counts.clear()
  t.match(counts.take(), [{ counts: [], tracked: [{ event: 'early', count: 1 }] }], 'events are true before there is a ruleset')
})

t.test('however long the names of tracked events, every report is within the limits', async t => {
  const counts = new Counts()
  for (let i = 0; i < TRACKED_MAX + 10; i++) counts.track(`\u0001`.repeat(124) + String(i).padStart(4, '0'), 0.1)
  for (let i = 0; i < 1_500; i++) add(counts, `flag-${i}`, on)
  const reports = counts.take()
  t.match(total(t, reports), { count: 1_500, dropped: 10 })
  t.equal(
    reports.reduce((sum, { tracked }) => sum + (tracked?.length ?? 0), 0),
    TRACKED_MAX,
  )
})
