/** Slack's incoming webhooks, and what takes the same: one message a second at most, so what comes faster shares one. */
import type { Receipts } from '../../../schemas/instance.ts'
import type { Outgoing } from '../../egress/egress.ts'
import type { Message } from '../message.ts'
import type { Kind, Parcel, Sending } from './kind.ts'

/** Slack takes about one a second for a channel. */
const SPACING_MS = 1_000
/** Slack takes 50 blocks. */
const TOGETHER_MAX = 20
/** Up to so many are told in full, more with a line or two each. */
const WHOLE_MAX = 3
/** Slack takes 3,000. */
const SECTION_LENGTH_MAX = 2_900
const FALLBACK_LENGTH_MAX = 500

const SIGNS: Readonly<Record<Message['severity'], string>> = {
  critical: ':rotating_light:',
  error: ':red_circle:',
  warning: ':large_yellow_circle:',
  info: ':large_blue_circle:',
}

export const slack: Kind = {
  secretsNeeded: ['url'],
  secretsTaken: ['url'],
  bases: null,
  spacingMs: SPACING_MS,
  isRefusalFinal: true,
  parts: message => [{ message }],
  together: parts => Math.min(parts.length, TOGETHER_MAX),
  request,
  tests: sending => [request(sending)],
}

function request({ secrets, parcels }: Sending): Outgoing {
  const blocks = parcels.length <= WHOLE_MAX ? parcels.flatMap(whole) : parcels.map(short)
  const [{ part: first }] = parcels
  const more = parcels.length === 1 ? '' : ` (and ${parcels.length - 1} more)`
  return {
    url: secrets.url ?? '',
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ text: `${escaped(first.message.title, FALLBACK_LENGTH_MAX)}${more}`, blocks }),
  }
}

interface Block {
  readonly type: 'section' | 'context'
  readonly text?: TextObject
  readonly elements?: readonly TextObject[]
}

interface TextObject {
  readonly type: 'mrkdwn'
  readonly text: string
}

function whole({ part: { message }, receipts }: Parcel): Block[] {
  const { title, lines, why, undo } = message
  const text = [`${signOf(message)} *${escaped(title, 600)}*`, ...lines.map(line => escaped(line, 700))]
  if (why !== null) text.push(`> ${escaped(why.replaceAll('\n', ' '), 700)}`)
  if (undo !== null) text.push(`Undo: ${codeText(undo)}`)
  return [section(text.join('\n')), { type: 'context', elements: [{ type: 'mrkdwn', text: footText(message, receipts) }] }]
}

function short({ part: { message } }: Parcel): Block {
  const { title, actor, why, undo } = message
  const by = actor === null ? '' : ` by ${escaped(actor, 100)}`
  const reason = why === null ? '' : `: ${escaped(why.replaceAll('\n', ' '), 200)}`
  return section(`${signOf(message)} *${escaped(title, 400)}*${by}${reason}${undo === null ? '' : `\nUndo: ${codeText(undo)}`}`)
}

function section(text: string): Block {
  return { type: 'section', text: { type: 'mrkdwn', text: text.length <= SECTION_LENGTH_MAX ? text : endedAt(text, SECTION_LENGTH_MAX) } }
}

function signOf({ severity, incidents }: Message): string {
  return incidents.length > 0 && incidents.every(({ isResolved }) => isResolved) ? ':large_green_circle:' : SIGNS[severity]
}

function footText({ project, environment, actor, revision }: Message, receipts: Receipts | null): string {
  const parts = [escaped(`${project}/${environment}`, 300)]
  if (actor !== null) parts.push(`by ${escaped(actor, 200)}`)
  if (revision !== null) parts.push(`revision ${revision}`)
  if (receipts !== null && receipts.instances > 0) parts.push(`arrived at ${arrivedText(receipts)}`)
  return parts.join(' · ')
}

/** `412 of 415 instances in 0.8 s`. */
function arrivedText({ confirmed, instances, slowestMs }: Receipts): string {
  const time = slowestMs === null ? '' : ` in ${slowestMs < 1_000 ? (slowestMs / 1_000).toFixed(2) : (slowestMs / 1_000).toFixed(1)} s`
  return `${confirmed} of ${instances} instances${time}`
}

/** In a span of code no sign has a meaning but the one that ends it. */
function codeText(text: string): string {
  return `\`${escaped(text.replaceAll('`', "'").replaceAll('\n', ' '), 900)}\``
}

/** Without a meaning to Slack: no mention, link or channel comes out of a text. Cut at whole characters. */
function escaped(text: string, length: number): string {
  let result = ''
  for (const character of text) {
    const safe = ENTITIES[character] ?? character
    if (result.length + safe.length > length - 1) return `${result}…`
    result += safe
  }
  return result
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

/** Of a text that is escaped already. */
function endedAt(text: string, length: number): string {
  return `${text.slice(0, length - 1).replace(/&[a-z]{0,3}$|[\uD800-\uDBFF]$/, '')}…`
}
