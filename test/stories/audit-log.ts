/** The audit log misbehaves: one kill turns it off everywhere, touches nothing else, and lifting restores what stood. */
import { contextOf, type Shop } from './shop.ts'
import { type Story, undoLine } from './stage.ts'

const accounts = Array.from({ length: 60 }, (_, i) => `a-${i + 1}`)

export const auditLog: Story = {
  title: 'The audit log misbehaves',
  async play(stage) {
    await stage.flag({
      key: 'audit-log',
      kind: 'kill-switch',
      enabled: true,
      offVariation: 'off',
      targets: [{ attribute: '/account/id', values: ['a-1', 'a-2'], variation: 'on' }],
      rules: [
        { id: 'trials', clauses: [{ attribute: '/account/plan', op: 'in', values: ['trial'] }], serve: { variation: 'off' } },
        {
          id: 'sampled',
          clauses: [{ attribute: '/account/plan', op: 'in', values: ['free'] }],
          serve: {
            rollout: {
              by: '/account/id',
              weights: [
                { variation: 'on', weight: 30_000 },
                { variation: 'off', weight: 70_000 },
              ],
            },
          },
        },
      ],
      fallthrough: { variation: 'on' },
    })
    await stage.flag({ key: 'checkout', kind: 'kill-switch', enabled: true })
    const shops = await stage.shops(5)
    stage.say('Five shops run. The audit log writes for everyone but trials, and for 30 % of the free accounts.')
    const before = shops.map(answers)
    const untouched = shops.map(shop => shop.flags.value('checkout', contextOf({ account: 'a-1' }), false))
    const document = await stage.read('audit-log')
    const page = await shops[0]?.visit({ account: 'a-1' })
    stage.equal(page?.audited, true, 'the shop audits before the kill')

    stage.say('03:12. The store behind the audit log is full and every request hangs on it. Kill it:')
    const killed = await stage.sluice('kill audit-log -e production -m "audit store is full, requests hang"')
    stage.ok(killed.includes('5 of 5'), 'the command waited until all five instances had confirmed')
    for (const shop of shops) {
      stage.ok(
        accounts.every(account => !shop.flags.value('audit-log', contextOf({ account }), true)),
        `${shop.name} audits nobody`,
      )
      const explained = shop.flags.explain('audit-log', contextOf({ account: 'a-1' }), true)
      stage.equal(explained.reason, 'KILLED', `${shop.name} can say why`)
      stage.equal((await shop.visit({ account: 'a-1' })).audited, false, `a request to ${shop.name} is not audited`)
    }
    stage.equal(
      shops.map(shop => shop.flags.value('checkout', contextOf({ account: 'a-1' }), false)),
      untouched,
      'nothing else changed',
    )
    stage.say('Every instance serves off, checkout is untouched. The store has room again; the line the kill printed undoes it:')

    await stage.sluice(undoLine(killed))
    await stage.until(shops, shop => same(answers(shop), before[shops.indexOf(shop)]), 'the same accounts get the same values')
    const { version: _, ...restored } = await stage.read('audit-log')
    const { version: __, ...stood } = document
    stage.equal(restored, stood, 'exactly the former rules stand')
    stage.say('Exactly the former rules stand, and the same accounts get the same values.')
  },
}

function answers(shop: Shop): boolean[] {
  return accounts.flatMap(account =>
    ['paid', 'free', 'trial'].map(plan => shop.flags.value('audit-log', contextOf({ account, plan }), false)),
  )
}

function same(left: readonly boolean[], right: readonly boolean[] | undefined): boolean {
  return right !== undefined && left.every((value, i) => value === right[i])
}
