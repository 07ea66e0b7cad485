/** In the middle of a migration everything fails much more often, on the old ledger as on the new one: that is no reason to turn back. */
import { FLAG, openLedgers, USUAL } from './ledgers.ts'
import type { Story } from './stage.ts'

const MINUTE_MS = 60_000
const OUTAGE = 0.3

export const sharedOutage: Story = {
  title: 'An outage that is not the rollout’s',
  movesClock: true,
  async play(stage) {
    const ledgers = await openLedgers(stage, 12)
    await stage.sluice(
      `rollout start ${FLAG} -e production --steps 1%:20s,5%:20s,25%:2m,98% --variation live --by /account/id --guard errorShare --bake 20s ` +
        '-m "the new ledger leads"',
    )
    await ledgers.tradeUntil(plan => plan.step === 2, 5 * MINUTE_MS)
    await ledgers.trade(20_000)
    stage.say(`The bank that both ledgers ask is down: ${OUTAGE * 100} % of the calls fail instead of 1 %, for a minute.`)
    ledgers.begin()
    ledgers.old.failing = OUTAGE
    ledgers.new.failing = OUTAGE
    await ledgers.trade(MINUTE_MS)
    ledgers.old.failing = USUAL
    ledgers.new.failing = USUAL
    const { live, shadow } = ledgers.arms
    stage.say(`${live.failed} of ${live.calls} calls failed on the new ledger, ${shadow.failed} of ${shadow.calls} on the old one.`)
    await stage.sluice(`rollout show ${FLAG} -e production`)
    const { state, step } = await ledgers.plan()
    stage.equal([state, step], ['running', 2], 'nothing is turned back, and nothing held')
    await ledgers.tradeUntil(plan => plan.state === 'completed', 10 * MINUTE_MS)
    stage.equal(
      (await ledgers.changes()).map(({ action }) => action),
      ['rollout.start', 'rollout.advance', 'rollout.advance', 'rollout.advance', 'rollout.complete'],
      'it goes on to its end by itself',
    )
  },
}
