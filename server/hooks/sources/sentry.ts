/** Sentry's integration platform: metric alerts, issue alerts and issues, told apart by the header `Sentry-Hook-Resource`. */
import { type Adapter, at, firstText, labels, links, moment, one, readAlert, reading, severity, text } from '../reading.ts'

export const sentry: Adapter = (body, headers) => {
  const data = at(body, 'data')
  const action = text(at(body, 'action'))
  const resource = headers('sentry-hook-resource') || resourceOf(data)
  if (resource === 'metric_alert') return metricAlert(data, action)
  if (resource === 'issue') return issue(data, action)
  if (resource === 'event_alert') return eventAlert(data)
  if (resource === '') return reading({ problems: ['neither the header Sentry-Hook-Resource nor the body says what this is'] })
  return reading({ note: `${JSON.stringify(resource.slice(0, 40))} is no alert` })
}

/** A pasted body comes without its headers. */
function resourceOf(data: unknown): string {
  if (at(data, 'metric_alert') !== undefined) return 'metric_alert'
  if (at(data, 'issue') !== undefined) return 'issue'
  return at(data, 'event') === undefined ? '' : 'event_alert'
}

function metricAlert(data: unknown, action: string): ReturnType<Adapter> {
  const status = action === 'critical' || action === 'warning' ? 'firing' : action === 'resolved' ? 'resolved' : 'info'
  const incident = at(data, 'metric_alert')
  const id = firstText(at(incident, 'id'), at(incident, 'identifier'))
  const alert = readAlert({
    dedupKey: id === '' ? '' : `metric_alert:${id}`,
    status,
    severity: severity(action === 'resolved' ? null : action),
    title: firstText(at(data, 'description_title'), at(incident, 'title')),
    description: firstText(at(data, 'description_text')),
    labels: labels({
      resource: 'metric_alert',
      rule: at(incident, 'alert_rule', 'name'),
      environment: at(incident, 'alert_rule', 'environment'),
      organization: at(incident, 'organization_id'),
      project: firstProject(incident),
    }),
    // A warning that becomes critical is the same alert, and fires anew.
    startsAt: moment(at(incident, action === 'critical' ? 'date_detected' : 'date_started')) ?? moment(at(incident, 'date_started')),
    endsAt: moment(at(incident, 'date_closed')),
    links: links(at(data, 'web_url')),
  })
  return one(alert, 'data.metric_alert.id is missing')
}

function firstProject(incident: unknown): unknown {
  const projects = at(incident, 'projects')
  return Array.isArray(projects) ? projects[0] : undefined
}

function issue(data: unknown, action: string): ReturnType<Adapter> {
  const item = at(data, 'issue')
  const id = firstText(at(item, 'id'))
  const isOver = action === 'resolved' || action === 'ignored' || action === 'archived'
  const status = action === 'created' || action === 'unresolved' ? 'firing' : isOver ? 'resolved' : 'info'
  const alert = readAlert({
    dedupKey: id === '' ? '' : `issue:${id}`,
    status,
    severity: severity(at(item, 'level')),
    title: firstText(at(item, 'title'), at(item, 'metadata', 'value')),
    description: firstText(at(item, 'culprit'), at(item, 'metadata', 'value')),
    labels: labels({
      resource: 'issue',
      action,
      level: at(item, 'level'),
      project: at(item, 'project', 'slug'),
      platform: at(item, 'platform'),
      shortId: at(item, 'shortId'),
    }),
    startsAt: moment(at(item, action === 'created' ? 'firstSeen' : 'lastSeen')),
    endsAt: null,
    links: links(at(item, 'web_url'), at(item, 'permalink')),
  })
  return one(alert === null || !isOver ? alert : { ...alert, startsAt: null }, 'data.issue.id is missing')
}

function eventAlert(data: unknown): ReturnType<Adapter> {
  const event = at(data, 'event')
  const rule = firstText(at(data, 'triggered_rule'), at(data, 'issue_alert', 'title'))
  const of = firstText(at(event, 'issue_id'), at(event, 'event_id'))
  const alert = readAlert({
    dedupKey: of === '' ? '' : `event_alert:${rule}:${of}`,
    status: 'firing',
    severity: severity(at(event, 'level')),
    title: firstText(at(event, 'title'), rule),
    description: firstText(at(event, 'culprit'), at(event, 'message')),
    labels: labels(tagsOf(at(event, 'tags')), {
      resource: 'event_alert',
      rule,
      level: at(event, 'level'),
      platform: at(event, 'platform'),
      project: at(event, 'project'),
    }),
    startsAt: moment(at(event, 'datetime')) ?? moment(at(event, 'timestamp')),
    links: links(at(event, 'web_url')),
  })
  return one(alert, 'data.event has neither issue_id nor event_id')
}

/** `[["level", "error"], …]` as an object. */
function tagsOf(tags: unknown): Record<string, unknown> {
  if (!Array.isArray(tags)) return {}
  const pairs = (tags as readonly unknown[]).filter((tag): tag is readonly unknown[] => Array.isArray(tag) && typeof tag[0] === 'string')
  return Object.fromEntries(pairs.map(([name, value]) => [name as string, value]))
}
