/** What a trigger says of itself in the log, in kills and in notices. */
import type { Alert } from '../../schemas/alert.ts'
import { TEXT_LENGTH_MAX } from '../../schemas/limits.ts'
import { ALERT_TITLE_MAX, type Trigger } from '../../schemas/trigger.ts'

const LINK_LENGTH_MAX = 2_048

/** `alert "High 5xx rate" (critical) from am-prod`. */
export function alertText(alert: Alert): string {
  return `alert ${JSON.stringify(titleOf(alert))} (${alert.status === 'resolved' ? 'resolved' : alert.severity}) from ${alert.hook}`
}

export function titleOf(alert: Alert): string {
  return clipped(alert.title.toWellFormed(), ALERT_TITLE_MAX)
}

export function linkOf(alert: Alert): string | null {
  const [link] = alert.links
  return link === undefined || link.length > LINK_LENGTH_MAX ? null : link
}

/** The comment of the entry: what was done, by which alert, how many fire, and where to read on. */
export function commentOf(trigger: Trigger, by: Alert, count: number, done: string): string {
  const many = count > 1 ? `, one of ${count} that fire` : ''
  const link = linkOf(by)
  return clipped(`${done}: trigger "${trigger.key}" on ${alertText(by)}${many}${link === null ? '' : ` ${link}`}`, TEXT_LENGTH_MAX)
}

export function clipped(text: string, length: number): string {
  if (text.length <= length) return text
  // Half of a surrogate pair is no text.
  return `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

/** The command that puts back what a trigger did. */
export function undoText(log: string, trigger: string): string {
  const [project = '', environment = ''] = log.split('/')
  return `sluice triggers restore ${trigger} -e ${environment}${project === 'default' ? '' : ` -p ${project}`}`
}
