/** The server is killed and restarted in the middle of a plan. The shops go on meanwhile, and the plan goes on once. */
import { FLAG, openLedgers, stepsTaken } from './ledgers.ts'
import type { Story } from './stage.ts'

const MINUTE_MS = 60_000
const DARK_MS = MINUTE_MS

export const restartMidPlan: Story = {
  title: 'A restart in the middle of a plan',
  movesClock: true,
  async play(stage) {
    const ledgers = await openLedgers(stage, 13)
    await stage.sluice(
      `rollout start ${FLAG} -e production --steps 1%:20s,5%:40s,25%:30s,98%:20s,100% --variation live --by /account/id --guard errorShare ` +
        '-m "the new ledger leads"',
    )
    await ledgers.tradeUntil(plan => plan.step === 1, 3 * MINUTE_MS)
    await ledgers.trade(20_000)
    const live = ledgers.live()
    stage.say('At 5 % the server is killed. The shops trade on for a minute.')
    await stage.serverDies()
    await ledgers.trade(DARK_MS)
    stage.equal(ledgers.live().size, live.size, 'who has the new ledger keeps it')
    await stage.serverReturns()
    await ledgers.trade(10_000)
    stage.equal((await ledgers.plan()).step, 1, 'the step has not stood its time watched, and is not left')
    await ledgers.tradeUntil(plan => plan.step === 2, 3 * MINUTE_MS)

    stage.say('At 25 % the server is killed in the very moment in which the next step falls due.')
    await ledgers.trade(25_000)
    await Promise.all([stage.pass(5_000), stage.serverDies()])
    await stage.serverReturns()
    await ledgers.tradeUntil(plan => plan.step === 3, 5 * MINUTE_MS)
    stage.say('At 98 % it is restarted, as for an upgrade.')
    await stage.serverRestarts()
    await ledgers.tradeUntil(({ state }) => state === 'completed', 5 * MINUTE_MS)
    await stage.sluice(`history ${FLAG} -e production`)
    const changes = await ledgers.changes()
    const taken = stepsTaken(changes)
    stage.equal(
      taken.map(({ step }) => step),
      [1, 2, 3, 4, 5],
      'no step was skipped, and none taken twice',
    )
    stage.equal(changes.filter(({ action }) => action === 'rollout.complete').length, 1, 'it was completed once')
    stage.ok((taken[2]?.at ?? 0) - (taken[1]?.at ?? 0) >= DARK_MS + 40_000, 'time in which nobody watched counts for nothing')
    stage.equal(ledgers.live().size, 20_000, 'the new ledger leads for everybody')
  },
}
