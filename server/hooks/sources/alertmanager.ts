/** Alertmanager's webhook (version 4), and Grafana's, which is of the same family: one body holds a group of alerts. */
import { createHash } from 'node:crypto'
import {
  type Adapter,
  at,
  firstText,
  labels,
  links,
  list,
  moment,
  type ReadAlert,
  readAlert,
  reading,
  record,
  severity,
  status,
  text,
} from '../reading.ts'

export const alertmanager: Adapter = body => groupReading(body, () => ({}))

export const grafana: Adapter = body =>
  groupReading(body, alert => ({
    annotations: { ...labels(at(alert, 'annotations')), ...valuesOf(alert) },
    links: links(
      at(alert, 'panelURL'),
      at(alert, 'dashboardURL'),
      at(alert, 'generatorURL'),
      at(alert, 'silenceURL'),
      at(alert, 'imageURL'),
    ),
  }))

function groupReading(body: unknown, more: (alert: unknown) => Partial<ReadAlert>): ReturnType<Adapter> {
  const group = list(at(body, 'alerts'))
  const problems: string[] = []
  const alerts: ReadAlert[] = []
  for (const [i, item] of group.entries()) {
    const word = at(item, 'status') ?? at(body, 'status')
    const known = status(word)
    if (known === null) {
      problems.push(`alerts[${i}].status is ${said(word)}, expected firing or resolved`)
      continue
    }
    // What is common to the group stands with each of its alerts as well.
    const own = labels(at(item, 'labels'))
    const notes = labels(at(item, 'annotations'))
    const alert = readAlert({
      dedupKey: firstText(at(item, 'fingerprint')) || fingerprintOf(own),
      status: known,
      severity: severity(own.severity, own.priority),
      title: firstText(notes.summary, own.alertname, at(body, 'title')),
      description: firstText(notes.description, notes.message, at(body, 'message')),
      labels: own,
      annotations: notes,
      startsAt: moment(at(item, 'startsAt')),
      endsAt: moment(at(item, 'endsAt')),
      links: links(at(item, 'generatorURL'), notes.runbook_url, at(body, 'externalURL')),
      ...more(item),
    })
    if (alert === null) problems.push(`alerts[${i}] has neither a fingerprint nor labels`)
    else alerts.push(alert)
  }
  if (group.length === 0) problems.push('alerts is missing or empty: this is no notification of Alertmanager or Grafana')
  const left = at(body, 'truncatedAlerts')
  if (typeof left === 'number' && left > 0)
    problems.push(`${left} more alerts of the group were left out by the tool: raise its max_alerts`)
  return reading({ alerts, problems })
}

/** Without a fingerprint the labels are what makes an alert. */
function fingerprintOf(own: Readonly<Record<string, string>>): string {
  const names = Object.keys(own).sort()
  if (names.length === 0) return ''
  return createHash('sha256')
    .update(JSON.stringify(names.map(name => [name, own[name]])))
    .digest('hex')
    .slice(0, 32)
}

/** The numbers that made a Grafana alert, by the letter of their query. */
function valuesOf(alert: unknown): Record<string, string> {
  const values = record(at(alert, 'values'))
  return Object.fromEntries(Object.entries(labels(values)).map(([name, value]) => [`value ${name}`, value]))
}

function said(word: unknown): string {
  return word === undefined ? 'missing' : JSON.stringify(text(word, 40))
}
