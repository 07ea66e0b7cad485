/**
 * Reading what tools send: nothing here throws, whatever the value. What cannot be read is left out, and long texts are cut, so
 * that an alert with an odd field is still an alert.
 */
import type { AlertSeverity, AlertStatus } from '../../schemas/alert.ts'
import { KEYS_REFUSED } from '../../schemas/limits.ts'

export const TITLE_LENGTH_MAX = 300
export const DESCRIPTION_LENGTH_MAX = 4_000
const LABELS_MAX = 64
const LABEL_NAME_MAX = 256
const LABEL_LENGTH_MAX = 1_024
const LINKS_MAX = 8
const LINK_LENGTH_MAX = 2_000
const DEDUP_LENGTH_MAX = 300
/** A moment before this is none: tools write the year 1 for "not yet". */
const EARLIEST_MS = Date.UTC(2000, 0, 1)
/** Numbers below this count seconds: as milliseconds they would be in January 1970. */
const SECONDS_BELOW = 1e11

/** An alert as a tool says it. */
export interface ReadAlert {
  readonly dedupKey: string
  readonly status: AlertStatus
  readonly severity: AlertSeverity
  readonly title: string
  readonly description: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  /** Milliseconds since 1970; null where the tool says none. */
  readonly startsAt: number | null
  readonly endsAt: number | null
  readonly links: readonly string[]
}

/** What one body says. */
export interface Reading {
  readonly alerts: readonly ReadAlert[]
  /** What the tool calls this delivery, the same when it tries again. */
  readonly externalId: string | null
  /** When it was sent, where the body says so: milliseconds since 1970. */
  readonly sentAt: number | null
  /** What could not be read, for people. Without any alert it is why. */
  readonly problems: readonly string[]
  /** Why there is no alert in a body that is right: a test, a confirmation. */
  readonly note: string | null
}

/** How one tool's bodies are read. */
export type Adapter = (body: unknown, headers: Headers) => Reading

/** A header by its name, in whatever case; empty where it is not there. */
export type Headers = (name: string) => string

export function reading(more: Partial<Reading>): Reading {
  return { alerts: [], externalId: null, sentAt: null, problems: [], note: null, ...more }
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** What stands below these names; undefined where one is missing. Own properties only. */
export function at(value: unknown, ...names: readonly string[]): unknown {
  let here = value
  for (const name of names) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, name)) return undefined
    here = (here as Record<string, unknown>)[name]
  }
  return here
}

/** A text, number or boolean as a text; empty for anything else. */
export function text(value: unknown, most: number = LABEL_LENGTH_MAX): string {
  if (typeof value === 'string') return cut(value.isWellFormed() ? value : value.replace(/[\ud800-\udfff]/g, '\ufffd'), most)
  return (typeof value === 'number' && Number.isFinite(value)) || typeof value === 'boolean' ? String(value) : ''
}

/** The first that says something. */
export function firstText(...values: readonly unknown[]): string {
  for (const value of values) {
    const found = text(value, DESCRIPTION_LENGTH_MAX)
    if (found !== '') return found
  }
  return ''
}

function cut(value: string, most: number): string {
  if (value.length <= most) return value
  const head = value.slice(0, most - 1)
  // Not through the middle of a character.
  return `${head.isWellFormed() ? head : head.slice(0, -1)}…`
}

/** Milliseconds since 1970 of a moment: RFC 3339 (also with +0000), or a number of seconds or milliseconds. Null for what is none. */
export function moment(value: unknown): number | null {
  let ms = NaN
  if (typeof value === 'number') ms = value < SECONDS_BELOW ? value * 1_000 : value
  else if (typeof value === 'string' && /^\d{9,13}(?:\.\d+)?$/.test(value)) return moment(Number(value))
  else if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value) && value.length <= 64)
    ms = Date.parse(value.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'))
  // The largest moment that a date can hold.
  return ms >= EARLIEST_MS && ms <= 8.64e15 ? Math.floor(ms) : null
}

/** Texts by their names, of objects one after the other: what comes later counts. */
export function labels(...objects: readonly unknown[]): Record<string, string> {
  const result: Record<string, string> = {}
  let count = 0
  for (const object of objects) {
    for (const [name, value] of Object.entries(record(object))) {
      const label = text(value)
      if (label === '' || name === '' || name.length > LABEL_NAME_MAX || KEYS_REFUSED.includes(name) || !name.isWellFormed()) continue
      if (!Object.hasOwn(result, name) && ++count > LABELS_MAX) return result
      result[name] = label
    }
  }
  return result
}

/** Those that are addresses of pages, each once. */
export function links(...values: readonly unknown[]): string[] {
  const found = values.filter(
    (value): value is string =>
      typeof value === 'string' && value.length <= LINK_LENGTH_MAX && /^https?:\/\/\S+$/.test(value) && value.isWellFormed(),
  )
  return [...new Set(found)].slice(0, LINKS_MAX)
}

const SEVERITIES: Readonly<Record<string, AlertSeverity>> = {
  critical: 'critical',
  fatal: 'critical',
  emergency: 'critical',
  page: 'critical',
  sev0: 'critical',
  sev1: 'critical',
  p0: 'critical',
  p1: 'critical',
  error: 'error',
  major: 'error',
  high: 'error',
  sev2: 'error',
  p2: 'error',
  warning: 'warning',
  warn: 'warning',
  minor: 'warning',
  medium: 'warning',
  sev3: 'warning',
  p3: 'warning',
  info: 'info',
  informational: 'info',
  notice: 'info',
  low: 'info',
  none: 'info',
  debug: 'info',
  ok: 'info',
  success: 'info',
  sev4: 'info',
  sev5: 'info',
  p4: 'info',
  p5: 'info',
}

/** The nearest of our severities for the first word that is known; `error` when none is: an alert without a word is one. */
export function severity(...words: readonly unknown[]): AlertSeverity {
  for (const word of words) {
    const known = text(word, 64).trim().toLowerCase()
    if (Object.hasOwn(SEVERITIES, known)) return SEVERITIES[known]!
  }
  return 'error'
}

const STATUSES: Readonly<Record<string, AlertStatus>> = {
  firing: 'firing',
  fired: 'firing',
  triggered: 'firing',
  alerting: 'firing',
  alarm: 'firing',
  open: 'firing',
  opened: 'firing',
  created: 'firing',
  activated: 'firing',
  active: 'firing',
  failed: 'firing',
  down: 'firing',
  resolved: 'resolved',
  recovered: 'resolved',
  closed: 'resolved',
  ok: 'resolved',
  cleared: 'resolved',
  up: 'resolved',
}

/** Null for a word that says neither. */
export function status(word: unknown): AlertStatus | null {
  const known = text(word, 64).trim().toLowerCase()
  return Object.hasOwn(STATUSES, known) ? STATUSES[known]! : null
}

/** An alert from what could be read; null without a key to know it by. */
export function readAlert(parts: Partial<ReadAlert> & Pick<ReadAlert, 'dedupKey' | 'status'>): ReadAlert | null {
  const dedupKey = cut(parts.dedupKey, DEDUP_LENGTH_MAX)
  if (dedupKey === '') return null
  return {
    dedupKey,
    status: parts.status,
    severity: parts.severity ?? 'error',
    title: cut(parts.title === undefined || parts.title.trim() === '' ? dedupKey : parts.title, TITLE_LENGTH_MAX),
    description: cut(parts.description ?? '', DESCRIPTION_LENGTH_MAX),
    labels: parts.labels ?? {},
    annotations: parts.annotations ?? {},
    startsAt: parts.startsAt ?? null,
    endsAt: parts.status === 'resolved' ? (parts.endsAt ?? null) : null,
    links: parts.links ?? [],
  }
}

/** A reading of one alert, or of why there is none. */
export function one(alert: ReadAlert | null, missing: string, more: Partial<Reading> = {}): Reading {
  return reading(alert === null ? { problems: [missing], ...more } : { alerts: [alert], ...more })
}
