/** PagerDuty, Events API v2: alerts that begin and end (a kill and its lift, a valve that is cut and flows), and change events. */
import { createHash } from 'node:crypto'
import type { Outgoing } from '../../egress/egress.ts'
import type { Incident, Message } from '../message.ts'
import { cutText } from '../words.ts'
import { baseOf, type Kind, type Sending } from './kind.ts'

const BASE = 'https://events.pagerduty.com'
const BASES = [BASE, 'https://events.eu.pagerduty.com']
/** Of PagerDuty. */
const SUMMARY_LENGTH_MAX = 1_024
const DEDUP_KEY_LENGTH_MAX = 255

const common = {
  secretsNeeded: ['routingKey'],
  secretsTaken: ['routingKey'],
  bases: BASES,
  spacingMs: 0,
  isRefusalFinal: true,
  together: () => 1,
} as const

export const pagerdutyAlerts: Kind = {
  ...common,
  parts: message => message.incidents.map(incident => ({ message, incident })),
  request: sending => {
    const [{ part }] = sending.parcels
    const { message, incident } = part
    if (incident === undefined) throw new Error('a message without an incident was queued')
    return alertEvent(sending, message, incident, incident.isResolved ? 'resolve' : 'trigger')
  },
  tests(sending) {
    const [{ id, part }] = sending.parcels
    const { message } = part
    const incident: Incident = { dedupKey: `sluice/test/${id}`, flag: null, isResolved: false, summary: message.title, severity: 'info' }
    return [alertEvent(sending, message, incident, 'trigger'), alertEvent(sending, message, incident, 'resolve')]
  },
}

export const pagerdutyChanges: Kind = {
  ...common,
  // What is no change is no change event.
  parts: message => (message.type.startsWith('notice.') ? [] : [{ message }]),
  request: changeEvent,
  tests: sending => [changeEvent(sending)],
}

function alertEvent(sending: Sending, message: Message, incident: Incident, action: 'trigger' | 'resolve'): Outgoing {
  const payload = {
    summary: cutText(incident.summary, SUMMARY_LENGTH_MAX),
    source: sourceOf(message),
    severity: incident.severity,
    timestamp: message.at,
    ...(incident.flag === null ? {} : { component: incident.flag }),
    group: `${message.project}/${message.environment}`,
    class: message.type,
    custom_details: detailsOf(message),
  }
  return post(sending, '/v2/enqueue', {
    event_action: action,
    dedup_key: dedupKeyOf(incident.dedupKey),
    ...(action === 'trigger' ? { payload, client: 'Sluice' } : {}),
  })
}

function changeEvent(sending: Sending): Outgoing {
  const [{ part }] = sending.parcels
  const { message } = part
  return post(sending, '/v2/change/enqueue', {
    payload: {
      summary: cutText(message.actor === null ? message.title : `${message.title} (${message.actor})`, SUMMARY_LENGTH_MAX),
      source: sourceOf(message),
      timestamp: message.at,
      custom_details: detailsOf(message),
    },
    links: [],
  })
}

function post({ notifier, secrets }: Sending, path: string, body: object): Outgoing {
  return {
    url: `${baseOf(notifier, BASE)}${path}`,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ routing_key: secrets.routingKey, ...body }),
  }
}

function sourceOf({ project, environment }: Message): string {
  return `sluice/${project}/${environment}`
}

function detailsOf({ type, revision, actor, why, lines, undo, flags }: Message): object {
  return { action: type, revision, actor, why, lines, undo, flags }
}

function dedupKeyOf(key: string): string {
  return key.length <= DEDUP_KEY_LENGTH_MAX ? key : `sluice/${createHash('sha256').update(key).digest('hex')}`
}
