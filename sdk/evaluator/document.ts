/** Takes documents apart without trusting them: what is not as it should be is `Malformed`, with its place. */
import type { Json } from '../../schemas/json.ts'

/** Why a document cannot be understood. Never leaves this folder: it becomes the flag's error. */
export class Malformed extends Error {
  constructor(path: string, problem: string) {
    super(path === '' ? problem : `${path} ${problem}`)
    this.name = 'Malformed'
  }
}

/** Values nested deeper are not taken: far beyond what may be written, far from what the stack holds. */
const VALUE_READ_DEPTH_MAX = 200

export type Fields = Readonly<Record<string, unknown>>

export function fieldsOf(value: unknown, path: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Malformed(path, `is ${kindOf(value)}, expected an object`)
  return value as Fields
}

/** A list that is left out is empty. */
export function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw new Malformed(path, `is ${kindOf(value)}, expected an array`)
  return value
}

/** Lists without items are one and the same: most lists are empty, and each of its own would be one more visit to memory. */
const EMPTY: never[] = []

export function preparedList<T>(value: unknown, path: string, prepareItem: (item: unknown, i: number) => T): readonly T[] {
  const items = listOf(value, path)
  return items.length === 0 ? EMPTY : items.map(prepareItem)
}

export function textOf(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new Malformed(path, `is ${kindOf(value)}, expected a text`)
  return value
}

export function integerOf(value: unknown, path: string, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max)
    throw new Malformed(path, `is not an integer from 0 to ${max}`)
  return value
}

/** A copy that nobody can change: it is handed to every caller. Own `__proto__` keys stay ordinary keys. */
export function frozenCopy(value: unknown, path: string, depth = 0): Json {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null) return value
  if (typeof value !== 'object') throw new Malformed(path, `is ${kindOf(value)}, which JSON cannot hold`)
  if (depth >= VALUE_READ_DEPTH_MAX) throw new Malformed(path, `is nested deeper than ${VALUE_READ_DEPTH_MAX} levels`)
  if (Array.isArray(value)) return Object.freeze(value.map((item: unknown) => frozenCopy(item, path, depth + 1)))
  return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, frozenCopy(item, path, depth + 1)])))
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}
