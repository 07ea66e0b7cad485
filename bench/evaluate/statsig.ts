/** Statsig's server SDK (Rust below), reading its specs from a store it is given, without logging exposures. */
import type { Context } from '../../schemas/context.ts'
import { clientOf, type Contender, peer } from './contender.ts'
import type { Clause, Sketch } from './sketch.ts'

interface Sdk {
  Statsig: new (
    key: string,
    options: object,
  ) => {
    initialize(): Promise<{ isSuccess: boolean; error?: string }>
    checkGate(user: object, key: string): boolean
    getClientInitializeResponse(user: object, options: object): string
  }
  StatsigUser: new (options: object) => object
}

interface Gates {
  readonly feature_gates: Readonly<Record<string, { readonly value: boolean }>>
}

export function statsig(): Contender {
  const { module, version } = peer('@statsig/statsig-node-core')
  const { Statsig, StatsigUser } = module as Sdk
  return {
    version,
    keepsBuckets: false,
    isAsync: false,
    cannot: {},
    userOf: ({ targetingKey, country, plan, version }: Context) =>
      new StatsigUser({ userID: targetingKey, country, custom: { plan, version } }),
    async open(sketches) {
      const specs = { result: JSON.stringify(specsOf(sketches)), time: 1 }
      const client = new Statsig('secret-local', {
        dataStore: { initialize: async () => undefined, shutdown: async () => undefined, get: async () => specs },
        specAdaptersConfig: [{ adapterType: 'data_store', initTimeoutMs: 30_000 }],
        disableAllLogging: true,
        disableNetwork: true,
        disableCountryLookup: true,
        outputLogLevel: 'none',
      })
      const { isSuccess, error } = await client.initialize()
      if (!isSuccess) throw new Error(`Statsig did not start: ${error}`)
      return clientOf((key, user) => client.checkGate(user, key), {
        call: user => client.getClientInitializeResponse(user, { hashAlgorithm: 'none' }),
        read: (answer: string, key) => (JSON.parse(answer) as Gates).feature_gates[key]?.value,
      })
    },
  }
}

function specsOf(sketches: readonly Sketch[]): object {
  const conditions: Record<string, object> = {}
  const condition = (key: string, type: string, operator: string | null, targetValue: unknown, field: string | null = null): string => {
    conditions[key] = { type, operator, targetValue, field, additionalValues: {}, idType: 'userID' }
    return key
  }
  const everyone = condition('everyone', 'public', null, null)
  const conditionOf = (clause: Clause): string =>
    'oneOf' in clause
      ? condition(JSON.stringify(clause), 'user_field', 'any_case_sensitive', clause.oneOf, clause.attribute)
      : condition(JSON.stringify(clause), 'user_field', 'gt', clause.above, clause.attribute)
  const gates = sketches.map(({ key, enabled, needs, except, rules, others }): [string, object] => {
    const rule = (id: string, conditions: string[], returnValue: boolean, passPercentage = 100): object => {
      return { name: id, id, groupName: id, salt: `${key}-${id}`, conditions, returnValue, passPercentage, idType: 'userID' }
    }
    const all = [
      ...(needs === undefined ? [] : [rule('needs', [condition(`not-${needs}`, 'fail_gate', null, needs)], false)]),
      ...(except === undefined ? [] : [rule('except', [condition(`in-${key}`, 'unit_id', 'any_case_sensitive', except)], false)]),
      ...rules.map((clauses, i) => rule(`r${i}`, clauses.map(conditionOf), true)),
      ...(others === false ? [] : [rule('others', [everyone], true, others === 'half' ? 50 : 100)]),
    ]
    const gate = { type: 'feature_gate', entity: 'feature_gate', salt: key, defaultValue: false, idType: 'userID', version: 1 }
    return [key, { ...gate, enabled, rules: enabled ? all : [] }]
  })
  return {
    feature_gates: Object.fromEntries(gates),
    dynamic_configs: {},
    layer_configs: {},
    experiment_to_layer: {},
    condition_map: conditions,
    has_updates: true,
    time: 1,
    response_format: 'dcs-v2',
  }
}
