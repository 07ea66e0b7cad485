/** Alerts for tests of triggers: a source of its own, which tells as the hooks do (after it is known what fires, in order), and samples. */
import type { Alert } from '../../../schemas/alert.ts'
import type { Alerts } from '../../../server/services.ts'

type Listener = Parameters<Alerts['subscribe']>[0]

export interface AlertSource extends Pick<Alerts, 'subscribe' | 'firing'> {
  /** Stores and tells all of them; resolves when the listeners have settled. */
  tell(alerts: readonly Alert[], trust?: { mayAct?: boolean; dryRun?: boolean }): Promise<void>
}

export const LOG = 'default/production'

export function alertSource(log = LOG): AlertSource {
  const listeners = new Set<Listener>()
  const firing = new Map<string, Alert>()
  return {
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    firing: name => (name === log ? [...firing.values()] : []),
    async tell(alerts, { mayAct = true, dryRun = false } = {}) {
      for (const alert of alerts) {
        if (alert.status === 'firing') firing.set(`${alert.hook} ${alert.dedupKey}`, alert)
        else firing.delete(`${alert.hook} ${alert.dedupKey}`)
      }
      await Promise.all(alerts.flatMap(alert => [...listeners].map(async listener => listener({ log, alert, mayAct, dryRun }))))
    },
  }
}

export function alertOf(fields: Partial<Alert> & { readonly at: number }): Alert {
  const { at, ...rest } = fields
  const moment = new Date(at).toISOString()
  const dedupKey = rest.dedupKey ?? 'one'
  return {
    id: `a_${dedupKey}`,
    hook: 'am',
    externalId: null,
    dedupKey,
    status: 'firing',
    severity: 'critical',
    title: 'High 5xx rate',
    description: 'checkout answers 5xx',
    labels: { service: 'checkout', team: 'shop' },
    annotations: {},
    startsAt: moment,
    endsAt: null,
    receivedAt: moment,
    links: ['https://graphs.example.com/d/1'],
    ...rest,
  }
}
