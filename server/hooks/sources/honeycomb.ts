/** Honeycomb's triggers: a trigger that fired, with the groups that made it. The body holds no moment. */
import { type Adapter, at, firstText, labels, links, list, one, readAlert, reading, severity, text } from '../reading.ts'

export const honeycomb: Adapter = (body, headers) => {
  const word = text(at(body, 'status')).toUpperCase()
  if (word !== 'TRIGGERED' && word !== 'OK')
    return reading({ problems: [`status is ${word === '' ? 'missing' : JSON.stringify(word.slice(0, 40))}, expected TRIGGERED or OK`] })
  const groups = list(at(body, 'result_groups_triggered'))
  const alert = readAlert({
    dedupKey: firstText(at(body, 'id')),
    status: word === 'TRIGGERED' ? 'firing' : 'resolved',
    severity: severity(at(body, 'severity')),
    title: firstText(at(body, 'name'), at(body, 'summary')),
    description: firstText(at(body, 'summary'), at(body, 'description')),
    // Where one group made it, its fields are labels; of several each would hide the others.
    labels: labels(groups.length === 1 ? at(groups[0], 'Group') : {}, { trigger: at(body, 'name'), dataset: at(body, 'dataset') }),
    annotations: labels({
      description: at(body, 'description'),
      operator: at(body, 'operator'),
      threshold: at(body, 'threshold'),
      groups: groups.length === 0 ? '' : JSON.stringify(groups.slice(0, 20)),
    }),
    links: links(at(body, 'result_url'), at(body, 'trigger_url')),
  })
  return one(alert, 'id is missing', { externalId: headers('x-honeycomb-webhook-delivery-id') || null })
}
