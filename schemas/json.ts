/** JSON as people send it: any value, but bounded in depth, and without keys or texts that would damage what reads it. */
import { z } from 'zod'
import { DEPTH_MAX, KEYS_REFUSED } from './limits.ts'

export type JsonScalar = string | number | boolean | null
export type Json = JsonScalar | readonly Json[] | { readonly [key: string]: Json }

/**
 * What makes a value unfit to be stored or evaluated, or null when it is fit.
 * @param value anything; what is not JSON at all (a function, NaN, a class instance) is unfit
 * @param depth how many levels of arrays and objects may be nested
 */
export function unfit(value: unknown, depth: number = DEPTH_MAX): { path: string; code: string; message: string } | null {
  // An explicit stack: a body of 200,000 nested arrays parses, and must not overflow ours.
  const stack: { value: unknown; path: string; depth: number }[] = [{ value, path: '', depth: 0 }]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { value: item, path } = next
    if (item === null || typeof item === 'boolean') continue
    if (typeof item === 'string') {
      if (!item.isWellFormed())
        return { path, code: 'lone_surrogate', message: 'holds half of a surrogate pair, which is not text. Correct the encoding.' }
      continue
    }
    if (typeof item === 'number') {
      if (!Number.isFinite(item)) return { path, code: 'not_finite', message: 'is not a finite number. Send a number JSON can hold.' }
      continue
    }
    if (typeof item !== 'object') return { path, code: 'not_json', message: `is a ${typeof item}, which JSON cannot hold.` }
    if (next.depth >= depth) return { path, code: 'too_deep', message: `is nested deeper than ${depth} levels. Flatten it.` }
    if (Array.isArray(item)) {
      for (let i = 0; i < item.length; i++) stack.push({ value: item[i], path: `${path}[${i}]`, depth: next.depth + 1 })
      continue
    }
    for (const key of Object.keys(item)) {
      const at = path === '' ? key : `${path}.${key}`
      if (KEYS_REFUSED.includes(key)) return { path: at, code: 'key_refused', message: `the key "${key}" is not allowed. Rename it.` }
      if (!key.isWellFormed())
        return { path, code: 'lone_surrogate', message: 'has a key with half of a surrogate pair. Correct the encoding.' }
      stack.push({ value: (item as Record<string, unknown>)[key], path: at, depth: next.depth + 1 })
    }
  }
  return null
}

/** Any JSON value, at most `DEPTH_MAX` deep. */
export const jsonSchema = z.json().meta({ id: 'Json', description: `Any JSON value, nested at most ${DEPTH_MAX} levels.` })

/** A JSON scalar as clauses and targets list it: text, finite number or boolean. */
export const scalarSchema = z.union([z.string(), z.number(), z.boolean()])
export type Scalar = z.infer<typeof scalarSchema>
