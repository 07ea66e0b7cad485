/** LaunchDarkly's server SDK, with its own source of test data in the place of the stream, and without sending events. */
import type { Context } from '../../schemas/context.ts'
import { clientOf, type Contender, peer } from './contender.ts'
import type { Sketch } from './sketch.ts'

interface Sdk {
  init(
    key: string,
    options: object,
  ): {
    waitForInitialization(options: { timeout: number }): Promise<unknown>
    boolVariation(key: string, user: object, fallback: boolean): Promise<boolean>
    allFlagsState(user: object): Promise<{ allValues(): Record<string, unknown> }>
  }
}
interface Integrations {
  TestData: new () => { usePreconfiguredFlag(flag: object): unknown; getFactory(): unknown }
}

const ON = 0
const OFF = 1

export function launchDarkly(): Contender {
  const { module, version } = peer('@launchdarkly/node-server-sdk')
  const { TestData } = peer('@launchdarkly/node-server-sdk', '@launchdarkly/node-server-sdk/integrations').module as Integrations
  return {
    version,
    keepsBuckets: false,
    isAsync: true,
    cannot: {},
    userOf: ({ targetingKey, ...attributes }: Context) => ({ kind: 'user', key: targetingKey, ...attributes }),
    async open(sketches) {
      const data = new TestData()
      for (const sketch of sketches) data.usePreconfiguredFlag(flagOf(sketch))
      const silent = { debug() {}, info() {}, warn() {}, error() {} }
      const options = { updateProcessor: data.getFactory(), sendEvents: false, diagnosticOptOut: true, logger: silent }
      const client = (module as Sdk).init('local', options)
      await client.waitForInitialization({ timeout: 30 })
      return clientOf((key, user) => client.boolVariation(key, user, false), {
        call: async user => (await client.allFlagsState(user)).allValues(),
        read: (values: Record<string, unknown>, key) => values[key],
      })
    },
  }
}

function flagOf({ key, enabled, needs, except, rules, others }: Sketch): object {
  const clause = { contextKind: 'user', negate: false }
  return {
    key,
    on: enabled,
    version: 1,
    salt: key,
    variations: [true, false],
    offVariation: OFF,
    prerequisites: needs === undefined ? [] : [{ key: needs, variation: ON }],
    targets: except === undefined ? [] : [{ values: except, variation: OFF }],
    rules: rules.map((clauses, i) => ({
      id: `r${i}`,
      variation: ON,
      clauses: clauses.map(one =>
        'oneOf' in one
          ? { ...clause, attribute: one.attribute, op: 'in', values: one.oneOf }
          : { ...clause, attribute: one.attribute, op: 'greaterThan', values: [one.above] },
      ),
    })),
    fallthrough:
      others === 'half'
        ? {
            rollout: {
              contextKind: 'user',
              variations: [
                { variation: ON, weight: 50_000 },
                { variation: OFF, weight: 50_000 },
              ],
            },
          }
        : { variation: others ? ON : OFF },
  }
}
