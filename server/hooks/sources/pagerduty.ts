/** PagerDuty's webhooks v3: one event of one incident. */
import { type Adapter, at, firstText, labels, links, list, moment, one, readAlert, reading, severity, text } from '../reading.ts'

export const pagerduty: Adapter = body => {
  const event = at(body, 'event')
  const type = text(at(event, 'event_type'))
  if (type === 'pagey.ping') return reading({ note: 'a test of the subscription' })
  if (type === '') return reading({ problems: ['event.event_type is missing: this is no webhook v3 of PagerDuty'] })
  if (!type.startsWith('incident.')) return reading({ note: `${type} is no event of an incident` })
  const data = at(event, 'data')
  // Events about an incident carry it within, or are it.
  const incident = at(data, 'incident') ?? data
  const occurredAt = moment(at(event, 'occurred_at'))
  const urgency = text(at(incident, 'urgency'))
  const status =
    type === 'incident.triggered' || type === 'incident.reopened' ? 'firing' : type === 'incident.resolved' ? 'resolved' : 'info'
  const alert = readAlert({
    dedupKey: firstText(at(incident, 'id'), at(incident, 'incident_key')),
    status,
    severity: severity(at(incident, 'priority', 'summary'), urgency === 'low' ? 'warning' : urgency),
    title: firstText(at(incident, 'title'), at(incident, 'summary')),
    labels: labels({
      event: type,
      urgency,
      priority: at(incident, 'priority', 'summary'),
      service: at(incident, 'service', 'summary'),
      serviceId: at(incident, 'service', 'id'),
      team: at(list(at(incident, 'teams'))[0], 'summary'),
      number: at(incident, 'number'),
      incidentKey: at(incident, 'incident_key'),
      client: at(event, 'client', 'name'),
    }),
    startsAt: occurredAt,
    endsAt: occurredAt,
    links: links(at(incident, 'html_url')),
  })
  return one(alert, 'event.data.id is missing', { externalId: text(at(event, 'id')) || null, sentAt: occurredAt })
}
