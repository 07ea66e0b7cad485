/** Only some are affected: a kill with clauses touches exactly the contexts it names. */
import { contextOf, type Visitor } from './shop.ts'
import type { Story } from './stage.ts'

const visitors: Visitor[] = ['android', 'ios', 'windows'].flatMap(os =>
  ['chrome', 'safari', 'firefox'].flatMap(browser =>
    ['north', 'south', 'east', 'west'].map(region => ({ account: `${os}-${browser}-${region}`, os, browser, region })),
  ),
)

export const someAffected: Story = {
  title: 'Only some are affected',
  async play(stage) {
    for (const key of ['checkout', 'gallery', 'menu-oysters']) await stage.flag({ key, kind: 'kill-switch', enabled: true })
    const shops = await stage.shops(2)
    const cases = [
      {
        say: 'Android phones are charged twice. The others may go on buying:',
        line: 'kill checkout -e production --where /device/os=android -m "double charges on Android"',
        flag: 'checkout',
        hit: (visitor: Visitor) => visitor.os === 'android',
      },
      {
        say: 'Safari draws the gallery over the whole page:',
        line: 'kill gallery -e production --where /device/browser=safari -m "gallery covers the page in Safari"',
        flag: 'gallery',
        hit: (visitor: Visitor) => visitor.browser === 'safari',
      },
      {
        say: 'Oysters are sold out in two regions:',
        line: 'kill menu-oysters -e production --where region=north,east -m "sold out"',
        flag: 'menu-oysters',
        hit: (visitor: Visitor) => visitor.region === 'north' || visitor.region === 'east',
      },
    ]
    for (const { say, line, flag, hit } of cases) {
      stage.say(say)
      await stage.sluice(line)
      for (const shop of shops) {
        const wrong = visitors.find(visitor => shop.flags.value(flag, contextOf(visitor), false) === hit(visitor))
        stage.equal(wrong, undefined, `${shop.name}: ${flag} is off for exactly those it hits`)
      }
    }
    const page = await shops[0]?.visit({ account: 'v-1', os: 'android', browser: 'firefox', region: 'south' })
    stage.equal([page?.checkout, page?.gallery, page?.oysters], [false, true, true], 'an Android visitor in the south loses only checkout')
    await stage.sluice('kills -e production')
    stage.say(`Of ${visitors.length} kinds of visitors each kill touched exactly those it names.`)
  },
}
