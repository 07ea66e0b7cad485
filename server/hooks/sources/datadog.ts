/** Datadog's webhooks integration, with the template below: its variables come as texts, and those that are not set as `$NAME`. */
import type { AlertStatus } from '../../../schemas/alert.ts'
import { type Adapter, at, labels, links, moment, one, readAlert, reading, severity, text } from '../reading.ts'

/** The payload to paste into Datadog. */
export const DATADOG_TEMPLATE = {
  id: '$ID',
  alertId: '$ALERT_ID',
  cycle: '$ALERT_CYCLE_KEY',
  aggregate: '$AGGREG_KEY',
  transition: '$ALERT_TRANSITION',
  type: '$ALERT_TYPE',
  priority: '$ALERT_PRIORITY',
  title: '$EVENT_TITLE',
  text: '$TEXT_ONLY_MSG',
  metric: '$ALERT_METRIC',
  query: '$ALERT_QUERY',
  scope: '$ALERT_SCOPE',
  tags: '$TAGS',
  host: '$HOSTNAME',
  date: '$DATE',
  link: '$LINK',
} as const

const TRANSITIONS: Readonly<Record<string, AlertStatus>> = {
  triggered: 'firing',
  're-triggered': 'firing',
  warn: 'firing',
  're-warn': 'firing',
  renotify: 'firing',
  recovered: 'resolved',
  'warn recovered': 'resolved',
  'no data recovered': 'resolved',
  'no data': 'info',
  're-no data': 'info',
}

export const datadog: Adapter = body => {
  const field = (name: keyof typeof DATADOG_TEMPLATE): string => {
    const value = text(at(body, name), 4_000)
    return /^\$[A-Z_]+(?:\[[^\]]*\])?$/.test(value) ? '' : value
  }
  const transition = field('transition')
  const word = transition.trim().toLowerCase()
  const status = Object.hasOwn(TRANSITIONS, word) ? TRANSITIONS[word]! : null
  if (status === null) {
    return reading({
      problems: [
        transition === ''
          ? 'transition is missing: paste the template of this hook into the payload of the webhook in Datadog'
          : `transition is ${JSON.stringify(transition.slice(0, 40))}, which is none of Datadog's that is known here`,
      ],
    })
  }
  const date = moment(field('date'))
  const alert = readAlert({
    dedupKey: field('cycle') || field('aggregate') || field('alertId'),
    status,
    severity: word.includes('warn') ? 'warning' : severity(field('priority'), field('type')),
    title: field('title'),
    description: field('text'),
    labels: {
      ...tagsOf(field('scope')),
      ...tagsOf(field('tags')),
      ...labels({ host: field('host'), metric: field('metric'), monitor: field('alertId') }),
    },
    annotations: labels({ query: field('query') }),
    // Repetitions have dates of their own, and are the same fire.
    startsAt: word === 'triggered' || word === 'warn' || status === 'info' ? date : null,
    endsAt: date,
    links: links(field('link')),
  })
  return one(alert, 'cycle, aggregate and alertId are all empty: nothing tells this alert from others', { externalId: field('id') || null })
}

/** `env:production,service:checkout` as labels; a tag without a value is `true`. */
function tagsOf(tags: string): Record<string, string> {
  return labels(
    Object.fromEntries(
      tags.split(',').flatMap(tag => {
        const [name = '', ...rest] = tag.trim().split(':')
        return name === '' || name === '*' ? [] : [[name, rest.length === 0 ? 'true' : rest.join(':')]]
      }),
    ),
  )
}
