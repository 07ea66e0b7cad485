/**
 * Accounts that are not alike: some call a hundred times as often, some fail a hundred times as often, one always does, and
 * all of them are on every instance. What an SDK sums, the server adds up and the statistics conclude, together.
 */
import t from 'tap'
import { SLICE_MS } from '../../../schemas/protocol.ts'
import { openOutcomes } from '../../../server/outcomes/outcomes.ts'
import type { State } from '../../../server/log/types.ts'
import { begin, slice, verdict } from '../../../server/rollouts/statistics/process.ts'
import type { StatisticsState } from '../../../server/rollouts/statistics/types.ts'
import { type Outcome, outcomeOf } from '../../../sdk/evaluator/evaluation.ts'
import { type OutcomeRow, Outcomes } from '../../../sdk/outcomes.ts'
import { manualClock } from '../../clock.ts'
import { randomFrom } from '../../random.ts'
import { recordingLogger } from '../log/open.ts'
import { noise } from './simulation.ts'

const LOG = 'default/development'
const ACCOUNTS = 250
const INSTANCES = 4
const CALLS = 250
/** Half an hour, over shares of 5, 20 and 50 %. */
const SLICES = 180
const SHARES = [0.05, 0.2, 0.5] as const
const BY = { service: 'shop' }

const given = (variation: string): Outcome =>
  outcomeOf('ledger', { value: true, variation, reason: 'FALLTHROUGH', type: 'boolean', flagVersion: 1, rollout: true }, null)
const OUTCOMES = { on: given('on'), off: given('off') }

/** @param risk in the rising variation, so many times as often */
function rollout(seed: number, marked: boolean, risk: number): StatisticsState {
  const random = randomFrom(seed)
  const clock = manualClock()
  const documents = new Map([['ledger', { key: 'ledger', variations: [{ key: 'on' }, { key: 'off' }] }]])
  const log = { state: () => ({ documents: { flag: documents } }) as unknown as State }
  const outcomes = openOutcomes({ clock, logger: recordingLogger(), log })
  let state = begin([{ key: 'errors', role: 'guardrail' }])
  let share = 0
  outcomes.subscribe(ended => {
    const of = (variation: string) => ended.of(LOG, 'ledger').find(sum => sum.variation === variation) ?? { contexts: 0, errors: 0 }
    const [rising, control] = [of('on'), of('off')]
    const trials = {
      rising: { contexts: rising.contexts, bad: rising.errors },
      control: { contexts: control.contexts, bad: control.errors },
    }
    state = slice(state, [{ trials: { errors: trials }, seen: { rising: rising.contexts, control: control.contexts } }], share)
  })
  const accounts = Array.from({ length: ACCOUNTS }, (_, i) => ({
    context: { targetingKey: `account-${i}` },
    place: random(),
    fails: Math.min(0.9, 0.005 * noise(random, 1.5)),
  }))
  accounts[Math.floor(random() * 20)]!.fails = 1
  // By Zipf's law: who calls how often.
  const upTo: number[] = []
  for (let i = 0; i < ACCOUNTS; i++) upTo.push((upTo.at(-1) ?? 0) + 1 / (i + 1))
  const instances = Array.from({ length: INSTANCES }, () => new Outcomes())
  for (let index = 0; index < SLICES && verdict(state).kind !== 'harm'; index++) {
    share = SHARES[Math.floor((index * SHARES.length) / SLICES)]!
    for (let call = 0; call < CALLS; call++) {
      const at = random() * upTo.at(-1)!
      const account = accounts[upTo.findIndex(end => end > at)]!
      const isTreated = account.place < share
      const ok = random() >= account.fails * (isTreated ? risk : 1)
      instances[call % INSTANCES]!.add(isTreated ? OUTCOMES.on : OUTCOMES.off, account.context, '', { ok })
    }
    for (const [i, instance] of instances.entries()) {
      const rows = instance.take().map(({ failed, ...row }): OutcomeRow => (marked && failed !== undefined ? { ...row, failed } : row))
      outcomes.add(LOG, rows as never, { ...BY, instance: `i-${i}` })
      instance.endSlice()
    }
    clock.advance(SLICE_MS)
  }
  outcomes.close()
  return state
}

t.test('accounts that fail all the time, and heavy ones, turn back no rollout that does no harm', async t => {
  const harmed = (marked: boolean, runs: number): number =>
    Array.from({ length: runs }, (_, run) => rollout(run + 1, marked, 1)).filter(state => verdict(state).kind === 'harm').length
  const few = harmed(true, 12)
  t.ok(few <= 1, `${few} of 12`)
  const many = harmed(false, 6)
  t.ok(many >= 2, `${many} of 6 where each slice of each instance counts`)
})

t.test('harm to many accounts is found all the same', async t => {
  const found = Array.from({ length: 8 }, (_, run) => rollout(run + 1, true, 20)).filter(state => verdict(state).kind === 'harm').length
  t.ok(found >= 7, `${found} of 8`)
})
