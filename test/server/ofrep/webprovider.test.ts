/** The OpenFeature web SDK with its OFREP provider, unmodified, against a listening server. */
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider'
import { type Client, ErrorCode, type EvaluationContext, OpenFeature, type Provider, ProviderEvents } from '@openfeature/web-sdk'
import t from 'tap'
import { CONTEXT, type Environment, startEnvironment } from './environment.ts'

const context = CONTEXT as EvaluationContext

/** What the provider asked and was told, as its network tab would show it. */
interface Exchange {
  readonly sentTag: string | null
  readonly status: number
}

interface Window {
  readonly client: Client
  readonly exchanges: readonly Exchange[]
  /** Resolves when the server has said 304 three times. */
  readonly unchanged: Promise<void>
}

async function clientOf(environment: Environment, domain: string, pollInterval: number): Promise<Window> {
  const exchanges: Exchange[] = []
  let tellUnchanged = (): void => undefined
  const unchanged = new Promise<void>(resolve => (tellUnchanged = resolve))
  const provider = new OFREPWebProvider({
    baseUrl: environment.url,
    headers: [['authorization', `Bearer ${environment.clientKey}`]],
    // There is no localStorage here, and what is tested is what the server says.
    cacheMode: 'disabled',
    pollInterval,
    fetchImplementation: async (input: string | URL | Request, init?: RequestInit) => {
      const request = new Request(input, init)
      const response = await fetch(request)
      exchanges.push({ sentTag: request.headers.get('if-none-match'), status: response.status })
      if (exchanges.filter(({ status }) => status === 304).length === 3) tellUnchanged()
      return response
    },
  })
  await OpenFeature.setContext(domain, context)
  // Its types were not written for exactOptionalPropertyTypes.
  await OpenFeature.setProviderAndWait(domain, provider as Provider)
  return { client: OpenFeature.getClient(domain), exchanges, unchanged }
}

t.test('an OpenFeature web client', async t => {
  t.teardown(() => OpenFeature.close())
  const environment = await startEnvironment(t)
  await environment.plant({ key: 'broken', fallthrough: { variation: 'nowhere' } })
  await environment.kill('sick')
  const { client, exchanges } = await clientOf(environment, 'window', 0)

  t.test('gets every type', async t => {
    t.equal(client.getBooleanValue('checkout', false), true)
    t.equal(client.getStringValue('greeting', 'x'), 'hello')
    t.equal(client.getNumberValue('page-size', 1), 50)
    t.equal(client.getNumberValue('ratio', 1), 0.25)
    t.same(client.getObjectValue('layout', {}), { columns: 3, areas: ['main', { side: true }], note: null })
    t.same(client.getObjectValue('steps', []), [1, 2])
  })

  t.test('gets every reason, with the variation and the metadata', async t => {
    const rows: [flag: string, value: boolean, variant: string, reason: string, ours: string][] = [
      ['checkout', true, 'on', 'STATIC', 'FALLTHROUGH'],
      ['listed', true, 'on', 'DEFAULT', 'FALLTHROUGH'],
      ['dark', false, 'off', 'DISABLED', 'OFF'],
      ['sick', false, 'off', 'DISABLED', 'KILLED'],
      ['needs-dark', false, 'off', 'DISABLED', 'PREREQUISITE_FAILED'],
    ]
    for (const [flag, value, variant, reason, ours] of rows) {
      t.match(client.getBooleanDetails(flag, !value), { value, variant, reason, flagMetadata: { reason: ours, revision: Number } }, flag)
    }
    t.match(client.getBooleanDetails('split', false), { reason: 'SPLIT' })
    t.match(client.getBooleanDetails('checkout', false), { flagMetadata: { team: 'payments', tier: 1, critical: true } })
  })

  t.test('gets its default and the error code when there is no value', async t => {
    t.match(client.getBooleanDetails('no-such-flag', true), { value: true, reason: 'ERROR', errorCode: ErrorCode.FLAG_NOT_FOUND })
    t.match(
      client.getBooleanDetails('internal', true),
      { value: true, reason: 'ERROR', errorCode: ErrorCode.FLAG_NOT_FOUND },
      'not for browsers',
    )
    t.match(client.getStringDetails('checkout', 'x'), { value: 'x', reason: 'ERROR', errorCode: ErrorCode.TYPE_MISMATCH })
    t.match(client.getBooleanDetails('broken', true), { value: true, reason: 'ERROR', errorCode: ErrorCode.PARSE_ERROR })
  })

  t.test('that changes its context gets the new values, although it sends the tag it has', async t => {
    await OpenFeature.setContext('window', { ...context, account: { id: 'a-17', plan: 'beta' } })
    t.match(exchanges.at(-1), { sentTag: /^"/, status: 200 }, 'the tag covers the context')
    t.match(client.getStringDetails('greeting', ''), { value: 'HELLO', reason: 'TARGETING_MATCH' })
    t.match(client.getBooleanDetails('listed', true), { value: false, reason: 'TARGETING_MATCH' })
    await OpenFeature.setContext('window', { account: { plan: 'beta', id: 'a-17' }, targetingKey: 'user-1' })
    t.match(exchanges.at(-1), { sentTag: /^"/, status: 304 }, 'the same context spelt otherwise')
    t.equal(client.getStringValue('greeting', ''), 'HELLO')
  })

  t.test('that was already running sees a kill at its next change of context', async t => {
    await OpenFeature.setContext('window', context)
    t.equal(client.getBooleanValue('checkout', false), true)
    await environment.kill('checkout')
    await OpenFeature.setContext('window', { ...context, page: 2 })
    t.match(client.getBooleanDetails('checkout', true), {
      value: false,
      variant: 'off',
      reason: 'DISABLED',
      flagMetadata: { reason: 'KILLED' },
    })
    await environment.lift('checkout')
    await OpenFeature.setContext('window', { ...context, page: 3 })
    t.match(client.getBooleanDetails('checkout', false), { value: true, reason: 'STATIC' })
  })

  t.test('that polls is told nothing until something changed, and then what', async t => {
    const polling = await clientOf(environment, 'polling', 20)
    t.equal(polling.client.getBooleanValue('checkout', false), true)
    await polling.unchanged
    const changed = new Promise<readonly string[] | undefined>(resolve => {
      polling.client.addHandler(ProviderEvents.ConfigurationChanged, details => resolve(details?.flagsChanged))
    })
    await environment.kill('checkout')
    const flags = await changed
    t.ok(flags?.includes('checkout'))
    t.match(polling.client.getBooleanDetails('checkout', true), { value: false, reason: 'DISABLED' })
    await OpenFeature.clearProviders()
  })

  t.test('with a key that is not known ends in an error', async t => {
    const provider = new OFREPWebProvider({
      baseUrl: environment.url,
      headers: [['authorization', 'Bearer slc_client_unknown_0123456789abcdef']],
      cacheMode: 'disabled',
    })
    await t.rejects(OpenFeature.setProviderAndWait('stranger', provider as Provider))
    t.equal(OpenFeature.getClient('stranger').providerStatus, 'FATAL')
  })
})
