/** A migration by percent: growing only adds accounts, shrinking takes the last ones out first. */
import { contextOf, type Shop } from './shop.ts'
import { revisionOf, type Story } from './stage.ts'

const accounts = Array.from({ length: 4_000 }, (_, i) => `account-${i}`)

export const ledgerMigration: Story = {
  title: 'A migration by percent',
  async play(stage) {
    // A seed of its own, so that every run places the same accounts.
    await stage.flag({ key: 'new-ledger', kind: 'release', seed: 2_984_379_123 })
    const [shop, other] = await stage.shops(2)
    if (shop === undefined || other === undefined) throw new Error('two shops were asked for')
    stage.say('The new ledger goes to 1, 5, 25 and 100 percent of the accounts.')
    const steps: { percent: number; accounts: Set<string> }[] = []
    await stage.sluice('flag on new-ledger -e production -m "the migration starts"')
    for (const percent of [1, 5, 25, 100]) {
      const revision = await step(percent)
      await stage.until([shop, other], each => (each.flags.status().revision ?? 0) >= revision, `revision ${revision} has arrived`)
      const has = onNew(shop)
      stage.equal([...onNew(other)], [...has], `both shops agree at ${percent} %`)
      const last = steps.at(-1)
      stage.ok(
        last === undefined || [...last.accounts].every(account => has.has(account)),
        `nobody who had it loses it on the way to ${percent} %`,
      )
      // Four standard deviations of a binomial draw, so that only a real fault fails it.
      const spread = 4 * Math.sqrt(accounts.length * (percent / 100) * (1 - percent / 100))
      stage.ok(
        Math.abs(has.size - (accounts.length * percent) / 100) <= spread + 1,
        `${has.size} of ${accounts.length} accounts is about ${percent} %`,
      )
      stage.say(`  ${percent} %: ${has.size} of ${accounts.length} accounts are on the new ledger`)
      steps.push({ percent, accounts: has })
    }
    stage.say('Something looks odd. Back by the same steps: the last ones in are the first ones out.')
    for (const { percent, accounts: had } of steps.slice(0, -1).reverse()) {
      const revision = await step(percent)
      await stage.until([shop], each => (each.flags.status().revision ?? 0) >= revision, `revision ${revision} has arrived`)
      stage.equal([...onNew(shop)], [...had], `exactly those of the way up remain at ${percent} %`)
    }
    const first = [...(steps[0]?.accounts ?? [])][0] ?? ''
    stage.equal((await shop.visit({ account: first })).ledger, 'new', 'the first account in is the last one out')
    stage.say(`Account ${first}, among the first in, is still on the new ledger.`)

    async function step(percent: number): Promise<number> {
      const output = await stage.sluice(
        `flag set new-ledger -e production --rollout on=${percent}% --by /account/id -m "${percent} percent"`,
      )
      return revisionOf(output)
    }
  },
}

function onNew(shop: Shop): Set<string> {
  return new Set(accounts.filter(account => shop.flags.value('new-ledger', contextOf({ account }), false)))
}
