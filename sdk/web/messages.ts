/**
 * What the server says to clients, read by hand as `schemas/clientstream.ts` describes it, on the stream and in OFREP's
 * bulk answer; and put into the words of `connection.ts`, which decides the same for pages as for servers. Lenient:
 * unknown fields and types pass; what is known must have its shape.
 */
import type { Documents, Downstream, Whole } from '../messages.ts'
import type { Details, EvaluationError, Json, Reason, ValueType } from '../types.ts'

/** A flag as it is told: OFREP's success or failure. */
export interface Item {
  readonly key: string
  readonly value?: Json
  readonly variant?: string
  /** OpenFeature's word. */
  readonly reason?: string
  readonly errorCode?: string
  readonly errorDetails?: string
  readonly metadata?: Readonly<Record<string, unknown>>
}

export interface Read {
  /** Null for what cannot be read. */
  readonly message: Downstream | null
  /** Of the context that this answers; null for what is said to whoever is there. */
  readonly contextId: number | null
}

const UNREADABLE: Read = { message: null, contextId: null }

export function parseMessage(text: string): Read {
  const said = objectIn(text)
  if (said === null || typeof said.type !== 'string') return UNREADABLE
  const { type, contextId } = said
  const answers = typeof contextId === 'number' ? contextId : null
  switch (type) {
    case 'beat':
      return isPlace(said) ? { message: said as unknown as Downstream, contextId: null } : UNREADABLE
    case 'current':
      return isPlace(said) && answers !== null ? { message: said as unknown as Downstream, contextId: answers } : UNREADABLE
    case 'evaluations':
      return isPlace(said) && isItems(said.flags) && answers !== null
        ? { message: { type: 'ruleset', ...wholeOf(said, said.flags) }, contextId: answers }
        : UNREADABLE
    case 'changed':
      return isPlace(said) && isRevision(said.from) && isItems(said.flags) && isKeys(said.removed)
        ? {
            message: { type: 'change', ...wholeOf(said, said.flags), from: said.from, removedFlags: said.removed, removedSegments: [] },
            contextId: null,
          }
        : UNREADABLE
    case 'drain':
      return isDuration(said.afterMs) && isDuration(said.spreadMs)
        ? { message: { type, afterMs: said.afterMs, spreadMs: said.spreadMs }, contextId: null }
        : UNREADABLE
    default:
      return { message: { type: 'unknown' }, contextId: null }
  }
}

/** OFREP's bulk answer, or null. */
export function parseBulk(text: string): Whole | null {
  const said = objectIn(text)
  return said !== null && isObject(said.metadata) && isPlace(said.metadata) && isItems(said.flags)
    ? wholeOf(said.metadata, said.flags)
    : null
}

/** Whether a value is what was kept of an answer. */
export function isItems(list: unknown): list is readonly Item[] {
  return Array.isArray(list) && list.every(isItem)
}

/** The items that a message carries where an SDK for servers has documents: `connection.ts` looks into neither. */
export function itemsOf(documents: Pick<Documents, 'flags'>): readonly Item[] {
  return documents.flags as unknown as readonly Item[]
}

/** What came out of an evaluation, and how often it was asked for since the last report. */
export interface Evaluated extends Omit<Details<Json | undefined>, 'revision' | 'stale'> {
  readonly type: ValueType | null
  readonly item: Item
  count: number
}

export function evaluatedOf(item: Item, type: ValueType | null): Evaluated {
  // Ours among what the flag itself brings; the revision is the answer's.
  const { reason, error, flagVersion, unbucketed, revision: _, ...own } = item.metadata ?? {}
  const version = typeof flagVersion === 'number' ? flagVersion : null
  const shared = { item, type, flagVersion: version, count: 0 }
  if (item.errorCode !== undefined) {
    const message = item.errorDetails ?? item.errorCode
    return { ...shared, value: undefined, variation: null, reason: 'ERROR', error: (error ?? 'MALFORMED_FLAG') as EvaluationError, message }
  }
  return {
    ...shared,
    value: frozen(item.value),
    variation: item.variant ?? null,
    reason: reason as Reason,
    ...(unbucketed === true ? { unbucketed } : {}),
    ...(item.reason === 'SPLIT' ? { rollout: true } : {}),
    ...(item.reason === 'STATIC' ? { static: true } : {}),
    ...(Object.keys(own).length > 0 ? { metadata: own as Record<string, string | number | boolean> } : {}),
  }
}

function wholeOf(place: Record<string, unknown>, items: readonly Item[]): Whole {
  const { epoch, revision, hash, reset } = place as unknown as Whole
  return {
    epoch,
    revision,
    ...(typeof hash === 'string' ? { hash } : {}),
    ...(reset === true ? { reset } : {}),
    flags: items as unknown as Documents['flags'],
    segments: [],
  }
}

/** Whoever asks gets the same object: one page's code must not change another's. */
function frozen(value: Json | undefined): Json | undefined {
  if (typeof value !== 'object' || value === null) return value
  for (const inner of Object.values<Json>(value as Readonly<Record<string, Json>>)) frozen(inner)
  return Object.freeze(value)
}

function objectIn(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

function isItem(item: unknown): boolean {
  if (!isObject(item) || typeof item.key !== 'string') return false
  if (item.metadata !== undefined && !isObject(item.metadata)) return false
  return (
    typeof item.errorCode === 'string' || (item.value !== undefined && typeof item.variant === 'string' && typeof item.reason === 'string')
  )
}

function isPlace(value: Record<string, unknown>): boolean {
  return typeof value.epoch === 'string' && isRevision(value.revision)
}

function isKeys(list: unknown): list is string[] {
  return Array.isArray(list) && list.every(item => typeof item === 'string')
}

function isRevision(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
