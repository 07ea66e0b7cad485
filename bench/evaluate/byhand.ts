/**
 * What an engineer writes who knows the one flag and needs no service for it: the value alone, without a reason or a
 * count. Lists are sets, rules are unrolled, attributes are looked at before they are used, and each flag has a switch
 * that can be thrown while the process runs, for otherwise it would be no flag.
 */
import type { Context } from '../../schemas/context.ts'
import { bucketOf } from '../../sdk/evaluator/bucket.ts'
import type { Client, Contender } from './contender.ts'
import type { Sketch } from './sketch.ts'

type Decide = (context: Context) => boolean

export const byHand: Contender = {
  version: 'functions written by hand',
  keepsBuckets: true,
  isAsync: false,
  userOf: context => context,
  cannot: {},
  async open(sketches): Promise<Client> {
    const sets = new Map(sketches.map(sketch => [sketch.key, new Set(sketch.except)]))
    listed = sets.get('list') ?? listed
    for (const { key, enabled } of sketches) if (key in switches) switches[key as keyof typeof switches] = enabled
    const mixed = new Map(sketches.map(sketch => [sketch.key, mixedByHand(sketch)]))
    return {
      one: key => alone[key as keyof typeof alone],
      value: (key, context: Context) => mixed.get(key)?.(context) ?? false,
      all: {
        call: (context: Context) => {
          const values: Record<string, boolean> = {}
          for (const [key, decide] of mixed) values[key] = decide(context)
          return values
        },
        read: (values: Record<string, boolean>, key) => values[key],
      },
    }
  },
}

const switches = {
  boolean: false,
  'ten-rules': false,
  'ten-failing': false,
  half: false,
  top: false,
  middle: false,
  bottom: false,
  list: false,
}

const SEED = 2_984_379_123
const plans = Array.from({ length: 10 }, (_, i) => new Set([`plan-${i}`, `plan-${i}-yearly`]))
let listed: ReadonlySet<string> = new Set()

const alone = {
  boolean: () => switches.boolean,
  'ten-rules': context => switches['ten-rules'] && tenRules(context),
  'ten-failing': tenFailing,
  half: ({ targetingKey }) => switches.half && typeof targetingKey === 'string' && bucketOf(targetingKey, SEED) < 50_000,
  top: context => switches.top && middle(context),
  list: ({ targetingKey }) => switches.list && !(typeof targetingKey === 'string' && listed.has(targetingKey)),
} satisfies Record<string, Decide>

function middle(context: Context): boolean {
  return switches.middle && bottom(context)
}

function bottom({ plan }: Context): boolean {
  return switches.bottom && (plan === 'free' || plan === 'pro')
}

function tenRules({ country, version, plan }: Context): boolean {
  if (typeof version !== 'number' || typeof plan !== 'string') return false
  if (country === 'country-9' && version > -1 && plans[0]!.has(plan)) return true
  if (country === 'country-9' && version > 0 && plans[1]!.has(plan)) return true
  if (country === 'country-9' && version > 1 && plans[2]!.has(plan)) return true
  if (country === 'country-9' && version > 2 && plans[3]!.has(plan)) return true
  if (country === 'country-9' && version > 3 && plans[4]!.has(plan)) return true
  if (country === 'country-9' && version > 4 && plans[5]!.has(plan)) return true
  if (country === 'country-9' && version > 5 && plans[6]!.has(plan)) return true
  if (country === 'country-9' && version > 6 && plans[7]!.has(plan)) return true
  if (country === 'country-9' && version > 7 && plans[8]!.has(plan)) return true
  if (country === 'country-9' && version > 8 && plans[9]!.has(plan)) return true
  return false
}

function tenFailing(context: Context): boolean {
  if (!switches['ten-failing']) return false
  const { plan } = context
  if (plan === 'other-0' && tenRules(context)) return true
  if (plan === 'other-1' && tenRules(context)) return true
  if (plan === 'other-2' && tenRules(context)) return true
  if (plan === 'other-3' && tenRules(context)) return true
  if (plan === 'other-4' && tenRules(context)) return true
  if (plan === 'other-5' && tenRules(context)) return true
  if (plan === 'other-6' && tenRules(context)) return true
  if (plan === 'other-7' && tenRules(context)) return true
  if (plan === 'other-8' && tenRules(context)) return true
  if (plan === 'other-9' && tenRules(context)) return true
  return false
}

/** One of the four kinds that the mixture consists of. */
function mixedByHand({ enabled, seed, except, rules, others }: Sketch): Decide {
  const state = { enabled }
  if (others === 'half')
    return ({ targetingKey }) => state.enabled && typeof targetingKey === 'string' && bucketOf(targetingKey, seed) < 50_000
  if (except !== undefined) {
    const users = new Set(except)
    return ({ targetingKey }) => state.enabled && !(typeof targetingKey === 'string' && users.has(targetingKey))
  }
  const [first] = rules[0] ?? []
  if (first === undefined || !('oneOf' in first)) return () => state.enabled
  const names = new Set(first.oneOf)
  return ({ plan }) => state.enabled && typeof plan === 'string' && names.has(plan)
}
