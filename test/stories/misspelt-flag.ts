/** A release asks for a flag that does not exist, and for another as a type it does not have: operators see both, by name and service. */
import { setTimeout as pause } from 'node:timers/promises'
import { contextOf } from './shop.ts'
import type { Stage, Story } from './stage.ts'

const context = contextOf({ account: 'a-1' })

export const misspeltFlag: Story = {
  title: 'A misspelt flag',
  async play(stage) {
    await stage.flag({ key: 'checkout', kind: 'kill-switch', enabled: true })
    const [before, after] = await stage.shops(2)
    if (before === undefined || after === undefined) throw new Error('two shops were asked for')
    for (let i = 0; i < 40; i++) before.flags.value('checkout', context, false)
    stage.say('A new release of the shop goes out. Nobody notices that it asks for "chekout", and for "checkout" as a text.')
    const answers = Array.from({ length: 25 }, () => [
      after.flags.value('chekout', context, false),
      after.flags.string('checkout', context, 'classic'),
    ])
    stage.ok(
      answers.every(([misspelt, text]) => misspelt === false && text === 'classic'),
      'the application gets the defaults in its code, and goes on',
    )
    await Promise.all([before.close(), after.close()])
    await reported(stage, 'what the shops counted has arrived')

    stage.say('The server does. An operator asks what applications ask for in vain:')
    const found = await stage.sluice('telemetry -e production')
    stage.ok(
      /^ *chekout +25 +shop +shop-2 .* checkout$/m.test(found),
      'the misspelt flag, how often, which service and instance, and what was meant',
    )
    stage.ok(/^ *checkout +string +boolean +25 +shop +shop-2 /m.test(found), 'the type asked for, and the type it has')

    stage.say('The server is restarted. What is known of the flag is still known:')
    await stage.serverRestarts()
    const shown = await stage.sluice('flag show checkout -e production')
    stage.ok(/evaluated +65 in the last hour, 65 in the last day \(on 62 %; 25 got the default in the code\)/.test(shown), 'how it is used')
    stage.ok(/seen +first .*; by shop$/m.test(shown), 'and by whom')
    stage.ok(/problem +asked for as string 25 times by shop/.test(shown), 'and what is wrong')

    stage.say('Somebody takes the flag for unused and tidies up. Not while an application asks for it:')
    const refused = await stage.sluice('flag archive checkout -e production').then(String, String)
    stage.ok(refused.includes('FLAG_IN_USE'), 'the archive is refused')
    stage.ok(/by shop: 65 times in the last day\..*--force/s.test(refused), 'with who asked, how often, and what to do')
    stage.equal((await stage.read('checkout')).enabled, true, 'the flag stands')
  },
}

/** Reports travel beside the changes, so they are asked for until they are there. */
async function reported(stage: Stage, what: string): Promise<void> {
  for (;;) {
    const { unknownFlags, evaluations } = (await stage.api('GET', '/environments/production/telemetry')) as {
      unknownFlags: unknown[]
      evaluations: number
    }
    if (unknownFlags.length > 0 && evaluations >= 90) return stage.ok(true, what)
    await pause(20)
  }
}
