/** New Relic's workflows, with the payload that its webhook destination starts from: one issue. */
import { type Adapter, at, firstText, labels, links, list, moment, one, readAlert, reading, status, text } from '../reading.ts'
import type { AlertSeverity } from '../../../schemas/alert.ts'

const PRIORITIES: Readonly<Record<string, AlertSeverity>> = { CRITICAL: 'critical', HIGH: 'error', MEDIUM: 'warning', LOW: 'info' }

export const newrelic: Adapter = body => {
  const word = text(at(body, 'state')).toUpperCase()
  const known = word === 'ACKNOWLEDGED' ? 'info' : status(word)
  if (known === null)
    return reading({
      problems: [`state is ${word === '' ? 'missing' : JSON.stringify(word.slice(0, 40))}, expected CREATED, ACTIVATED or CLOSED`],
    })
  const priority = text(at(body, 'priority')).toUpperCase()
  const alert = readAlert({
    dedupKey: firstText(at(body, 'id')),
    status: known,
    severity: Object.hasOwn(PRIORITIES, priority) ? PRIORITIES[priority]! : 'error',
    title: firstText(firstOf(at(body, 'title'))),
    labels: labels({
      workflow: at(body, 'workflowName'),
      policy: firstOf(at(body, 'alertPolicyNames')),
      condition: firstOf(at(body, 'alertConditionNames')),
      entity: firstOf(at(body, 'impactedEntities')),
      priority,
    }),
    annotations: labels({
      entities: joined(at(body, 'impactedEntities')),
      conditions: joined(at(body, 'alertConditionNames')),
      sources: joined(at(body, 'sources')),
      trigger: at(body, 'trigger'),
      incidents: at(body, 'totalIncidents'),
    }),
    startsAt: moment(at(body, 'createdAt')),
    endsAt: moment(at(body, 'updatedAt')),
    links: links(at(body, 'issueUrl')),
  })
  return one(alert, 'id is missing')
}

/** Templates write some fields as a list of one, some as a text. */
function firstOf(value: unknown): unknown {
  return Array.isArray(value) ? (value as readonly unknown[])[0] : value
}

function joined(value: unknown): string {
  return list(value)
    .slice(0, 20)
    .map(item => text(item, 200))
    .join(', ')
}
