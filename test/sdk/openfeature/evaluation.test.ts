/**
 * OpenFeature's server SDK with our provider, against a listening server: what the specification's scenarios about
 * evaluation ask, in our words. Those about values that no flag of ours can lack (a missing default) and about a cache of
 * evaluations do not apply; a flag that is off yields its off variation here, where a scenario expects the default.
 */
import { OFREPProvider } from '@openfeature/ofrep-provider'
import {
  type Client,
  ErrorCode,
  type EvaluationContext,
  type EvaluationDetails,
  type FlagValue,
  OpenFeature,
} from '@openfeature/server-sdk'
import t from 'tap'
import type { FlagInput } from '../../../schemas/flag.ts'
import { CONTEXT, FLAGS, LOG, startEnvironment } from '../../server/ofrep/environment.ts'
import { changes, newDomain, openClient } from './scene.ts'

const context = CONTEXT as EvaluationContext
const TYPES = ['boolean', 'string', 'number', 'object'] as const
type Type = (typeof TYPES)[number]
/** Defaults that no flag here yields. */
const OTHERS: Readonly<Record<Type, FlagValue>> = { boolean: false, string: 'other', number: -1, object: { other: true } }

function flag(key: string, values: Readonly<Record<string, unknown>>, more: Partial<FlagInput> = {}): FlagInput {
  const [first = ''] = Object.keys(values)
  const variations = Object.entries(values).map(([key, value]) => ({ key, value: value as never }))
  return { key, kind: 'config', enabled: true, variations, offVariation: first, fallthrough: { variation: first }, ...more }
}

/** Each has the emptiest value of its type as its first. */
const EMPTY = [
  flag('empty-boolean', { none: false, some: true }),
  flag('empty-string', { none: '', some: 'text' }),
  flag('empty-number', { none: 0, some: 1 }),
  flag('empty-object', { none: {}, some: { a: 1 } }),
]
/** Staff get the empty value by a rule, all others the other. */
const FOR_STAFF = EMPTY.map(flag => ({
  ...flag,
  key: `staff-${flag.key}`,
  fallthrough: { variation: 'some' },
  rules: [
    { id: 'staff', clauses: [{ attribute: 'email', op: 'endsWith' as const, values: ['@example.com'] }], serve: { variation: 'none' } },
  ],
}))
const AUDIENCE = flag(
  'audience',
  { external: 'EXTERNAL', internal: 'INTERNAL' },
  {
    metadata: { killId: 'k_fake', stale: true, revision: -1, team: 'desk' },
    rules: [
      {
        id: 'inside',
        clauses: [
          { attribute: 'customer', op: 'in', values: [false] },
          { attribute: 'age', op: 'greaterThan', values: [17] },
          { attribute: 'name', op: 'in', values: ['Żółć'] },
        ],
        serve: { variation: 'internal' },
      },
    ],
  },
)

function ask(
  client: Client,
  type: Type,
  key: string,
  fallback: FlagValue,
  asking?: EvaluationContext,
): Promise<EvaluationDetails<FlagValue>> {
  switch (type) {
    case 'boolean':
      return client.getBooleanDetails(key, fallback as boolean, asking)
    case 'string':
      return client.getStringDetails(key, fallback as string, asking)
    case 'number':
      return client.getNumberDetails(key, fallback as number, asking)
    case 'object':
      return client.getObjectDetails(key, fallback, asking)
  }
}

t.test('the OpenFeature provider', async t => {
  const environment = await startEnvironment(t, [...FLAGS, ...EMPTY, ...FOR_STAFF, AUDIENCE])
  const client = await openClient(t, environment)

  await t.test('answers values and details of every type', async t => {
    const rows: [type: Type, key: string, value: FlagValue, variant: string][] = [
      ['boolean', 'checkout', true, 'on'],
      ['string', 'greeting', 'hello', 'calm'],
      ['number', 'page-size', 50, 'large'],
      ['number', 'ratio', 0.25, 'quarter'],
      ['object', 'layout', { columns: 3, areas: ['main', { side: true }], note: null }, 'wide'],
      ['object', 'steps', [1, 2], 'short'],
    ]
    for (const [type, key, value, variant] of rows) {
      const answer = await ask(client, type, key, OTHERS[type], context)
      t.match(answer, { flagKey: key, variant, errorCode: undefined }, key)
      t.same(answer.value, value, key)
    }
    t.equal(await client.getBooleanValue('checkout', false), true)
    t.equal(await client.getStringValue('greeting', ''), 'hello')
    t.equal(await client.getNumberValue('page-size', 0), 50)
    t.same(await client.getObjectValue('steps', null), [1, 2], 'a default of null takes any object')
  })

  await t.test('answers empty values as values, whatever decided them', async t => {
    for (const type of TYPES) {
      const rows: [key: string, asking: EvaluationContext | undefined, variant: string, reason: string][] = [
        [`empty-${type}`, undefined, 'none', 'STATIC'],
        [`staff-empty-${type}`, { email: 'jo@example.com' }, 'none', 'TARGETING_MATCH'],
        [`staff-empty-${type}`, { email: 'jo@elsewhere.com' }, 'some', 'DEFAULT'],
        [`staff-empty-${type}`, { email: null }, 'some', 'DEFAULT'],
        [`staff-empty-${type}`, {}, 'some', 'DEFAULT'],
        [`staff-empty-${type}`, undefined, 'some', 'DEFAULT'],
      ]
      for (const [key, asking, variant, reason] of rows)
        t.match(await ask(client, type, key, OTHERS[type], asking), { variant, reason, errorCode: undefined }, key)
    }
    t.equal(await client.getStringValue('empty-string', 'x'), '')
    t.equal(await client.getNumberValue('empty-number', 1), 0)
  })

  await t.test('decides by several attributes of the context at once', async t => {
    const inside = { name: 'Żółć', age: 29, customer: false }
    t.match(await client.getStringDetails('audience', '', inside), { value: 'INTERNAL', reason: 'TARGETING_MATCH' })
    t.equal(await client.getStringValue('audience', '', { ...inside, customer: true }), 'EXTERNAL')
    t.equal(await client.getStringValue('audience', ''), 'EXTERNAL')
  })

  await t.test('answers the default and FLAG_NOT_FOUND for a flag that is not there', async t => {
    for (const type of TYPES) {
      const answer = await ask(client, type, 'no-such-flag', OTHERS[type])
      t.match(answer, { value: OTHERS[type], reason: 'ERROR', errorCode: ErrorCode.FLAG_NOT_FOUND, errorMessage: /no such flag/ }, type)
      t.equal(answer.variant, undefined)
    }
  })

  await t.test('answers the default and TYPE_MISMATCH for a flag of another type', async t => {
    const keys: Readonly<Record<Type, string>> = { boolean: 'checkout', string: 'greeting', number: 'page-size', object: 'layout' }
    for (const own of TYPES) {
      for (const type of TYPES.filter(type => type !== own)) {
        const answer = await ask(client, type, keys[own], OTHERS[type])
        t.match(answer, { value: OTHERS[type], reason: 'ERROR', errorCode: ErrorCode.TYPE_MISMATCH }, `${keys[own]} as ${type}`)
      }
    }
    t.match(await client.getObjectDetails('greeting', null), { value: null, errorCode: ErrorCode.TYPE_MISMATCH }, 'an object is asked for')
  })

  await t.test('answers PARSE_ERROR and GENERAL for a flag that cannot be decided', async t => {
    await changes(client, 'broken', () => environment.plant({ key: 'broken', fallthrough: { variation: 'nowhere' } }))
    await changes(client, 'ring', () => environment.plant({ key: 'ring', prerequisites: [{ flag: 'ring', variations: ['on'] }] }))
    t.match(await client.getBooleanDetails('broken', true), {
      value: true,
      errorCode: ErrorCode.PARSE_ERROR,
      flagMetadata: { reason: 'ERROR', error: 'MALFORMED_FLAG' },
    })
    t.match(await client.getBooleanDetails('ring', true), {
      value: true,
      errorCode: ErrorCode.GENERAL,
      flagMetadata: { reason: 'ERROR', error: 'PREREQUISITE_CYCLE' },
    })
  })

  await t.test('says exactly what decided, with the metadata of the flag beside it', async t => {
    await changes(client, 'sick', () => environment.kill('sick'))
    const { revision } = environment.services.log.state(LOG)
    const rows: [flag: string, asking: EvaluationContext, reason: string, metadata: object][] = [
      ['checkout', context, 'STATIC', { reason: 'FALLTHROUGH', team: 'payments', tier: 1, critical: true }],
      ['listed', { account: { id: 'a-17' } }, 'TARGETING_MATCH', { reason: 'TARGET_MATCH' }],
      ['listed', context, 'DEFAULT', { reason: 'FALLTHROUGH' }],
      ['split', context, 'SPLIT', { reason: 'FALLTHROUGH' }],
      ['split', {}, 'DEFAULT', { reason: 'FALLTHROUGH', unbucketed: true }],
      ['dark', context, 'DISABLED', { reason: 'OFF' }],
      ['sick', context, 'DISABLED', { reason: 'KILLED', killId: String }],
      ['needs-dark', context, 'DISABLED', { reason: 'PREREQUISITE_FAILED', prerequisite: 'dark' }],
    ]
    for (const [key, asking, reason, flagMetadata] of rows) {
      const answer = await client.getBooleanDetails(key, true, asking)
      t.match(answer, { variant: /^(on|off)$/, reason, flagMetadata: { ...flagMetadata, flagVersion: Number, revision } }, key)
      t.notOk('stale' in answer.flagMetadata, 'current')
    }
    t.match(await client.getStringDetails('greeting', '', { account: { plan: 'beta' } }), {
      reason: 'TARGETING_MATCH',
      flagMetadata: { reason: 'RULE_MATCH', ruleId: 'beta' },
    })
    const audience = await client.getStringDetails('audience', '')
    t.strictSame(audience.flagMetadata, { reason: 'FALLTHROUGH', team: 'desk', flagVersion: 1, revision }, 'its own does not pass for ours')
    await changes(client, 'sick', () => environment.lift('sick'))
    t.match(await client.getBooleanDetails('sick', false, context), { value: true, reason: 'STATIC' })
  })

  await t.test('says word for word what the server says over OFREP', async t => {
    const remote = new OFREPProvider({ baseUrl: environment.url, headers: [['authorization', `Bearer ${environment.serverKey}`]] })
    const domain = newDomain(t, remote)
    await OpenFeature.setProviderAndWait(domain, remote)
    const far = OpenFeature.getClient(domain)
    const asking: EvaluationContext[] = [
      context,
      {},
      { targetingKey: 'u', account: { id: 'a-17', plan: 'beta' } },
      { email: 'jo@example.com' },
    ]
    let compared = 0
    for (const { key, variations } of [...FLAGS, ...EMPTY, ...FOR_STAFF, AUDIENCE]) {
      const type = typeof (variations?.[0]?.value ?? true) as Type
      for (const one of asking) {
        const here = await ask(client, type, key, OTHERS[type], one)
        t.same(here, await ask(far, type, key, OTHERS[type], one), `${key} for ${JSON.stringify(one)}`)
        compared++
      }
    }
    t.ok(compared > 80)
  })

  await t.test('hands out what nobody can change, and changes nobody’s context', async t => {
    const asking: EvaluationContext = { targetingKey: 'u', account: { id: 'a-1', since: new Date(0) } }
    const before = structuredClone(asking)
    const answer = await client.getObjectDetails('layout', {}, asking)
    t.same(asking, before)
    t.throws(() => ((answer.value as Record<string, unknown>).columns = 1), TypeError)
    t.throws(() => ((answer.flagMetadata as Record<string, unknown>).reason = 'x'), TypeError)
    t.match(await client.getObjectDetails('layout', {}), { value: { columns: 3 } })
  })

  await t.test('counts evaluations, and sends the last of them when it is closed', async t => {
    const own = await openClient(t, environment)
    const count = (): number => environment.services.usage.lastHour(LOG, 'internal')
    const before = count()
    for (let i = 0; i < 7; i++) await own.getBooleanValue('internal', false)
    await OpenFeature.getProvider(own.metadata.domain).onClose?.()
    while (count() < before + 7) await new Promise(resolve => setTimeout(resolve, 5))
    t.equal(count(), before + 7)
    t.equal(await own.getBooleanValue('internal', false), true, 'values stay, for requests still under way')
  })
})
