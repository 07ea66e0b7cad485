/** An environment for OpenFeature clients: a listening server with one flag per type and per reason. */
import type { Test } from 'tap'
import type { Flag, FlagInput } from '../../../schemas/flag.ts'
import type { Segment } from '../../../schemas/segment.ts'
import type { Context } from '../../../schemas/context.ts'
import { startServer, type TestServer } from '../start.ts'

export const PROJECT = '/api/v1/projects/default'
export const ENVIRONMENT = `${PROJECT}/environments/development`
export const LOG = 'default/development'

const onOff: Partial<FlagInput> = {
  kind: 'release',
  enabled: true,
  clientVisible: true,
  variations: [
    { key: 'on', value: true },
    { key: 'off', value: false },
  ],
  offVariation: 'off',
  fallthrough: { variation: 'on' },
}
const flag = (key: string, more: Partial<FlagInput> = {}): FlagInput => ({ key, kind: 'release', ...onOff, ...more })
const config = (key: string, value: FlagInput['variations'], more: Partial<FlagInput> = {}): FlagInput => {
  const first = value?.[0]?.key ?? ''
  return flag(key, {
    kind: 'config',
    variations: value,
    offVariation: value?.at(-1)?.key ?? first,
    fallthrough: { variation: first },
    ...more,
  })
}
const half = (by: string) => ({
  rollout: {
    by,
    weights: [
      { variation: 'on', weight: 50_000 },
      { variation: 'off', weight: 50_000 },
    ],
  },
})

export const FLAGS: readonly FlagInput[] = [
  flag('checkout', { metadata: { team: 'payments', tier: 1, critical: true, reason: 'its own' } }),
  config(
    'greeting',
    [
      { key: 'calm', value: 'hello' },
      { key: 'loud', value: 'HELLO' },
    ],
    { rules: [{ id: 'beta', clauses: [{ attribute: '/account/plan', op: 'in', values: ['beta'] }], serve: { variation: 'loud' } }] },
  ),
  config('page-size', [
    { key: 'large', value: 50 },
    { key: 'small', value: 20 },
  ]),
  config('ratio', [
    { key: 'quarter', value: 0.25 },
    { key: 'none', value: 0 },
  ]),
  config('layout', [
    { key: 'wide', value: { columns: 3, areas: ['main', { side: true }], note: null } },
    { key: 'narrow', value: { columns: 1 } },
  ]),
  config('steps', [
    { key: 'short', value: [1, 2] },
    { key: 'none', value: [] },
  ]),
  flag('split', { fallthrough: half('targetingKey') }),
  flag('split-by-account', { fallthrough: half('/account/id') }),
  flag('listed', { targets: [{ attribute: '/account/id', values: ['a-17'], variation: 'off' }] }),
  flag('dark', { enabled: false }),
  flag('sick'),
  flag('needs-dark', { prerequisites: [{ flag: 'dark', variations: ['on'] }] }),
  flag('internal', { clientVisible: false }),
]

export const CONTEXT: Context = { targetingKey: 'user-1', account: { id: 'a-1', plan: 'free' } }

export interface Environment extends TestServer {
  /** A key as browsers have it, for the same environment. */
  readonly clientKey: string
  /** One OFREP request: the single flag `key`, or all of them without one. */
  evaluate(
    key: string | null,
    context: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: Answer; headers: Headers }>
  kill(key: string, clauses?: Flag['rules'][number]['clauses']): Promise<void>
  lift(key: string): Promise<void>
  /** A flag no route would take, as a newer server or a damaged file might bring it: `checkout` with these fields instead. */
  plant(fields: Partial<Flag>): Promise<void>
  /** Documents in place of all that stand, past every check of the API. */
  replace(flags: readonly { readonly key: string }[], segments: readonly { readonly key: string }[]): Promise<void>
}

/** The answers of OFREP, as loosely as a test wants to look at them. */
export interface Answer {
  readonly key?: string
  readonly value?: unknown
  readonly variant?: string
  readonly reason?: string
  readonly errorCode?: string
  readonly errorDetails?: string
  readonly code?: string
  readonly metadata?: Record<string, unknown>
  readonly flags?: readonly Answer[]
}

export async function startEnvironment(t: Test, flags: readonly unknown[] = FLAGS): Promise<Environment> {
  const server = await startServer(t)
  const written = await server.call('PUT', `${ENVIRONMENT}/ruleset`, { flags })
  t.equal(written.status, 200, 'the flags are taken')
  const { token: clientKey } = await server.makeKey('client')

  return {
    ...server,
    clientKey,
    async evaluate(flagKey, context, headers = {}) {
      const path = flagKey === null ? '/ofrep/v1/evaluate/flags' : `/ofrep/v1/evaluate/flags/${encodeURIComponent(flagKey)}`
      const response = await fetch(server.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${server.serverKey}`, ...headers },
        body: typeof context === 'string' ? context : JSON.stringify({ context }),
      })
      const text = await response.text()
      return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Answer, headers: response.headers }
    },
    async kill(flagKey, clauses) {
      const body = { reason: 'a test', ...(clauses === undefined ? {} : { clauses }) }
      const answer = await server.call('POST', `${ENVIRONMENT}/flags/${flagKey}/kills`, body)
      t.equal(answer.status, 201, `${flagKey} is killed`)
    },
    async lift(flagKey) {
      const answer = await server.call('DELETE', `${ENVIRONMENT}/flags/${flagKey}/kills`)
      t.equal(answer.status, 200, `${flagKey} is lifted`)
    },
    async plant(fields) {
      await server.services.log.commit({
        log: LOG,
        actor: { kind: 'system', id: 'test', name: 'test' },
        action: 'flag.create',
        plan: ({ documents }) => {
          const flag = { ...documents.flag.get('checkout'), ...fields } as Flag
          return [{ type: 'flag', key: flag.key, after: flag }]
        },
      })
    },
    async replace(flags, segments) {
      await server.services.log.commit({
        log: LOG,
        actor: { kind: 'system', id: 'test', name: 'test' },
        action: 'ruleset.import',
        plan: ({ documents }) => [
          ...[...documents.flag.keys()].map(key => ({
            type: 'flag' as const,
            key,
            after: (flags.find(flag => flag.key === key) ?? null) as Flag | null,
          })),
          ...flags
            .filter(({ key }) => !documents.flag.has(key))
            .map(flag => ({ type: 'flag' as const, key: flag.key, after: flag as Flag })),
          ...[...documents.segment.keys()].map(key => ({
            type: 'segment' as const,
            key,
            after: (segments.find(segment => segment.key === key) ?? null) as Segment | null,
          })),
          ...segments
            .filter(({ key }) => !documents.segment.has(key))
            .map(segment => ({ type: 'segment' as const, key: segment.key, after: segment as Segment })),
        ],
      })
    },
  }
}
