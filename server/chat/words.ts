/** Words of chat messages, in Slack's mrkdwn. What people chose (keys, reasons) is escaped: it can neither mention nor format. */
import type { Clause } from '../../schemas/clause.ts'
import type { Receipts } from '../../schemas/instance.ts'
import { affectedText } from '../notifiers/words.ts'

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

export function escaped(text: string): string {
  return text.replace(/[&<>]/g, character => ENTITIES[character]!).replace(/[*_~`]/g, character => `\u200b${character}`)
}

/** A code span: nothing in it is formatted, and a backtick would end it. */
export function code(text: string): string {
  return `\`${text.replace(/`/g, "'").replace(/[&<>]/g, character => ENTITIES[character]!)}\``
}

/** `everyone`, or `contexts where /device/os is "android"`. */
export function clausesText(clauses: readonly Clause[]): string {
  return escaped(affectedText(clauses))
}

/** `12 of 12 instances have it, in 0.1 s.` */
export function receiptsText({ instances, confirmed, slowestMs }: Pick<Receipts, 'instances' | 'confirmed' | 'slowestMs'>): string {
  if (instances === 0) return 'No instance is connected; those that start get it.'
  const time = slowestMs === null ? '' : `, in ${(slowestMs / 1_000).toFixed(1)} s`
  const behind = confirmed < instances ? ' `sluice instances` names the others.' : ''
  return `${confirmed} of ${instances} ${instances === 1 ? 'instance has' : 'instances have'} it${time}.${behind}`
}

/** `for 5 min`, `for 3 h`. */
export function sinceText(at: string, now: number): string {
  const minutes = Math.max(0, Math.round((now - Date.parse(at)) / 60_000))
  if (minutes < 1) return 'just now'
  if (minutes < 120) return `for ${minutes} min`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `for ${hours} h` : `for ${Math.round(hours / 24)} days`
}
