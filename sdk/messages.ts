/**
 * The messages of the stream as the SDK reads them: the hand-written, zod-free reading of `schemas/stream.ts`, held
 * equal to it by a test. Lenient: unknown fields and unknown types pass; what is known must have its shape.
 */
import type { Flag } from '../schemas/flag.ts'
import type { Segment } from '../schemas/segment.ts'

/** The documents of an environment. An item is only known to be an object with a key: the evaluator looks closer. */
export interface Documents {
  readonly flags: readonly Flag[]
  readonly segments: readonly Segment[]
}

export interface Delta extends Documents {
  readonly epoch: string
  /** The revision to hold before applying this. */
  readonly from: number
  readonly revision: number
  readonly hash?: string
  readonly removedFlags: readonly string[]
  readonly removedSegments: readonly string[]
}

export interface Whole extends Documents {
  readonly epoch: string
  readonly revision: number
  /** Tells two histories of one revision apart; an older server does not say it. */
  readonly hash?: string
  /** What is held was lost on the server before it was stored: to be taken although its revision is no higher than what is held. */
  readonly reset?: boolean
}

export type Downstream =
  | { readonly type: 'current' | 'beat'; readonly epoch: string; readonly revision: number; readonly hash?: string }
  | ({ readonly type: 'changes' | 'change' } & Delta)
  | ({ readonly type: 'ruleset' } & Whole)
  | { readonly type: 'drain'; readonly afterMs: number; readonly spreadMs: number }
  /** For the limits, which read it themselves. */
  | { readonly type: 'grant'; readonly frame: unknown }
  /** For the valves, which read it themselves. */
  | { readonly type: 'valve-states'; readonly frame: unknown }
  /** Of a newer server; only proves that the link lives. */
  | { readonly type: 'unknown' }

/** @returns the message, or null for what is not JSON or lacks the shape its type promises */
export function parseMessage(text: string): Downstream | null {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return null
  }
  if (!isObject(message) || typeof message.type !== 'string') return null
  switch (message.type) {
    case 'current':
    case 'beat':
      return isPlace(message) ? (message as unknown as Downstream) : null
    case 'changes':
    case 'change':
      return isDelta(message) ? (message as unknown as Downstream) : null
    case 'ruleset':
      return isWhole(message) ? (message as unknown as Downstream) : null
    case 'grant':
      return { type: 'grant', frame: message }
    case 'valve-states':
      return { type: 'valve-states', frame: message }
    case 'drain':
      return isDuration(message.afterMs) && isDuration(message.spreadMs) ? (message as unknown as Downstream) : null
    default:
      return { type: 'unknown' }
  }
}

/**
 * What a poll was answered with, or null. One that looks like a delta in any field must be a delta in all: taken for
 * whole, a damaged one would empty the ruleset.
 */
export function readRuleset(value: unknown): { readonly delta: Delta } | { readonly whole: Whole } | null {
  if (isDelta(value)) return { delta: value }
  return isWhole(value) && !('from' in value || 'removedFlags' in value || 'removedSegments' in value) ? { whole: value } : null
}

/** Whether a value is a whole ruleset, as the stream, `GET /ruleset` and the cache file carry it. */
export function isWhole(value: unknown): value is Whole {
  return isObject(value) && isPlace(value) && isDocuments(value)
}

/** Whether a value is a delta, as the stream and a poll that says what it holds carry it. */
export function isDelta(value: unknown): value is Delta {
  return (
    isObject(value) &&
    isPlace(value) &&
    isRevision(value.from) &&
    isDocuments(value) &&
    isKeys(value.removedFlags) &&
    isKeys(value.removedSegments)
  )
}

function isPlace(message: Record<string, unknown>): boolean {
  const { epoch, hash, revision } = message
  return typeof epoch === 'string' && isRevision(revision) && (hash === undefined || typeof hash === 'string')
}

function isDocuments(message: Record<string, unknown>): boolean {
  return isKeyed(message.flags) && isKeyed(message.segments)
}

function isKeyed(list: unknown): boolean {
  return Array.isArray(list) && list.every(item => isObject(item) && typeof item.key === 'string')
}

function isKeys(list: unknown): boolean {
  return Array.isArray(list) && list.every(item => typeof item === 'string')
}

function isRevision(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isDuration(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
