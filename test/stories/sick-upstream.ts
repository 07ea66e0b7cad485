/** An upstream is sick: killing it cuts what depends on it, and a tag cuts what is not connected. */
import { contextOf } from './shop.ts'
import { type Story, undoLine } from './stage.ts'

const context = contextOf({ account: 'a-1' })
const dependents = ['search', 'suggestions', 'related-products']
const tagged = ['checkout', 'invoices']

export const sickUpstream: Story = {
  title: 'An upstream is sick',
  async play(stage) {
    await stage.flag({ key: 'search-upstream', kind: 'kill-switch', enabled: true })
    for (const key of dependents) {
      await stage.flag({ key, kind: 'kill-switch', enabled: true, prerequisites: [{ flag: 'search-upstream', variations: ['on'] }] })
    }
    for (const key of tagged) await stage.flag({ key, kind: 'kill-switch', enabled: true, tags: ['dependency:payments-vendor'] })
    await stage.flag({ key: 'gallery', kind: 'kill-switch', enabled: true })
    const shops = await stage.shops(3)
    stage.say('Search, suggestions and related products have search-upstream as a prerequisite.')
    for (const shop of shops)
      stage.ok(
        dependents.every(key => shop.flags.value(key, context, false)),
        `${shop.name} serves all three`,
      )

    stage.say('The search cluster answers in nine seconds. One kill cuts all that hangs on it:')
    const killed = await stage.sluice('kill search-upstream -e production -m "search cluster is overloaded"')
    for (const key of dependents) stage.ok(killed.includes(key), `the command says that ${key} is affected`)
    for (const shop of shops) {
      for (const key of dependents) {
        const explained = shop.flags.explain(key, context, true)
        stage.equal(
          [explained.value, explained.reason, explained.prerequisite],
          [false, 'PREREQUISITE_FAILED', 'search-upstream'],
          `${shop.name}: ${key} says which prerequisite failed`,
        )
      }
      stage.equal(shop.flags.value('gallery', context, false), true, `${shop.name}: what does not depend on it goes on`)
    }
    await stage.sluice('explain search -e production --context {"targetingKey":"a-1"}'.replace(/--context (.*)$/, `--context '$1'`))
    await stage.sluice(undoLine(killed))
    await stage.until(shops, shop => dependents.every(key => shop.flags.value(key, context, false)), 'all three are back')

    stage.say('The payments vendor fails next. Checkout and invoices are not connected, but share a tag:')
    const byTag = await stage.sluice('kill --tag dependency:payments-vendor -e production -m "payments vendor is down"')
    for (const shop of shops) {
      for (const key of tagged) stage.equal(shop.flags.explain(key, context, true).reason, 'KILLED', `${shop.name}: ${key} is off`)
      stage.equal(shop.flags.value('search', context, false), true, `${shop.name}: search goes on`)
    }
    await stage.sluice(undoLine(byTag))
    await stage.until(shops, shop => tagged.every(key => shop.flags.value(key, context, false)), 'both are back')
    stage.say('Both are back, by one command.')
  },
}
