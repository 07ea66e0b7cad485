/**
 * At three in the morning a real Alertmanager says that the checkout fails on Android: it is off for Android before anybody wakes. When the
 * alert is over nothing flips back, unless that was asked for, and never what a person did meanwhile.
 */
import type { Alert } from '../../schemas/alert.ts'
import type { Change } from '../../schemas/change.ts'
import { ALERTMANAGER, type Alertmanager, findProgram, startAlertmanager } from '../prometheus.ts'
import { contextOf, type Shop } from './shop.ts'
import { type Stage, type Story, undoLine } from './stage.ts'

/** As people set it up, but for the times: theirs are minutes. */
const ROUTE = 'route: { receiver: sluice, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h }'
const LABELS = { alertname: 'High5xxRate', service: 'checkout', severity: 'critical' }

export const alertAtNight: Story = {
  title: 'An alert at three in the morning',
  needs: ALERTMANAGER,
  async play(stage) {
    await stage.flag({ key: 'checkout', kind: 'kill-switch', enabled: true })
    const shops = await stage.shops(2)
    const added = await stage.sluice('hooks add am -e production --source alertmanager')
    const alertmanager = await startAlertmanager(stage, findProgram(ALERTMANAGER) ?? '', stage.folder, `${ROUTE}\n${receiverIn(added)}\n`)
    await stage.sluice(
      'triggers add checkout-5xx -e production --hook am --label service=checkout --severity error --kill checkout --where /device/os=android --cool-down 1s',
    )
    // Seen after the one above at each look: what it was told of, both have looked at.
    await stage.api('POST', '/environments/production/triggers', {
      ...{ key: 'checkout-well', when: { hooks: ['am'], status: 'resolved' }, do: { action: 'notify' }, coolDownMs: 0 },
    })

    stage.say('03:12: the checkout answers 5xx. Alertmanager is told so.')
    let alert = await fires(alertmanager)
    await stage.until(shops, shop => !isOpen(shop, 'android'), 'the checkout is off for Android')
    stage.ok(
      shops.every(shop => isOpen(shop, 'ios')),
      'it is open for everyone else',
    )
    const [entry] = await entriesOf(stage)
    stage.equal([entry?.action, entry?.actor.name], ['trigger.fire', 'trigger "checkout-5xx"'], 'the log says who did it')
    stage.ok(entry?.comment?.includes('alert "The checkout answers 5xx" (critical) from am') === true, `and why: ${entry?.comment ?? ''}`)
    stage.ok((await stage.sluice('status -e production')).includes('tripped by trigger checkout-5xx'), 'status says it first')

    stage.say('03:40: the alert is over. Nobody is up yet.')
    await ends(stage, alertmanager, alert)
    stage.equal(shops.map(isOpenForAndroid), [false, false], 'nothing flips back')
    stage.say('08:30: somebody has looked. The command stood in status:')
    await stage.sluice('triggers restore checkout-5xx -e production -m "the vendor has mended it"')
    await stage.until(shops, isOpenForAndroid, 'the checkout is open for Android')

    stage.say('They would rather have slept on, and have it put back by itself.')
    await stage.sluice('triggers edit checkout-5xx -e production --restore')
    alert = await fires(alertmanager)
    await stage.until(shops, shop => !isOpen(shop, 'android'), 'the checkout is off for Android again')
    await ends(stage, alertmanager, alert)
    await stage.until(shops, isOpenForAndroid, 'the checkout is open for Android')
    stage.say('The alert was over, and it was put back.')

    stage.say('The night after it is worse: a person closes the checkout for everyone while the alert fires.')
    alert = await fires(alertmanager)
    await stage.until(shops, shop => !isOpen(shop, 'android'), 'the checkout is off for Android')
    const killed = await stage.sluice('kill checkout -e production -m "charges are doubled, on every phone"')
    await stage.until(shops, shop => !isOpen(shop, 'ios'), 'it is off for everyone')
    await ends(stage, alertmanager, alert)
    stage.equal(shops.map(isOpenForAndroid), [false, false], 'what a person did stands')
    stage.equal(
      shops.map(shop => isOpen(shop, 'ios')),
      [false, false],
      'for everyone',
    )
    const shown = await stage.sluice('triggers show checkout-5xx -e production')
    stage.ok(shown.includes('not-restored: not put back: checkout: it was changed since'), 'the trigger says that it left it alone')
    stage.say('In the morning they lift what they did. What the trigger did is still there.')
    await stage.sluice(undoLine(killed))
    await stage.until(shops, shop => isOpen(shop, 'ios'), 'it is open again')
    stage.equal(shops.map(isOpenForAndroid), [false, false], 'but for Android')
    stage.equal(
      (await entriesOf(stage)).map(({ action }) => action),
      ['trigger.fire', 'trigger.restore', 'trigger.fire', 'trigger.restore', 'trigger.fire', 'flag.kill', 'flag.lift'],
      'each thing was done once',
    )
  },
}

/** What `hooks add` prints, to be pasted: from `receivers:` to the empty line. */
function receiverIn(output: string): string {
  return /^receivers:\n(?: .*\n)+/m.exec(output)?.[0] ?? ''
}

async function fires(alertmanager: Alertmanager): Promise<{ startsAt: string }> {
  const alert = { startsAt: new Date().toISOString() }
  await alertmanager.post([{ ...alert, labels: LABELS, annotations: { summary: 'The checkout answers 5xx' } }])
  return alert
}

/** It is over, and the triggers have been told. */
async function ends(stage: Stage, alertmanager: Alertmanager, alert: { startsAt: string }): Promise<void> {
  const told = async (): Promise<number> =>
    ((await stage.api('GET', '/environments/production/triggers/checkout-well')) as { activity: { alerts: number } }).activity.alerts
  const before = await told()
  await alertmanager.post([{ ...alert, labels: LABELS, endsAt: new Date().toISOString() }])
  await stage.eventually(async () => (await told()) > before, 'the triggers have heard that the alert is over')
  const { alerts } = (await stage.api('GET', '/environments/production/alerts?hook=am&firing=true')) as { alerts: Alert[] }
  stage.equal(alerts, [], 'no alert fires any more')
}

/** Entries about the flag, oldest first. */
async function entriesOf(stage: Stage): Promise<readonly Change[]> {
  const { changes } = (await stage.api('GET', '/environments/production/changes?order=oldest&limit=500')) as { changes: Change[] }
  return changes.filter(({ action }) => /^(trigger\.(fire|restore)|flag\.(kill|lift))$/.test(action))
}

function isOpen({ flags }: Shop, os: string): boolean {
  return flags.value('checkout', contextOf({ account: 'a-17', os }), false)
}

function isOpenForAndroid(shop: Shop): boolean {
  return isOpen(shop, 'android')
}
