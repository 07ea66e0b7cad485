/** The context that reaches the evaluator: merged from every level that OpenFeature has, with dates as texts. */
import { OFREPProvider } from '@openfeature/ofrep-provider'
import {
  AsyncLocalStorageTransactionContextPropagator,
  type Client,
  type EvaluationContext,
  NOOP_TRANSACTION_CONTEXT_PROPAGATOR,
  OpenFeature,
} from '@openfeature/server-sdk'
import t, { type Test } from 'tap'
import { DEPTH_MAX } from '../../../schemas/limits.ts'
import { contextOf, VALUES_MAX } from '../../../sdk/openfeature/context.ts'
import type { Context } from '../../../sdk/types.ts'
import { startEnvironment } from '../../server/ofrep/environment.ts'
import { newDomain, openClient } from './scene.ts'

/** From the weakest to the strongest. */
const LEVELS = ['api', 'transaction', 'client', 'invocation', 'hook'] as const
type Level = (typeof LEVELS)[number]

const clause = (attribute: string, op: string, ...values: unknown[]) => ({ attribute, op, values })
const onFor = (key: string, ...clauses: object[]) => ({
  key,
  kind: 'release',
  enabled: true,
  fallthrough: { variation: 'off' },
  rules: [{ id: 'these', clauses, serve: { variation: 'on' } }],
})
/** Yields the level that gave the attribute "from". */
const WHOSE = {
  key: 'whose',
  kind: 'config',
  enabled: true,
  variations: ['nobody', ...LEVELS].map(level => ({ key: level, value: level })),
  offVariation: 'nobody',
  fallthrough: { variation: 'nobody' },
  rules: LEVELS.map(level => ({ id: level, clauses: [clause('from', 'in', level)], serve: { variation: level } })),
}
const FLAGS = [
  WHOSE,
  onFor('all-levels', ...LEVELS.map(level => clause(level, 'in', true))),
  onFor('one-person', clause('targetingKey', 'in', 'user-1')),
  onFor('deep', clause('/account/owners/1/plan', 'in', 'beta')),
  onFor('since-2020', clause('since', 'after', '2020-01-01T00:00:00Z')),
  onFor('account-since-2020', clause('/account/since', 'after', '2020-01-01T00:00:00Z')),
  onFor('one-visit', clause('visits', 'in', '2026-11-21T03:00:00.000Z')),
]

/** Evaluates with each level's part of a context. */
function evaluate(t: Test, client: Client, flag: string, parts: Partial<Record<Level, EvaluationContext>>): Promise<unknown> {
  t.teardown(() => {
    OpenFeature.setContext({})
    client.setContext({})
  })
  OpenFeature.setContext(parts.api ?? {})
  client.setContext(parts.client ?? {})
  const hooks = parts.hook === undefined ? [] : [{ before: () => parts.hook! }]
  const run = async (): Promise<unknown> =>
    flag === 'whose'
      ? client.getStringValue(flag, 'default', parts.invocation, { hooks })
      : client.getBooleanValue(flag, false, parts.invocation, { hooks })
  return new Promise((resolve, reject) => {
    OpenFeature.setTransactionContext(parts.transaction ?? {}, () => void run().then(resolve, reject))
  })
}

t.test('the context', async t => {
  const environment = await startEnvironment(t, FLAGS)
  const client = await openClient(t, environment)
  OpenFeature.setTransactionContextPropagator(new AsyncLocalStorageTransactionContextPropagator())
  t.teardown(() => OpenFeature.setTransactionContextPropagator(NOOP_TRANSACTION_CONTEXT_PROPAGATOR))

  await t.test('of a single level reaches the evaluator', async t => {
    for (const level of LEVELS) t.equal(await evaluate(t, client, 'whose', { [level]: { from: level } }), level)
    t.equal(await evaluate(t, client, 'whose', {}), 'nobody')
  })

  await t.test('of all levels is merged', async t => {
    const parts = Object.fromEntries(LEVELS.map(level => [level, { [level]: true }]))
    t.equal(await evaluate(t, client, 'all-levels', parts), true)
    for (const missing of LEVELS) t.equal(await evaluate(t, client, 'all-levels', { ...parts, [missing]: {} }), false, missing)
  })

  await t.test('of a later level wins over those before it', async t => {
    for (const [i, strongest] of LEVELS.entries()) {
      const parts = Object.fromEntries(LEVELS.slice(0, i + 1).map(level => [level, { from: level }]))
      t.equal(await evaluate(t, client, 'whose', parts), strongest)
    }
  })

  await t.test('has its targeting key from any level, or none', async t => {
    for (const level of LEVELS) t.equal(await evaluate(t, client, 'one-person', { [level]: { targetingKey: 'user-1' } }), true, level)
    t.equal(await evaluate(t, client, 'one-person', { api: { targetingKey: 'user-1' }, client: { targetingKey: 'user-2' } }), false)
    t.equal(await evaluate(t, client, 'one-person', {}), false)
  })

  await t.test('keeps its structure', async t => {
    const account = { owners: [{ plan: 'free' }, { plan: 'beta' }] }
    t.equal(await client.getBooleanValue('deep', false, { account }), true)
    t.equal(await client.getBooleanValue('deep', true, { account: { owners: [] } }), false)
  })

  await t.test('has dates as texts, with the same outcome as over OFREP', async t => {
    const remote = new OFREPProvider({ baseUrl: environment.url, headers: [['authorization', `Bearer ${environment.serverKey}`]] })
    const domain = newDomain(t, remote)
    await OpenFeature.setProviderAndWait(domain, remote)
    const far = OpenFeature.getClient(domain)
    const late = new Date('2026-11-21T03:00:00Z')
    const early = new Date('2019-12-31T23:59:59Z')
    const rows: [flag: string, context: EvaluationContext, value: boolean][] = [
      ['since-2020', { since: late }, true],
      ['since-2020', { since: early }, false],
      ['since-2020', { since: new Date(Number.NaN) }, false],
      ['account-since-2020', { account: { since: late } }, true],
      ['account-since-2020', { account: { since: early } }, false],
      ['one-visit', { visits: [early, late] }, true],
      ['one-visit', { visits: [early] }, false],
    ]
    for (const [flag, context, value] of rows) {
      t.equal(await client.getBooleanValue(flag, !value, context), value, flag)
      t.equal(await far.getBooleanValue(flag, !value, context), value, `${flag} over OFREP`)
    }
  })
})

t.test('a context without dates is handed on as it is, and one with dates is copied only on the way to them', async t => {
  const plain: EvaluationContext = { targetingKey: 'u', account: { id: 'a', tags: ['x'] }, list: [1, { a: null }] }
  t.equal(contextOf(plain), plain)
  const other = { deep: [1] }
  const dated: EvaluationContext = { other, account: { since: new Date(0) }, list: [1, new Date(1)] }
  const given = structuredClone(dated)
  const copy = contextOf(dated)
  t.same(copy, { other, account: { since: '1970-01-01T00:00:00.000Z' }, list: [1, '1970-01-01T00:00:00.001Z'] })
  t.equal(copy.other, other)
  t.same(dated, given, 'what was given is untouched')
})

t.test('a context that is no data costs little and harms nothing', async t => {
  const circle: Record<string, unknown> = { a: {}, at: new Date(0) }
  circle.self = circle
  circle.again = [circle, circle]
  t.equal((contextOf(circle as EvaluationContext) as Record<string, unknown>).at, '1970-01-01T00:00:00.000Z')

  const deep = (levels: number): EvaluationContext => (levels === 0 ? { at: new Date(0) } : { below: deep(levels - 1) })
  const bottom = (context: Context): unknown => (context.below === undefined ? context.at : bottom(context.below as Context))
  t.equal(bottom(contextOf(deep(DEPTH_MAX - 1))), '1970-01-01T00:00:00.000Z')
  t.type(bottom(contextOf(deep(DEPTH_MAX))), Date, 'deeper than any context may be')

  let read = 0
  const wide = new Proxy(
    {},
    {
      ownKeys: () => Array.from({ length: 100_000 }, (_, i) => `k${i}`),
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
      get: () => void read++,
    },
  )
  contextOf(wide)
  t.ok(read <= VALUES_MAX, `${read} values were looked at`)

  class Request {
    readonly at = new Date(0)
  }
  const withRequest = { request: new Request() } as unknown as EvaluationContext
  t.equal(contextOf(withRequest), withRequest, 'an object with a life of its own is left alone')

  const hostile = {
    get trap(): never {
      throw new Error('no')
    },
  }
  t.equal(contextOf(hostile), hostile)
})
