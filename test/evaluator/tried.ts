/** Tries a property on many random cases. Each has a seed of its own, so that one that fails can be tried alone, and is made smaller first. */
import { inspect } from 'node:util'
import { randomFrom } from '../random.ts'
import { runs } from '../runs.ts'

/** The lists of which items can be left out without making a document malformed. */
const LISTS = new Set([
  'flags',
  'segments',
  'kills',
  'prerequisites',
  'targets',
  'rules',
  'clauses',
  'included',
  'excluded',
  'deltas',
  'contexts',
  'removedFlags',
  'removedSegments',
])

const alone = process.env.SLUICE_CASE
/** Whether one case alone is tried: what holds of many need not hold of it. */
export const isAlone = alone !== undefined

/**
 * @param count   how many cases; `SLUICE_PROPERTY_RUNS` multiplies it, `SLUICE_CASE=<seed>` tries that one alone
 * @param make    the case of a seed: JSON-like data
 * @param problem what is wrong with it, null when nothing is; it must not throw, nor change the case
 */
export function tryCases<T extends object>(count: number, make: (random: () => number) => T, problem: (item: T) => string | null): void {
  const { numRuns, seed } = runs(count)
  const [from, to] = alone === undefined ? [seed, seed + numRuns] : [Number(alone), Number(alone) + 1]
  for (let seed = from; seed < to; seed++) {
    const item = make(randomFrom(seed))
    const first = problem(item)
    if (first === null) continue
    const least = reduced(item, smaller => problem(smaller) !== null)
    const shown = inspect(least, { depth: null, maxArrayLength: null, breakLength: 140 })
    throw new Error(`${problem(least) ?? first}\nSLUICE_CASE=${seed} tries this case alone. What of it is enough:\n${shown}`)
  }
}

/** Leaves out one thing after the other for as long as the case still fails. */
function reduced<T extends object>(item: T, fails: (smaller: T) => boolean): T {
  for (;;) {
    const smaller = [...withoutOne(item)].find(candidate => fails(candidate as T))
    if (smaller === undefined) return item
    item = smaller as T
  }
}

/** Every copy of `value` in which one item of one list, or one attribute of one context, is left out. */
function* withoutOne(value: unknown, isList = false, isContext = false): Generator<unknown> {
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    if (isList) for (let i = 0; i < value.length; i++) yield value.toSpliced(i, 1)
    for (let i = 0; i < value.length; i++) for (const item of withoutOne(value[i], false, isContext)) yield value.with(i, item)
    return
  }
  const entries = Object.entries(value)
  if (isContext) for (const [key] of entries) yield Object.fromEntries(entries.filter(([other]) => other !== key))
  for (const [key, item] of entries)
    for (const smaller of withoutOne(item, LISTS.has(key), key === 'contexts' || key === 'context'))
      yield Object.fromEntries(entries.map(([other, kept]) => [other, other === key ? smaller : kept]))
}
