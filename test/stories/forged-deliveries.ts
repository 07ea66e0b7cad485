/** Anybody may send to a hook. What is forged, altered, late or sent again changes nothing and can be seen; what is genuine acts. */
import { createHmac } from 'node:crypto'
import type { Change } from '../../schemas/change.ts'
import { contextOf, type Shop } from './shop.ts'
import type { Stage, Story } from './stage.ts'

const MINUTE_MS = 60_000

export const forgedDeliveries: Story = {
  title: 'Deliveries that are not genuine',
  async play(stage) {
    await stage.flag({ key: 'checkout', kind: 'kill-switch', enabled: true })
    const shops = await stage.shops(2)
    const added = await stage.sluice('hooks add grafana -e production --source grafana')
    const url = /^URL +(\S+)$/m.exec(added)?.[1] ?? ''
    const secret = /^HMAC secret +(\S+)$/m.exec(added)?.[1] ?? ''
    await stage.sluice(
      'triggers add checkout-5xx -e production --hook grafana --label service=checkout --kill checkout --cool-down 1s --restore',
    )
    const began = await revisionNow(stage)
    const sent = async (delivery: Delivery): Promise<number> => {
      const { body, headers } = delivery
      return (await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers } })).status
    }
    const now = Date.now()
    const genuine = signed(secret, alertBody('firing', now - MINUTE_MS), now)

    stage.say('Somebody has found the path, but not the secret.')
    const other = signed('a-secret-of-somebody-else-0123456789', genuine.body, now)
    stage.equal(await sent(other), 401, 'signed with another secret it is refused')
    stage.equal(await sent({ body: genuine.body, headers: {} }), 401, 'as it is without a signature')

    stage.say('Somebody listens on the way, and holds a genuine delivery back.')
    stage.equal(await sent({ ...genuine, body: genuine.body.replace('/d/shop', '/d/else') }), 401, 'altered it is refused')
    const redated = { ...genuine, headers: { ...genuine.headers, 'x-grafana-alerting-timestamp': seconds(now + 1_000) } }
    stage.equal(await sent(redated), 401, 'as it is with another moment')
    stage.equal(await sent(signed(secret, genuine.body, now - 6 * MINUTE_MS)), 401, 'and six minutes late, although it is genuine')
    stage.equal(await revisionNow(stage), began, 'nothing has changed')
    stage.ok(shops.every(isOpen), 'the checkout is open in every shop')

    stage.say('The same delivery in time, as Grafana sent it:')
    stage.equal(await sent(genuine), 200, 'is taken')
    await stage.until(shops, shop => !isOpen(shop), 'the checkout is closed')

    stage.say('It is over, Grafana says so, and the trigger opens the checkout again. Now what was heard on the way is sent again.')
    stage.equal(await sent(signed(secret, alertBody('resolved', now - MINUTE_MS), Date.now())), 200, 'the end is taken')
    await stage.until(shops, isOpen, 'the checkout is open')
    stage.equal(await sent(genuine), 200, 'the same delivery once more is answered')
    const overtaken = signed(secret, alertBody('firing', now - 2 * MINUTE_MS), Date.now())
    stage.equal(await sent(overtaken), 200, 'so is one that was overtaken by the end of its alert')

    stage.say('And a new alert:')
    stage.equal(await sent(signed(secret, alertBody('firing', Date.now()), Date.now())), 200, 'is taken')
    await stage.until(shops, shop => !isOpen(shop), 'the checkout is closed again')
    const entries = ((await stage.api('GET', `/environments/production/changes?order=oldest&limit=500`)) as { changes: Change[] }).changes
    stage.equal(
      entries.filter(({ revision }) => revision > began).map(({ action }) => action),
      ['trigger.fire', 'trigger.restore', 'trigger.fire'],
      'the log has what the three genuine ones did, and nothing else',
    )

    const listed = await stage.sluice('hooks deliveries grafana -e production')
    const verdicts = listed.match(/(?<= )(?:accepted|duplicate|late|stale|bad-signature)(?= )/g) ?? []
    stage.equal(
      verdicts,
      ['accepted', 'late', 'duplicate', 'accepted', 'accepted', 'stale', ...Array<string>(4).fill('bad-signature')],
      'whoever looks sees all of them, each with its verdict',
    )
  },
}

interface Delivery {
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** As Grafana signs: the moment is signed along. */
function signed(secret: string, body: string, at: number): Delivery {
  const moment = seconds(at)
  const signature = createHmac('sha256', secret).update(`${moment}:${body}`).digest('hex')
  return { body, headers: { 'x-grafana-alerting-timestamp': moment, 'x-grafana-alerting-signature': signature } }
}

function seconds(ms: number): string {
  return String(Math.floor(ms / 1_000))
}

function alertBody(status: 'firing' | 'resolved', startsAt: number): string {
  return JSON.stringify({
    ...{ receiver: 'sluice', status, version: '1', orgId: 1, title: 'Checkout fails', externalURL: 'https://grafana.example.com/' },
    alerts: [
      {
        status,
        labels: { alertname: 'Checkout fails', service: 'checkout', severity: 'critical' },
        annotations: { summary: 'Checkout fails for one in ten' },
        startsAt: new Date(startsAt).toISOString(),
        endsAt: status === 'firing' ? '0001-01-01T00:00:00Z' : new Date().toISOString(),
        fingerprint: 'c6eadffa33fcdf37',
        dashboardURL: 'https://grafana.example.com/d/shop',
      },
    ],
  })
}

function isOpen({ flags }: Shop): boolean {
  return flags.value('checkout', contextOf({ account: 'a-17' }), false)
}

async function revisionNow(stage: Stage): Promise<number> {
  return ((await stage.api('GET', '/environments/production/flags')) as { revision: number }).revision
}
