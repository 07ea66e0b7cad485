/** Migrations: who is called at which stage, whose answer the caller has, and that nothing of the other side surfaces. */
import fc from 'fast-check'
import t from 'tap'
import { STAGES } from '../../schemas/values.ts'
import { WAITING_MAX } from '../../sdk/beside.ts'
import { type Outcome, outcomeOf } from '../../sdk/evaluator/evaluation.ts'
import { Listeners } from '../../sdk/listeners.ts'
import { Migrations, MISMATCHES_MAX, ROLES } from '../../sdk/migration.ts'
import { type OutcomeRow, Outcomes } from '../../sdk/outcomes.ts'
import type { Context, Mismatch, Side, Stage } from '../../sdk/types.ts'
import { manualClock } from '../clock.ts'
import { runs } from '../runs.ts'

function outcome(value: string): Outcome {
  return outcomeOf('ledger', { value, variation: value, reason: 'FALLTHROUGH', type: 'string', flagVersion: 1 })
}

const context: Context = { targetingKey: 'a-17' }

/** Migrations on a clock that is moved by hand, whose stage is what the test says. */
function start(stage: Stage | Outcome = 'off', random: () => number = () => 0) {
  let now = typeof stage === 'string' ? outcome(stage) : stage
  const clock = manualClock()
  const outcomes = new Outcomes()
  const log: string[] = []
  const nothing = (): void => undefined
  const logger = { debug: nothing, info: nothing, warn: nothing, error: (text: string) => void log.push(text) }
  const listeners = new Listeners(logger)
  const mismatches: Mismatch[] = []
  listeners.on('mismatch', mismatch => void mismatches.push(mismatch))
  const migrations = new Migrations({ clock, random, outcomes, listeners, logger, decide: () => now })
  return {
    migrations,
    clock,
    outcomes,
    log,
    mismatches,
    be: (stage: string) => void (now = outcome(stage)),
    /** Calls and errors by side, once nothing runs any more. */
    async reported(): Promise<Record<string, [calls: number, errors: number]>> {
      await migrations.idle()
      return Object.fromEntries(outcomes.take().map((row: OutcomeRow) => [row.side ?? 'call', [row.allCalls, row.allErrors]]))
    },
  }
}

/** A promise whose end is in the test's hand. */
function gate<T>() {
  let open!: (value: T) => void
  let fail!: (error: Error) => void
  const promise = new Promise<T>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { promise, open, fail }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}

/** The stages as docs/migrations.md has them: who leads, and who runs beside. */
const TABLE: Record<Stage, { read: [Side, Side | null]; write: [Side, Side | null] }> = {
  off: { read: ['old', null], write: ['old', null] },
  'dual-write': { read: ['old', null], write: ['old', 'new'] },
  shadow: { read: ['old', 'new'], write: ['old', 'new'] },
  live: { read: ['new', 'old'], write: ['new', 'old'] },
  'ramp-down': { read: ['new', null], write: ['new', 'old'] },
  complete: { read: ['new', null], write: ['new', null] },
}

t.test('the stages are those that flags may have', async t => t.same(Object.keys(ROLES), STAGES))

for (const stage of STAGES)
  for (const operation of ['read', 'write'] as const) {
    const [lead, other] = TABLE[stage][operation]
    t.test(`${stage}: a ${operation} is the ${lead} side's, ${other === null ? 'alone' : `and the ${other} side runs beside`}`, async t => {
      for (const leadEnds of ['answers', 'fails', 'throws'] as const)
        for (const otherEnds of ['answers', 'differs', 'fails', 'throws', 'never ends'] as const) {
          const what = `the ${lead} side ${leadEnds}, the other ${otherEnds}`
          const { migrations, clock, mismatches, reported } = start(stage)
          const called: string[] = []
          const side = (name: Side) => (id: string) => {
            called.push(`${name} ${id}`)
            const ends = name === lead ? leadEnds : otherEnds
            if (ends === 'throws') throw new Error(name)
            if (ends === 'never ends') return new Promise<string>(() => undefined)
            return ends === 'fails' ? Promise.reject(new Error(name)) : Promise.resolve(ends === 'differs' ? 'another' : 'answer')
          }
          const sides = [side('old'), side('new')] as const
          const migration = migrations.migrate('ledger', { read: sides, write: sides })
          const answered = migration[operation](context, 'e1').then(
            answer => answer,
            (error: Error) => error,
          )
          const answer = await answered
          const leads = leadEnds === 'answers'
          if (leads) t.equal(answer, 'answer', what)
          else t.match(answer, { message: lead }, what)
          const isBoth = other !== null && (operation === 'read' || leads)
          await until(() => called.length === (isBoth ? 2 : 1))
          // Only where a call never ends does time decide.
          if (isBoth && otherEnds === 'never ends') clock.advance(10_000)
          const others = isBoth && otherEnds !== 'answers' && otherEnds !== 'differs' ? 1 : 0
          const bad = leads ? 0 : 1
          const isAgreed = operation === 'write' ? others === 0 : others === bad && (bad === 1 || otherEnds === 'answers')
          t.same(
            await reported(),
            {
              [lead]: [1, bad],
              call: [1, bad],
              ...(isBoth ? { [other]: [1, others], mismatch: [1, isAgreed ? 0 : 1] } : {}),
            },
            what,
          )
          t.same(called, isBoth ? [`${lead} e1`, `${other} e1`] : [`${lead} e1`], what)
          t.equal(mismatches.length, isBoth && !isAgreed ? 1 : 0, what)
          t.same(migration.status(), { running: 0, waiting: 0, dropped: 0 })
        }
    })
  }

t.test('the caller has the leading answer while the other side is still at it, and whatever becomes of that', async t => {
  for (const stage of ['shadow', 'live'] as const) {
    const { migrations, reported } = start(stage)
    const [old, its] = [gate<number>(), gate<number>()]
    const called: Side[] = []
    const side = (name: Side, answer: Promise<number>) => () => {
      called.push(name)
      return answer
    }
    const migration = migrations.migrate('ledger', { read: [side('old', old.promise), side('new', its.promise)] })
    const [lead, other] = stage === 'shadow' ? [old, its] : [its, old]
    const reading = migration.read(context)
    lead.open(5)
    t.equal(await reading, 5)
    t.equal(migration.status().running, 1)
    await until(() => called.length === 2)
    other.fail(new Error('too late to matter'))
    t.match(await reported(), { mismatch: [1, 1], call: [1, 0] })
  }
})

t.test('the other side begins in a turn of its own: one that blocks holds up nobody who has an answer', async t => {
  const { migrations } = start('shadow')
  const order: string[] = []
  const migration = migrations.migrate('ledger', {
    read: [
      () => 1,
      () => {
        order.push('other')
        return 1
      },
    ],
  })
  await migration.read(context)
  order.push('caller')
  await until(() => order.length === 2)
  t.same(order, ['caller', 'other'])
})

t.test('whatever the other side does, the caller gets what the leading side gave', async t => {
  const ending = fc.record({ fails: fc.boolean(), value: fc.integer({ min: 0, max: 2 }), turns: fc.integer({ min: 0, max: 4 }) })
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...STAGES),
      fc.array(fc.record({ write: fc.boolean(), old: ending, its: ending, account: fc.integer({ min: 0, max: 2 }) }), { maxLength: 12 }),
      fc.integer({ min: 1, max: 3 }),
      async (stage, calls, concurrency) => {
        const { migrations, reported } = start(stage)
        const side = (name: 'old' | 'its') => async (call: (typeof calls)[number]) => {
          const { fails, value, turns } = call[name]
          for (let i = 0; i < turns; i++) await new Promise(setImmediate)
          if (fails) throw new Error(`${name} ${value}`)
          return value
        }
        const sides = [side('old'), side('its')] as const
        const migration = migrations.migrate('ledger', { read: sides, write: sides, concurrency })
        await Promise.all(
          calls.map(async call => {
            const operation = call.write ? 'write' : 'read'
            const lead = TABLE[stage][operation][0] === 'old' ? 'old' : 'its'
            const { fails, value } = call[lead]
            const answer = migration[operation]({ targetingKey: `a-${call.account}` }, call)
            if (fails) await t.rejects(answer, { message: `${lead} ${value}` })
            else t.equal(await answer, value)
          }),
        )
        const rows = await reported()
        const failed = calls.filter(call => call[TABLE[stage][call.write ? 'write' : 'read'][0] === 'old' ? 'old' : 'its'].fails)
        if (calls.length > 0) t.same(rows.call, [calls.length, failed.length])
      },
    ),
    runs(100),
  )
})

t.test('writes reach the other side in the order they were made, one at a time for each account, and none that failed', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          account: fc.integer({ min: 0, max: 3 }),
          fails: fc.boolean(),
          leadTurns: fc.integer({ min: 0, max: 3 }),
          otherTurns: fc.integer({ min: 0, max: 5 }),
          otherFails: fc.boolean(),
        }),
        { maxLength: 25 },
      ),
      fc.integer({ min: 1, max: 4 }),
      async (writes, concurrency) => {
        const { migrations } = start('dual-write')
        const old = new Map<number, number[]>()
        const its = new Map<number, number[]>()
        const busy = new Set<number>()
        const note = (map: Map<number, number[]>, account: number, id: number): void =>
          void map.set(account, [...(map.get(account) ?? []), id])
        const turns = async (count: number): Promise<void> => {
          for (let i = 0; i < count; i++) await new Promise(setImmediate)
        }
        let most = 0
        const migration = migrations.migrate('ledger', {
          concurrency,
          write: [
            async ({ account, leadTurns, fails }: (typeof writes)[number], id: number) => {
              await turns(leadTurns)
              if (fails) throw new Error('refused')
              note(old, account, id)
            },
            async ({ account, otherTurns, otherFails }, id) => {
              t.notOk(busy.has(account), 'one at a time')
              busy.add(account)
              most = Math.max(most, busy.size)
              await turns(otherTurns)
              note(its, account, id)
              busy.delete(account)
              if (otherFails) throw new Error('refused')
            },
          ],
        })
        await Promise.allSettled(writes.map((write, id) => migration.write({ targetingKey: `a-${write.account}` }, write, id)))
        await migrations.idle()
        t.same([...its].sort(), [...old].sort())
        t.ok(most <= concurrency)
      },
    ),
    runs(100),
  )
})

t.test('a stage that changes in the middle of a call changes nothing of the call', async t => {
  const { migrations, be } = start('dual-write')
  const old = gate<string>()
  const called: string[] = []
  const side = (name: string) => () => {
    called.push(name)
    return name === 'old' ? old.promise : Promise.resolve('its')
  }
  const migration = migrations.migrate('ledger', { read: [side('old'), side('its')], write: [side('old'), side('its')] })
  const writing = migration.write(context)
  const reading = migration.read(context)
  be('complete')
  old.open('answer')
  t.equal(await writing, 'answer')
  t.equal(await reading, 'answer')
  await migrations.idle()
  t.same(called, ['old', 'old', 'its'], 'the write went to both, as it had begun')
  t.equal(await migration.read(context), 'its')
})

t.test('reads of the other side beyond the bound are dropped and counted, and say nothing of it', async t => {
  const { migrations, reported, mismatches } = start('shadow')
  const gates = Array.from({ length: 2 }, () => gate<number>())
  let calls = 0
  const migration = migrations.migrate('ledger', { concurrency: 2, read: [() => 1, () => gates[calls++]!.promise] })
  for (let i = 0; i < 5; i++) t.equal(await migration.read(context), 1)
  t.same(migration.status(), { running: 2, waiting: 0, dropped: 3 })
  for (const { open } of gates) open(1)
  t.same(await reported(), { old: [5, 0], call: [5, 0], new: [2, 0], mismatch: [2, 0] })
  t.equal(calls, 2)
  t.same(mismatches, [])
})

t.test('writes of the other side wait for their turn; what waits too long or is too much is dropped, counted and told', async t => {
  const { migrations, clock, reported, mismatches } = start('dual-write')
  let calls = 0
  const migration = migrations.migrate('ledger', {
    concurrency: 1,
    timeoutMs: 1_000,
    write: [() => 'done', () => (calls++ === 0 ? new Promise<string>(() => undefined) : 'done')],
  })
  t.equal(await migration.write(context), 'done')
  await until(() => calls === 1)
  clock.advance(1)
  for (let i = 0; i < WAITING_MAX + 3; i++) t.equal(await migration.write(context), 'done')
  t.same(migration.status(), { running: 1, waiting: WAITING_MAX, dropped: 3 })
  clock.advance(998)
  t.equal(migration.status().running, 1)
  clock.advance(1)
  t.same(await reported(), { old: [1_004, 0], call: [1_004, 0], new: [1_004, 4], mismatch: [1_004, 4] })
  t.same(
    mismatches.map(({ operation, why }) => `${operation} ${why}`),
    ['write dropped', 'write dropped', 'write dropped', 'write late'],
  )
  // Again, and this time the write that waits has no time left.
  calls = 0
  await migration.write(context)
  await until(() => calls === 1)
  await migration.write(context)
  clock.sleep(2_001)
  t.same(await reported(), { old: [2, 0], call: [2, 0], new: [2, 2], mismatch: [2, 2] })
  t.equal(calls, 1)
})

t.test('answers are compared deeply, or as the migration says, and a comparison that fails says nothing', async t => {
  const count = async (options: object, old: unknown, its: unknown): Promise<unknown> => {
    const { migrations, reported, log } = start('shadow')
    await migrations.migrate('ledger', { read: [() => old, () => its], ...options }).read(context)
    return (await reported()).mismatch ?? log[0]
  }
  t.same(await count({}, { a: [1, new Date(5)] }, { a: [1, new Date(5)] }), [1, 0])
  t.same(await count({}, { a: [1] }, { a: ['1'] }), [1, 1])
  t.same(await count({ compare: (a: number, b: number) => Math.abs(a - b) < 2 }, 1, 2), [1, 0])
  t.match(await count({ compare: () => Promise.reject(new Error('x')) }, 1, 2), /"ledger".*compare failed \(it answered a promise/)
  t.match(
    await count(
      {
        compare: () => {
          throw new Error('no balance')
        },
      },
      1,
      2,
    ),
    /compare failed \(no balance\)/,
  )
  t.match(
    await count(
      {
        snapshot: () => {
          throw new Error('no copy')
        },
      },
      1,
      2,
    ),
    /snapshot failed \(no copy\)/,
  )
})

t.test('the old answer comes first in a comparison, whichever side leads', async t => {
  for (const stage of ['shadow', 'live'] as const) {
    const { migrations } = start(stage)
    const seen: string[][] = []
    await migrations.migrate('ledger', { read: [() => 'old', () => 'its'], compare: (...both) => seen.push(both) > 0 }).read(context)
    await migrations.idle()
    t.same(seen, [['old', 'its']])
  }
})

t.test('what a caller does to its answer does not make the sides differ, with a snapshot', async t => {
  for (const snapshot of [structuredClone<{ balance: number }>, (answer: { balance: number }) => answer]) {
    const { migrations, reported } = start('shadow')
    const its = gate<{ balance: number }>()
    const migration = migrations.migrate('ledger', { read: [() => ({ balance: 5 }), () => its.promise], snapshot })
    const answer = await migration.read(context)
    answer.balance = 0
    its.open({ balance: 5 })
    t.same((await reported()).mismatch, [1, snapshot === structuredClone ? 0 : 1])
  }
})

t.test('a share of the reads is compared, the other side runs for all', async t => {
  let next = 0
  const { migrations, reported } = start('shadow', () => (next++ % 10) / 10)
  const migration = migrations.migrate('ledger', { read: [() => 1, () => 2], compareShare: 0.3 })
  for (let i = 0; i < 20; i++) await migration.read(context)
  t.same(await reported(), { old: [20, 0], call: [20, 0], new: [20, 0], mismatch: [6, 6] })
})

t.test('mismatches are told a few at a time, with a key only when asked for', async t => {
  for (const keys of [true, false]) {
    const { migrations, mismatches } = start('shadow')
    const migration = migrations.migrate('ledger', { read: [() => 1, () => 2], keys })
    for (let i = 0; i < MISMATCHES_MAX + 7; i++) await migration.read(context)
    await migrations.idle()
    t.equal(mismatches.length, MISMATCHES_MAX)
    const told = { flag: 'ledger', variation: 'shadow', stage: 'shadow', operation: 'read', why: 'differs', missed: 0 }
    t.same(mismatches[0], keys ? { ...told, key: 'a-17' } : told)
    migrations.endSlice()
    await migration.read(context)
    await migrations.idle()
    t.match(mismatches.at(-1), { missed: 7 })
  }
})

t.test('without a stage the old side runs alone, or what the migration says instead, and the log is told once', async t => {
  const missing = outcomeOf('', {
    value: undefined,
    variation: null,
    reason: 'ERROR',
    error: 'FLAG_NOT_FOUND',
    message: 'There is no such flag.',
    type: null,
    flagVersion: null,
  })
  for (const given of [missing, outcome('halfway'), outcome('constructor')]) {
    const { migrations, log } = start(given)
    const sides = [() => 'old', () => 'its'] as const
    const migration = migrations.migrate('ledger', { read: sides, write: sides })
    for (let i = 0; i < 3; i++) t.equal(await migration.read(context), 'old')
    t.equal(await migration.write(context), 'old')
    t.equal(migration.stage(context), 'off')
    t.equal(log.length, 1)
    t.match(log[0], given === missing ? /no such flag.*the stage off/ : /is no stage.*the stage off/)
    t.equal(await migrations.migrate('ledger', { read: sides, fallback: 'ramp-down' }).read(context), 'its')
  }
})

t.test("what is the caller's own fault is no failure of a side, and slow is what takes longer than it may", async t => {
  const { migrations, clock, outcomes } = start('dual-write')
  const migration = migrations.migrate('ledger', {
    slowMs: 50,
    isFailure: error => !(error instanceof RangeError),
    read: [
      (kind: 'missing' | 'broken' | 'slow') => {
        if (kind === 'missing') throw new RangeError('no such account')
        if (kind === 'broken') throw new Error('down')
        clock.advance(51)
      },
      () => undefined,
    ],
  })
  await t.rejects(migration.read(context, 'missing'), RangeError)
  await t.rejects(migration.read(context, 'broken'))
  await migration.read(context, 'slow')
  t.match(outcomes.take()[0], { side: 'old', allCalls: 3, allErrors: 1, allSlow: 1, totalMs: 51 })
})

t.test('a side that was not given rejects and says so', async t => {
  const { migrations } = start()
  await t.rejects(migrations.migrate('ledger', { read: [() => 1, () => 2] }).write(context), /no old write. Give write: \[old, new\]/)
  await t.rejects(migrations.migrate('ledger', undefined).read(context), TypeError)
})
