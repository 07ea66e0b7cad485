/** A rack loses its network, and a thousand pods each say so: one entry in the log, and one message, which says how many. */
import { Webhook } from 'standardwebhooks'
import type { Change } from '../../schemas/change.ts'
import { EGRESS_ALLOW, type Received, startReceiver } from '../server/notifiers/receiver.ts'
import { contextOf } from './shop.ts'
import type { Story } from './stage.ts'

const PODS = 1_000
/** The trigger waits until so many say so: a pod alone is nothing to kill a flag for. */
const AT_LEAST = 100
const AT_ONCE = 25

export const alertStorm: Story = {
  title: 'An alert storm',
  environment: { SLUICE_EGRESS_ALLOW: EGRESS_ALLOW.join(',') },
  async play(stage) {
    await stage.flag({ key: 'suggestions', kind: 'kill-switch', enabled: true })
    const [shop] = await stage.shops(1)
    if (shop === undefined) throw new Error('a shop was asked for')
    const added = await stage.sluice('hooks add am -e production --source alertmanager')
    const url = /url: (\S+)/.exec(added)?.[1] ?? ''
    const secret = /credentials: (\S+)/.exec(added)?.[1] ?? ''
    await stage.sluice(
      `triggers add pods -e production --hook am --label alertname=PodUnreachable --at-least ${AT_LEAST} --within 30m --kill suggestions`,
    )
    const audit = await startReceiver(stage)
    const made = await stage.sluice(`notifiers add audit -e production --kind webhook --to ${audit.url}/in`)
    const webhook = new Webhook(made.trim().split('\n').at(-1) ?? '')
    const read = ({ text, headers }: Received): Message => webhook.verify(text, headers as Record<string, string>) as Message

    stage.say(`${PODS} pods cannot be reached, and each is a delivery of its own.`)
    const startsAt = new Date().toISOString()
    const statuses: number[] = []
    const pods = Array.from({ length: PODS }, (_, i) => `pod-${i + 1}`)
    const sender = async (): Promise<void> => {
      for (let pod = pods.pop(); pod !== undefined; pod = pods.pop()) {
        const labels = { alertname: 'PodUnreachable', pod, severity: 'critical' }
        const body = JSON.stringify({ version: '4', status: 'firing', alerts: [{ status: 'firing', labels, startsAt }] })
        const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
        const response = await fetch(url, { method: 'POST', body, headers })
        await response.arrayBuffer()
        statuses.push(response.status)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, sender))
    stage.equal(statuses, Array<number>(PODS).fill(200), 'every delivery is taken')
    await stage.until([shop], each => !each.flags.value('suggestions', contextOf({ account: 'a-17' }), false), 'suggestions are off')
    const path = '/environments/production/triggers/pods'
    await stage.eventually(
      async () => ((await stage.api('GET', path)) as { activity: { alerts: number } }).activity.alerts === PODS,
      `the trigger has heard of all ${PODS}`,
    )
    stage.ok((await stage.sluice('triggers show pods -e production')).includes(`${PODS} since the server started`), 'and says so')

    stage.say('Messages are sent in order: the one that comes next is about what is done next.')
    await stage.sluice('triggers restore pods -e production -m "the rack is back"')
    const [first, second] = [read(await audit.nth(1)), read(await audit.nth(2))]
    stage.equal([first.type, second.type], ['trigger.fire', 'trigger.restore'], 'the storm was one message')
    stage.say(`  ${first.data.why}`)
    const count = Number(/one of (\d+) that fire/.exec(first.data.why)?.[1])
    stage.ok(count >= AT_LEAST && count <= PODS, `which says that ${count} fired by then`)
    const { changes } = (await stage.api('GET', '/environments/production/changes?order=oldest&limit=500')) as { changes: Change[] }
    stage.equal(changes.filter(({ action }) => action === 'trigger.fire').length, 1, 'and one entry')
  },
}

interface Message {
  readonly type: string
  readonly data: { readonly why: string }
}
