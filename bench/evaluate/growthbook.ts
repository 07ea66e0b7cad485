/** GrowthBook's SDK for servers, holding a payload it is given; nobody listens to what it tracks. */
import type { Context } from '../../schemas/context.ts'
import { clientOf, type Contender, peer } from './contender.ts'
import type { Sketch } from './sketch.ts'

interface Sdk {
  GrowthBookClient: new () => {
    initSync(options: { payload: object }): unknown
    isOn(key: string, user: object): boolean
  }
}

export function growthBook(): Contender {
  const { module, version } = peer('@growthbook/growthbook')
  return {
    version,
    keepsBuckets: false,
    isAsync: false,
    cannot: { all: 'no such call' },
    userOf: ({ targetingKey, ...attributes }: Context) => ({ attributes: { id: targetingKey, ...attributes } }),
    async open(sketches) {
      const client = new (module as Sdk).GrowthBookClient()
      const savedGroups = Object.fromEntries(sketches.map(({ key, except = [] }) => [`not-${key}`, except]))
      client.initSync({ payload: { features: Object.fromEntries(sketches.map(sketch => [sketch.key, featureOf(sketch)])), savedGroups } })
      return clientOf((key, user) => client.isOn(key, user))
    },
  }
}

function featureOf({ key, enabled, needs, except, rules, others }: Sketch): object {
  if (!enabled) return { defaultValue: false }
  return {
    defaultValue: others === true,
    rules: [
      ...(needs === undefined ? [] : [{ parentConditions: [{ id: needs, condition: { value: true }, gate: true }] }]),
      ...(except === undefined ? [] : [{ condition: { id: { $inGroup: `not-${key}` } }, force: false }]),
      ...rules.map(clauses => ({
        condition: Object.fromEntries(
          clauses.map((clause, i) =>
            // Two clauses about one attribute would be one property of the condition.
            clauses.findIndex(other => other.attribute === clause.attribute) === i
              ? [clause.attribute, 'oneOf' in clause ? { $in: clause.oneOf } : { $gt: clause.above }]
              : ['$and', [{ [clause.attribute]: 'oneOf' in clause ? { $in: clause.oneOf } : { $gt: clause.above } }]],
          ),
        ),
        force: true,
      })),
      ...(others === 'half' ? [{ force: true, coverage: 0.5, hashAttribute: 'id', seed: key, hashVersion: 2 }] : []),
    ],
  }
}
