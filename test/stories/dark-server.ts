/** The server goes dark: applications keep their values, restart from their cache, and catch up by changes. */
import { contextOf } from './shop.ts'
import { revisionOf, type Story } from './stage.ts'

const context = contextOf({ account: 'a-1' })

export const darkServer: Story = {
  title: 'The server goes dark',
  async play(stage) {
    await stage.flag({ key: 'checkout', kind: 'kill-switch', enabled: true })
    await stage.flag({ key: 'search', kind: 'kill-switch', enabled: true })
    await stage.flag({ key: 'new-ledger', kind: 'release' })
    const shops = await stage.shops(3, { cache: true })
    await stage.sluice('kill checkout -e production -m "double charges"')
    await stage.until(shops, shop => !shop.flags.value('checkout', context, true), 'checkout is off')
    const held = shops.map(shop => shop.flags.status().revision)

    stage.say('The server dies in the middle of the night.')
    const lost = Promise.all(shops.map(shop => new Promise<void>(resolve => shop.flags.on('stale', () => resolve()))))
    await stage.serverDies()
    await lost
    for (const shop of shops) {
      stage.equal(
        [shop.flags.value('checkout', context, true), shop.flags.value('search', context, false)],
        [false, true],
        `${shop.name} keeps its last values`,
      )
    }

    stage.say('One application is even restarted while the server is dark: it starts from its cache file.')
    const [restarted, ...others] = shops
    if (restarted === undefined) throw new Error('three shops were asked for')
    await restarted.close()
    const again = await stage.shop(restarted.name, { cache: true })
    const fromCache = again.flags.explain('checkout', context, true)
    stage.equal(
      [fromCache.value, fromCache.reason, fromCache.stale],
      [false, 'KILLED', true],
      'it serves the kill from its cache, marked stale',
    )
    stage.equal(again.flags.status().revision, held[0], 'at the revision it held before')

    stage.say('The server returns. Three changes are made at once.')
    const fleet = [again, ...others]
    const rulesets = fleet.map(shop => shop.flags.status().rulesets)
    const seen = fleet.map(shop => {
      const revisions: number[] = []
      shop.flags.on('change', () => revisions.push(shop.flags.status().revision ?? 0))
      return revisions
    })
    await stage.serverReturns()
    await stage.sluice('flag on new-ledger -e production -m "first"')
    await stage.sluice('flag off search -e production -m "second"')
    const last = revisionOf(await stage.sluice('lift checkout -e production -m "third"'))
    await stage.until(fleet, shop => shop.flags.status().revision === last, `all hold revision ${last}`)
    for (const [i, shop] of fleet.entries()) {
      stage.equal(
        [shop.flags.value('checkout', context, false), shop.flags.value('search', context, true)],
        [true, false],
        `${shop.name} has every change`,
      )
      const revisions = seen[i] ?? []
      stage.ok(
        revisions.every((revision, at) => at === 0 || revision > (revisions[at - 1] ?? 0)),
        `${shop.name} saw revisions only grow: ${revisions.join(', ')}`,
      )
      stage.equal(shop.flags.status().rulesets, rulesets[i], `${shop.name} caught up by changes, not by a full ruleset`)
    }
    stage.say('Everyone caught up by changes alone; nothing was lost, repeated or out of order.')
  },
}
