/** The evaluator of flagd's providers, which holds the flags in its own process. */
import type { Context } from '../../schemas/context.ts'
import { clientOf, type Contender, peer } from './contender.ts'
import type { Clause, Sketch } from './sketch.ts'

interface Sdk {
  FlagdCore: new (
    storage: undefined,
    logger: object,
  ) => {
    setConfigurations(text: string): unknown
    resolveBooleanEvaluation(key: string, fallback: boolean, user: object): { value: boolean }
    resolveAll(user: object): readonly { readonly flagKey: string; readonly value: unknown }[]
  }
}

export function flagd(): Contender {
  const { module, version } = peer('@openfeature/flagd-core')
  return {
    version,
    keepsBuckets: false,
    isAsync: false,
    cannot: { top: 'no prerequisites' },
    userOf: (context: Context) => context,
    async open(sketches) {
      const client = new (module as Sdk).FlagdCore(undefined, { debug() {}, info() {}, warn() {}, error() {} })
      client.setConfigurations(JSON.stringify({ flags: Object.fromEntries(sketches.map(sketch => [sketch.key, flagOf(sketch)])) }))
      return clientOf((key, user) => client.resolveBooleanEvaluation(key, false, user).value, {
        call: user => client.resolveAll(user),
        read: (details: ReturnType<typeof client.resolveAll>, key) => details.find(one => one.flagKey === key)?.value ?? false,
      })
    },
  }
}

function flagOf({ enabled, except, rules, others }: Sketch): object {
  const branches: unknown[] = []
  if (except !== undefined) branches.push({ in: [{ var: 'targetingKey' }, except] }, 'off')
  for (const clauses of rules) branches.push({ and: clauses.map(conditionOf) }, 'on')
  const last =
    others === 'half'
      ? {
          fractional: [
            ['on', 50],
            ['off', 50],
          ],
        }
      : others
        ? 'on'
        : 'off'
  const targeting = branches.length > 0 ? { if: [...branches, last] } : others === 'half' ? last : undefined
  return {
    state: enabled ? 'ENABLED' : 'DISABLED',
    variants: { on: true, off: false },
    defaultVariant: others === true ? 'on' : 'off',
    ...(targeting === undefined ? {} : { targeting }),
  }
}

function conditionOf(clause: Clause): object {
  const attribute = { var: clause.attribute }
  if ('above' in clause) return { '>': [attribute, clause.above] }
  return clause.oneOf.length === 1 ? { '==': [attribute, clause.oneOf[0]] } : { in: [attribute, clause.oneOf] }
}
