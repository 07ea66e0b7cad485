/**
 * Reads one attribute of a context: a plain name, or a JSON Pointer (RFC 6901) split once when prepared. Own
 * properties only, so that `constructor` or a polluted prototype is never an attribute.
 */
import type { Context } from '../../schemas/context.ts'

export const TARGETING_KEY = 'targetingKey'

/** One attribute of one flag or segment. Remembers a scalar for the evaluation under way: rules ask for the same few again and again. */
export interface Attribute {
  readonly name: string
  /** The steps of a JSON Pointer; null for a plain name. */
  readonly path: readonly string[] | null
  /** The turn and era `value` was read in. */
  turn: number
  era: number
  value: unknown
}

/** Turns stay below this, so that V8 keeps them as small integers; then a new era begins. */
const TURNS = 2 ** 30

let lastTurn = 0
/** Changes when turns start again from one. What is remembered is valid only with the turn and the era it was made in. */
export let era = 0

/** Begin an evaluation: what was remembered before is forgotten. A getter that evaluates gets a turn of its own. */
export function nextTurn(): number {
  if (lastTurn >= TURNS) {
    lastTurn = 0
    era++
  }
  return ++lastTurn
}

/** @returns the attribute, or null for a name that starts with `/` and is no JSON Pointer */
export function attributeOf(name: string): Attribute | null {
  const path = name.startsWith('/') ? pointerSteps(name) : null
  if (path === null && name.startsWith('/')) return null
  return { name, path, turn: 0, era: 0, value: undefined }
}

/**
 * The attribute's value; undefined when it is missing. `null`, and what JSON cannot hold at all (a function, a symbol), is missing.
 * A getter that throws is missing too: an evaluation never throws.
 */
export function read(attribute: Attribute, context: Context, turn: number): unknown {
  if (attribute.turn === turn && attribute.era === era) return attribute.value
  return readAfresh(attribute, context, turn)
}

function readAfresh(attribute: Attribute, context: Context, turn: number): unknown {
  const value = lookUp(attribute, context)
  // Arrays and objects are looked up again each time: holding on to them would keep a request's data alive.
  if (typeof value !== 'object') {
    attribute.turn = turn
    attribute.era = era
    attribute.value = value
  }
  return value
}

function lookUp(attribute: Attribute, context: Context): unknown {
  let value: unknown
  try {
    const { path, name } = attribute
    if (path !== null) value = follow(path, context)
    // By its name where it is known: V8 finds it several times as quickly as by a name in a variable.
    else if (name === TARGETING_KEY) value = Object.hasOwn(context, TARGETING_KEY) ? context.targetingKey : undefined
    else if (Object.hasOwn(context, name)) value = context[name]
  } catch {
    return undefined
  }
  return value === null || typeof value === 'function' || typeof value === 'symbol' ? undefined : value
}

/** RFC 6901: names of objects, indices of arrays; into a text or a number there is no way. */
function follow(path: readonly string[], context: Context): unknown {
  let value: unknown = context
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined
    if (Array.isArray(value) && !isIndex(step)) return undefined
    if (!Object.hasOwn(value, step)) return undefined
    value = (value as Record<string, unknown>)[step]
  }
  return value
}

/** Digits without leading zeros; `-` (the element after the last) never exists. */
function isIndex(step: string): boolean {
  return /^(0|[1-9][0-9]*)$/.test(step)
}

function pointerSteps(pointer: string): string[] | null {
  if (/~(?![01])/.test(pointer)) return null
  return pointer
    .slice(1)
    .split('/')
    .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}
