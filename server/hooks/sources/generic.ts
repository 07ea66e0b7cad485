/**
 * JSON of any shape: by a mapping of JSON Pointers, else in our own normal form, one alert or several in `alerts`. Standard Webhooks
 * carry the same below `data`.
 */
import type { HookMapping } from '../../../schemas/hook.ts'
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

export function generic(mapping: HookMapping | undefined): Adapter {
  return body => (mapping === undefined ? normalForm(body, '') : mapped(body, mapping))
}

export function standard(mapping: HookMapping | undefined): Adapter {
  return (body, headers) => {
    const externalId = headers('webhook-id') || null
    if (mapping !== undefined) return { ...mapped(body, mapping), externalId }
    const data = at(body, 'data')
    // The type says what happened, as in `monitor.triggered`, where the data does not.
    const word = text(at(body, 'type')).split('.').at(-1) ?? ''
    return { ...normalForm(data === undefined ? body : data, word), externalId }
  }
}

function normalForm(body: unknown, typeWord: string): ReturnType<Adapter> {
  const own = at(body, 'alerts')
  const items = Array.isArray(own) ? (own as readonly unknown[]) : [body]
  const problems: string[] = []
  const alerts: ReadAlert[] = []
  for (const [i, item] of items.entries()) {
    const where = Array.isArray(own) ? `alerts[${i}]` : 'the body'
    const word = at(item, 'status')
    const known = word === undefined ? status(typeWord) : text(word) === 'info' ? 'info' : status(word)
    const given = at(item, 'labels')
    const alert =
      known === null
        ? null
        : readAlert({
            dedupKey: firstText(at(item, 'dedupKey'), at(item, 'id'), at(item, 'title')),
            status: known,
            severity: severity(at(item, 'severity')),
            title: firstText(at(item, 'title')),
            description: firstText(at(item, 'description')),
            labels: labels(given),
            annotations: labels(at(item, 'annotations')),
            startsAt: moment(at(item, 'startsAt')),
            endsAt: moment(at(item, 'endsAt')),
            links: links(...list(at(item, 'links')), at(item, 'link')),
          })
    if (known === null) problems.push(`${where} has no status that is known here: firing, resolved or info`)
    else if (alert === null) problems.push(`${where} has neither dedupKey nor title`)
    else alerts.push(alert)
  }
  if (items.length === 0) problems.push('alerts is empty')
  return reading({ alerts, problems })
}

function mapped(body: unknown, mapping: HookMapping): ReturnType<Adapter> {
  const found = mapping.each === undefined ? [body] : pointed(body, mapping.each)
  if (!Array.isArray(found)) return reading({ problems: [`each: there is no list at ${JSON.stringify(mapping.each)}`] })
  const problems: string[] = []
  const alerts: ReadAlert[] = []
  for (const [i, item] of (found as readonly unknown[]).entries()) {
    const where = mapping.each === undefined ? '' : ` of element ${i}`
    const dedupKey = text(pointed(item, mapping.dedupKey))
    const word = text(pointed(item, mapping.status))
    if (dedupKey === '') problems.push(`dedupKey${where}: there is no text at ${JSON.stringify(mapping.dedupKey)}`)
    if (word === '') problems.push(`status${where}: there is no text at ${JSON.stringify(mapping.status)}`)
    if (dedupKey === '' || word === '') continue
    const get = (pointer: string | undefined): unknown => (pointer === undefined ? undefined : pointed(item, pointer))
    const alert = readAlert({
      dedupKey,
      status: mapping.firing.includes(word) ? 'firing' : mapping.resolved.includes(word) ? 'resolved' : 'info',
      severity: severity(get(mapping.severity)),
      title: firstText(get(mapping.title)),
      description: firstText(get(mapping.description)),
      labels: labels(...Object.entries(mapping.labels ?? {}).map(([name, pointer]) => labelOf(name, pointed(item, pointer)))),
      startsAt: moment(get(mapping.startsAt)),
      links: links(get(mapping.link)),
    })
    if (alert !== null) alerts.push(alert)
  }
  if (found.length === 0) problems.push(`each: the list at ${JSON.stringify(mapping.each)} is empty`)
  return reading({ alerts, problems })
}

/** A text under its name, an object's texts under theirs. */
function labelOf(name: string, value: unknown): unknown {
  return typeof value === 'object' && value !== null ? record(value) : { [name]: value }
}

/** RFC 6901; undefined where nothing is there. The empty pointer is the whole. */
function pointed(body: unknown, pointer: string): unknown {
  if (pointer === '') return body
  const names = pointer.slice(1).split('/')
  return at(body, ...names.map(name => name.replaceAll('~1', '/').replaceAll('~0', '~')))
}
