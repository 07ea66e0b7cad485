/** Sums of outcomes: a context counts once per slice, all is bounded, and every message is one the server takes. */
import fc from 'fast-check'
import t from 'tap'
import { MARK_VALUES, MARKS_MAX, OUTCOMES_MAX } from '../../schemas/protocol.ts'
import { countsSchema, UPSTREAM_BYTES_MAX } from '../../schemas/stream.ts'
import { Counts } from '../../sdk/counts.ts'
import { attributeOf } from '../../sdk/evaluator/attribute.ts'
import { type Outcome, outcomeOf } from '../../sdk/evaluator/evaluation.ts'
import { ANONYMOUS_MAX, CONTEXTS_MAX, type OutcomeRow, Outcomes, SUMS_MAX } from '../../sdk/outcomes.ts'
import type { Context, Reported } from '../../sdk/types.ts'
import { runs } from '../runs.ts'

const byAccount = attributeOf('/account/id')

function given(flag: string, variation: string | null, by = byAccount): Outcome {
  return outcomeOf(flag, { value: true, variation, reason: 'FALLTHROUGH', type: 'boolean', flagVersion: 1, rollout: true }, by)
}

const account = (id: string | number): Context => ({ targetingKey: 'somebody', account: { id } })

t.test('a context counts once in a slice, as an error once and as slow once, whatever it calls', async t => {
  const outcomes = new Outcomes()
  const on = given('ledger', 'on')
  outcomes.add(on, account('a'), '', { ok: true, ms: 10 })
  outcomes.add(on, account('a'), '', { ok: false, ms: 5.5 })
  outcomes.add(on, account('a'), '', { ok: false, slow: true })
  outcomes.add(on, account('b'), '', { ok: true, slow: true })
  outcomes.add(on, account('b'), 'old', { ok: false })
  outcomes.add(given('ledger', 'off'), account('a'), '', { ok: true })
  const row = { flag: 'ledger', variation: 'on' }
  const told = outcomes.take().map(({ failed: _failed, slowed: _slowed, ...one }) => one)
  t.same(told, [
    { ...row, contexts: 2, errors: 1, slow: 2, allCalls: 4, allErrors: 2, allSlow: 2, totalMs: 15.5 },
    { ...row, side: 'old', contexts: 1, errors: 1, slow: 0, allCalls: 1, allErrors: 1, allSlow: 0, totalMs: 0 },
    { ...row, variation: 'off', contexts: 1, errors: 0, slow: 0, allCalls: 1, allErrors: 0, allSlow: 0, totalMs: 0 },
  ])
  t.same(outcomes.take(), [], 'gone once taken')
  outcomes.add(on, account('a'), '', { ok: false })
  t.match(outcomes.take(), [{ contexts: 0, errors: 0, allCalls: 1, allErrors: 1 }], 'taking does not end the slice')
  outcomes.endSlice()
  outcomes.add(on, account('a'), '', { ok: false })
  t.match(outcomes.take(), [{ contexts: 1, errors: 1, allCalls: 1 }])
})

t.test('sixteen bits of a hash tell who failed and who was slow, once each, as many as fit', async t => {
  const outcomes = new Outcomes()
  const on = given('ledger', 'on')
  for (const id of ['a', 'b', 'a']) outcomes.add(on, account(id), '', { ok: false, slow: id === 'b' })
  outcomes.add(on, account('c'), '', { ok: true })
  outcomes.add(on, { targetingKey: 'nobody' }, '', { ok: false })
  const rows = outcomes.take()
  const { failed, slowed } = rows[0]!
  t.equal(rows[0]?.errors, 3)
  t.equal(failed?.length, 2, 'those without a key have none')
  t.same(slowed, [failed?.[1]])
  t.ok(failed?.every(mark => mark >= 0 && mark < MARK_VALUES))
  outcomes.giveBack(rows)
  for (let i = 0; i < 2 * MARKS_MAX; i++) outcomes.add(on, account(i), '', { ok: false })
  const next = outcomes.take()[0]
  t.equal(next?.errors, 3 + 2 * MARKS_MAX)
  t.equal(next?.failed?.length, MARKS_MAX)
  t.same(next?.failed?.slice(0, 2), failed, 'what could not be sent is sent first')
  outcomes.endSlice()
  outcomes.add(given('ledger', 'off'), account('a'), '', { ok: false })
  t.same(outcomes.take()[0]?.failed, [failed?.[0]], 'the same in every slice and variation')
})

t.test('what the rollout chose by tells contexts apart, else the targeting key', async t => {
  const outcomes = new Outcomes()
  for (const user of ['x', 'y', 'z']) outcomes.add(given('f', 'on'), { targetingKey: user, account: { id: 7 } }, '', { ok: true })
  for (const user of ['x', 'y', 'z']) outcomes.add(given('g', 'on', null), { targetingKey: user, account: { id: 7 } }, '', { ok: true })
  t.match(outcomes.take(), [
    { flag: 'f', contexts: 1, allCalls: 3 },
    { flag: 'g', contexts: 3, allCalls: 3 },
  ])
})

t.test('a call without a key counts for itself, up to a bound', async t => {
  const outcomes = new Outcomes()
  for (let i = 0; i < ANONYMOUS_MAX + 5; i++) outcomes.add(given('f', 'off', null), {}, '', { ok: false })
  t.match(outcomes.take(), [{ contexts: ANONYMOUS_MAX, errors: ANONYMOUS_MAX, allCalls: ANONYMOUS_MAX + 5 }])
})

t.test('with more contexts than are told apart each call counts for itself', async t => {
  const outcomes = new Outcomes()
  for (let i = 0; i < CONTEXTS_MAX; i++) outcomes.add(given('f', 'on'), account(i), '', { ok: true })
  for (let i = 0; i < 3; i++) outcomes.add(given('f', 'on'), account('one more'), '', { ok: false })
  outcomes.add(given('f', 'on'), account(5), '', { ok: true })
  const [row] = outcomes.take()
  // A few of so many share a hash.
  t.ok(row!.contexts > CONTEXTS_MAX * 0.999 && row!.contexts <= CONTEXTS_MAX + 3, `${row!.contexts} contexts`)
  t.equal(row!.errors, 3)
})

t.test('what is no duration is not summed, and one without end is cut', async t => {
  const outcomes = new Outcomes()
  for (const ms of [NaN, -5, Infinity, '7', undefined]) outcomes.add(given('f', 'on'), account(1), '', { ok: true, ms } as Reported)
  t.match(outcomes.take(), [{ allCalls: 5, totalMs: 86_400_000 }])
})

t.test('more flags than there is room for are dropped and counted, and forgotten ones make room', async t => {
  const outcomes = new Outcomes()
  for (let i = 0; i < SUMS_MAX + 10; i++) outcomes.add(given(`f${i}`, 'on'), account(1), '', { ok: true })
  outcomes.add(given('broken', null), account(1), '', { ok: true })
  t.equal(outcomes.takeDropped(), 10)
  const seen = new Set<string>()
  for (let rows = outcomes.take(); rows.length > 0; rows = outcomes.take()) {
    t.ok(rows.length <= OUTCOMES_MAX)
    for (const row of rows) seen.add(row.flag)
  }
  t.equal(seen.size, SUMS_MAX, 'leftovers wait, none is lost')
  outcomes.endSlice()
  outcomes.add(given('late', 'on'), account(1), '', { ok: true })
  t.match(outcomes.take(), [{ flag: 'late' }])
})

t.test('messages are within what the server takes, and what could not be sent is sent later', async t => {
  const outcomes = new Outcomes()
  const counts = new Counts(outcomes)
  const long = (i: number): string => `${i}`.padStart(128, 'k')
  for (let i = 0; i < 800; i++) outcomes.add(given(long(i), long(i)), account(1), 'mismatch', { ok: false, ms: 1 / 3 })
  for (let i = 0; i < 800; i++) counts.addError(long(i), { error: 'FLAG_NOT_FOUND' }, null)
  let rows = 0
  let evaluations = 0
  for (let reports = counts.take(); reports.length > 0; reports = counts.take()) {
    t.ok(reports.length <= 5)
    t.ok(
      reports.every(report => report.counts.length > 0 || (report.outcomes?.length ?? 0) > 0),
      'none is empty',
    )
    for (const [i, report] of reports.entries()) {
      t.ok(countsSchema.safeParse(report).success && Buffer.byteLength(JSON.stringify(report)) <= UPSTREAM_BYTES_MAX)
      // As if the second of each failed once.
      if (i === 1 && rows < 400) {
        counts.giveBack(report)
        continue
      }
      rows += report.outcomes?.length ?? 0
      for (const { count } of report.counts) evaluations += count
    }
  }
  t.equal(rows, 800)
  t.equal(evaluations, 800)
})

/** Slow and obvious: remembers every call of the slice. */
class Twin {
  #calls: { name: string; key: string | null; ok: boolean; slow: boolean; ms: number; isSent: boolean }[] = []

  add(name: string, key: string | null, ok: boolean, slow: boolean, ms: number): void {
    this.#calls.push({ name, key, ok, slow, ms, isSent: false })
  }

  take(): Record<string, number[]> {
    const rows: Record<string, number[]> = {}
    const distinct = (name: string, isSent: boolean, matches: (call: { ok: boolean; slow: boolean }) => boolean): Set<string> =>
      new Set(
        this.#calls.flatMap((call, i) => (call.name === name && (!isSent || call.isSent) && matches(call) ? [call.key ?? `#${i}`] : [])),
      )
    for (const name of new Set(this.#calls.filter(call => !call.isSent).map(call => call.name))) {
      const fresh = this.#calls.filter(call => !call.isSent && call.name === name)
      const added = (matches: (call: { ok: boolean; slow: boolean }) => boolean): number =>
        distinct(name, false, matches).size - distinct(name, true, matches).size
      rows[name] = [
        added(() => true),
        added(call => !call.ok),
        added(call => call.slow),
        fresh.length,
        fresh.filter(call => !call.ok).length,
        fresh.filter(call => call.slow).length,
        fresh.reduce((total, call) => total + call.ms, 0),
      ]
    }
    for (const call of this.#calls) call.isSent = true
    return rows
  }

  endSlice(): void {
    this.#calls = this.#calls.filter(call => !call.isSent)
  }
}

t.test('the sums equal those of a slow twin that remembers every call', async t => {
  const call = fc.record({
    flag: fc.constantFrom('a', 'b'),
    variation: fc.constantFrom('on', 'off'),
    side: fc.constantFrom('', 'old', 'new'),
    key: fc.constantFrom('k1', 'k2', 'k3', null),
    ok: fc.boolean(),
    slow: fc.boolean(),
    ms: fc.integer({ min: 0, max: 9 }),
  })
  const step = fc.oneof(
    { weight: 8, arbitrary: call },
    { weight: 1, arbitrary: fc.constant('take' as const) },
    { weight: 1, arbitrary: fc.constant('slice' as const) },
    { weight: 1, arbitrary: fc.constant('failed' as const) },
  )
  const named = (rows: readonly OutcomeRow[]): Record<string, number[]> =>
    Object.fromEntries(
      rows.map(row => [
        `${row.flag} ${row.variation} ${row.side ?? ''}`,
        [row.contexts, row.errors, row.slow, row.allCalls, row.allErrors, row.allSlow, row.totalMs],
      ]),
    )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      const outcomes = new Outcomes()
      const twin = new Twin()
      for (const step of [...steps, 'take' as const]) {
        if (step === 'take') t.strictSame(named(outcomes.take()), twin.take())
        else if (step === 'failed') outcomes.giveBack(outcomes.take())
        else if (step === 'slice') {
          // As the client does: what is to be sent is sent before.
          t.strictSame(named(outcomes.take()), twin.take())
          outcomes.endSlice()
          twin.endSlice()
        } else {
          const { flag, variation, side, key, ok, slow, ms } = step
          outcomes.add(given(flag, variation), key === null ? {} : account(key), side, { ok, slow, ms })
          twin.add(`${flag} ${variation} ${side}`, key, ok, slow, ms)
        }
      }
    }),
    runs(300),
  )
})
