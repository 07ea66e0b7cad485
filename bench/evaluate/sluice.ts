/** Ours: the SDK's own client as `connect` makes it, counts and all, but for the network; and the evaluator below it, alone. */
import type { Context } from '../../schemas/context.ts'
import type { Flag } from '../../schemas/flag.ts'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import { prepare } from '../../sdk/evaluator/prepare.ts'
import { VERSION } from '../../sdk/version.ts'
import { startLocal } from '../local.ts'
import type { Client, Contender } from './contender.ts'
import type { Sketch } from './sketch.ts'

const ours = { version: `sluice ${VERSION}`, keepsBuckets: true, isAsync: false, userOf: (context: Context) => context }

export const sluice: Contender = {
  ...ours,
  cannot: {},
  async open(sketches): Promise<Client> {
    const { client } = await startLocal(sketches.map(flagOf))
    return {
      one: key => (context: Context) => client.value(key, context, false),
      value: (key, context: Context) => client.value(key, context, false),
      all: { call: (context: Context) => client.all(context), read: (values: Readonly<Record<string, unknown>>, key) => values[key] },
    }
  },
}

export const evaluator: Contender = {
  ...ours,
  cannot: { all: 'no such call' },
  async open(sketches): Promise<Client> {
    const prepared = prepare({ flags: sketches.map(flagOf), segments: [] }, 1)
    return {
      one: key => (context: Context) => evaluate(prepared, key, context).value,
      value: (key, context: Context) => evaluate(prepared, key, context).value,
    }
  },
}

export function flagOf({ key, enabled, seed, needs, except, rules, others }: Sketch): Flag {
  return {
    key,
    kind: 'release',
    version: 1,
    seed,
    variations: [
      { key: 'on', value: true },
      { key: 'off', value: false },
    ],
    enabled,
    offVariation: 'off',
    kills: [],
    prerequisites: needs === undefined ? [] : [{ flag: needs, variations: ['on'] }],
    targets: except === undefined ? [] : [{ values: [...except], variation: 'off' }],
    rules: rules.map((clauses, i) => ({
      id: `r${i}`,
      clauses: clauses.map(clause =>
        'oneOf' in clause
          ? { attribute: clause.attribute, op: 'in', values: [...clause.oneOf] }
          : { attribute: clause.attribute, op: 'greaterThan', values: [clause.above] },
      ),
      serve: { variation: 'on' },
    })),
    fallthrough:
      others === 'half'
        ? {
            rollout: {
              weights: [
                { variation: 'on', weight: 50_000 },
                { variation: 'off', weight: 50_000 },
              ],
            },
          }
        : { variation: others ? 'on' : 'off' },
  }
}
