/** What should never reach an evaluator and does all the same: damaged documents, and contexts that applications make of their own objects. */
import type { Context } from '../../schemas/context.ts'
import { below, context, pick, type Random, type Ruleset, value } from './documents.ts'

/** What a damaged document may hold in any place. Functions make what is too large to keep. */
const JUNK: readonly unknown[] = [
  null,
  undefined,
  0,
  -1,
  1.5,
  2 ** 32,
  1e308,
  Number.NaN,
  -Infinity,
  5n,
  '',
  'x',
  'a',
  'gone',
  '__proto__',
  'constructor',
  '/a~2',
  '\ud800',
  '(((((((((((a+)+)+)+)+)+)+)+)+)+)+$',
  '(?<=x)y',
  true,
  false,
  [],
  {},
  [null],
  [[]],
  [undefined, 7],
  { key: 'a' },
  { key: null },
  { variation: 'one', rollout: { weights: [] } },
  { rollout: { weights: [{ variation: 'one', weight: -1 }] } },
  { rollout: { by: 7, weights: [{ variation: 'one', weight: 1 }] } },
  { op: 'toString', attribute: 'a', values: [1] },
  { op: '__proto__', values: [] },
  { op: 'segment', values: ['s', 's', {}] },
  { op: 'in', attribute: 'plan', values: [Number.NaN, null, 'x'] },
  { op: 'matches', attribute: 'plan', values: ['('] },
  { id: 'r', clauses: [{}], serve: { variation: 'one' } },
  JSON.parse('{"__proto__":{"key":"x","enabled":true}}'),
  () => 'x'.repeat(70_000),
  () => nested(1_000),
  () => Array.from({ length: 1_000 }, (_, i) => ({ id: `r${i}`, clauses: [], serve: { variation: 'one' } })),
]

function nested(depth: number): unknown {
  let value: unknown = 'x'
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { b: value }
  return value
}

export interface Damage {
  /** Which way to go at each level. */
  readonly place: number
  readonly manner: 'replace' | 'remove' | 'repeat' | 'swap'
  readonly junk: number
}

export function damage(random: Random): Damage {
  const manner = below(random, 10) < 6 ? 'replace' : pick(random, ['remove', 'repeat', 'swap'] as const)
  // The last ones are large, and so are rare.
  return { place: below(random, 2 ** 32), manner, junk: below(random, below(random, 40) === 0 ? JUNK.length : JUNK.length - 3) }
}

export interface Damaged {
  readonly flags: unknown
  readonly segments: unknown
  /** `flags.2`, for each document with anything wrong in it; `flags` for a list that was none any more. */
  readonly where: ReadonlySet<string>
}

/** A copy of the ruleset with this done to it. */
export function damaged(ruleset: Ruleset, damages: readonly Damage[]): Damaged {
  // By way of JSON: no two documents share a part.
  const root = JSON.parse(JSON.stringify(ruleset)) as Record<string, unknown>
  const where = new Set<string>()
  for (const { place, manner, junk } of damages) {
    const { parent, key, path } = placeIn(root, place)
    const replacement = JUNK[junk]
    const other = placeIn(root, (place * 31 + junk) % 2 ** 32)
    const value =
      manner === 'replace'
        ? typeof replacement === 'function'
          ? (replacement as () => unknown)()
          : structuredClone(replacement)
        : manner === 'swap'
          ? structuredClone((other.parent as Record<string, unknown>)[other.key])
          : undefined
    where.add(path.split('.').slice(0, 2).join('.'))
    if (manner === 'remove') {
      if (Array.isArray(parent)) parent.splice(Number(key), 1)
      else Reflect.deleteProperty(parent, key)
    } else if (manner === 'repeat' && Array.isArray(parent)) parent.push(structuredClone(parent[Number(key)]))
    else Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true })
    // A document that moved to another place in its list.
    if (parent === root.flags || parent === root.segments) where.add(path.split('.')[0]!)
  }
  return { flags: root.flags, segments: root.segments, where }
}

/** A place somewhere below the root, found by going down one of the ways at each level. */
function placeIn(root: object, place: number): Place {
  let item = root
  let path = ''
  for (let rest = place; ; rest = Math.floor(rest / 3)) {
    const keys = Object.keys(item)
    const key = keys[rest % Math.max(1, keys.length)] ?? 'flags'
    const child: unknown = (item as Record<string, unknown>)[key]
    path = path === '' ? key : `${path}.${key}`
    const isEnd = typeof child !== 'object' || child === null || Object.keys(child).length === 0
    if (isEnd || (path.includes('.') && rest % 5 === 0)) return { parent: item, key, path }
    item = child
  }
}

interface Place {
  readonly parent: object
  readonly key: string
  readonly path: string
}

/** Counts what would change a context. */
export const writes = { count: 0 }
const counting = {
  set: refuse,
  defineProperty: refuse,
  deleteProperty: refuse,
  setPrototypeOf: refuse,
  preventExtensions: refuse,
}
function refuse(): boolean {
  writes.count++
  return false
}

/** The same data in another dress: what it gives must be what the plain context gives. */
export function disguised(random: Random, plain: Context): Context {
  switch (below(random, 4)) {
    case 0:
      return new Proxy(plain, counting)
    case 1:
      return Object.create(null, Object.getOwnPropertyDescriptors(plain)) as Context
    case 2:
      return Object.defineProperties(new Account(), Object.getOwnPropertyDescriptors(plain)) as unknown as Context
    default:
      return Object.create(
        Inherited,
        Object.fromEntries(Object.entries(plain).map(([name, value]) => [name, { get: () => value, enumerable: false }])),
      ) as Context
  }
}

const WRONG = ['x']
class Account {
  get plan(): unknown {
    return WRONG
  }
  get targetingKey(): unknown {
    return WRONG
  }
}

const Inherited = {
  plan: 'x',
  n: 1,
  tags: ['x'],
  targetingKey: 'x',
  get account(): never {
    throw new Error('nobody asks for what is inherited')
  },
}

const NO = new Error('no')
function no(): never {
  throw NO
}

class Oddly extends Array<unknown> {
  override some(): boolean {
    return no()
  }
  override includes(): boolean {
    return no()
  }
  override *[Symbol.iterator](): ArrayIterator<unknown> {
    yield no()
  }
}

/** Even to ask what they are throws. Whether anybody asks hangs on what stands before: the flag may be decided, or in error. */
const REVOKED: readonly object[] = [{}, []].map(target => {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
})

/** Values that no JSON has. Made once: none of them may be changed. */
const ODD_VALUES: readonly unknown[] = (() => {
  const cyclic: Record<string, unknown> = { id: 'x' }
  cyclic.x = cyclic
  cyclic.id = [cyclic, 'x']
  const loop: unknown[] = []
  loop.push(loop, 'x')
  const thrower = Object.freeze({ toString: no, valueOf: no, toJSON: no, [Symbol.toPrimitive]: no })
  return [
    Symbol('x'),
    5n,
    -(2n ** 70n),
    () => 'x',
    class {},
    new Map([['id', 'x']]),
    new Set(['x']),
    new Date(0),
    new Date(Number.NaN),
    /x/g,
    new Error('x'),
    new WeakMap(),
    Promise.resolve('x'),
    new Uint8Array([1, 2]),
    new String('x'),
    new Number(1),
    new Boolean(true),
    Object('x'),
    cyclic,
    loop,
    thrower,
    [thrower, 'x'],
    Oddly.from(['x', 1]),
    new Array<unknown>(3),
    Object.assign(new Array<unknown>(5), { 2: 'x', id: 'x' }),
    new Proxy(['x'], { get: no }),
    new Proxy(['x'], { get: (list, name) => (name === 'length' ? 1e4 : Reflect.get(list, name)) }),
    new Proxy({ id: 'x' }, { getOwnPropertyDescriptor: no, has: no, get: no, ownKeys: no, getPrototypeOf: no }),
    new Proxy({ id: 'x' }, { getOwnPropertyDescriptor: () => undefined }),
    new Proxy({}, { getOwnPropertyDescriptor: () => ({ value: 7, configurable: true }), get: () => Symbol('x') }),
    Object.create(null),
    Object.create({ id: 'x', 0: 'x' }),
    Object.defineProperty({}, 'id', { get: no, enumerable: true }),
    Object.defineProperty(['x'], 0, { get: no }),
    nested(3_000),
    'x'.repeat(5_000),
    '1'.repeat(300),
    '::'.repeat(30),
    '2026-11-21T03:12:00.' + '0'.repeat(60) + 'Z',
    globalThis,
    Object.prototype,
    Array.prototype,
    Function.prototype,
  ]
})()

/**
 * A context of which some attributes are what no JSON has, get themselves or throw.
 * @param isSteady whether what is read is the same each time
 */
export function hostileContext(random: Random, isSteady: boolean): Context {
  const plain = context(random)
  const odds = isSteady ? ODD_VALUES : [...ODD_VALUES, ...REVOKED, REVOKED]
  const odd = (): unknown => (below(random, 3) === 0 ? value(random) : pick(random, odds))
  const draw = below(random, 12)
  if (draw === 0) return odd() as Context
  if (draw === 1) return new Proxy(plain, { ...counting, get: no })
  if (draw === 2) return new Proxy(plain, { ...counting, getOwnPropertyDescriptor: no, has: no, ownKeys: no })
  if (draw === 3 && !isSteady)
    return new Proxy(plain, { ...counting, getOwnPropertyDescriptor: () => ({ value: odd(), configurable: true }), get: odd })
  if (draw === 4) return Object.create(plain) as Context
  const names = [...Object.keys(plain), 'plan', 'tags', 'account', 'targetingKey', 'n']
  for (let count = 1 + below(random, 4); count > 0; count--) {
    const name = pick(random, names)
    const item = odd()
    const get = pick(random, isSteady ? [no, () => item] : [no, () => item, odd])
    const descriptor = below(random, 2) === 0 ? { value: item } : { get }
    Object.defineProperty(plain, name, { ...descriptor, enumerable: below(random, 2) === 0, configurable: true })
  }
  return below(random, 3) === 0 ? new Proxy(plain, counting) : plain
}
