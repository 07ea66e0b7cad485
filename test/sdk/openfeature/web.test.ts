/** OpenFeature's own web SDK with our provider in it, against a listening server; its websocket is that of the package ws. */
import { ClientProviderEvents, type EventDetails, OpenFeature, ProviderStatus } from '@openfeature/web-sdk'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { SluiceWebProvider } from '../../../sdk/openfeature/web.ts'
import type { Options } from '../../../sdk/web/types.ts'
import { CONTEXT, ENVIRONMENT, type Environment, startEnvironment } from '../../server/ofrep/environment.ts'

// Node 20 has none of its own.
Object.assign(globalThis, { WebSocket })
t.setTimeout(120_000)

let domains = 0

interface Scene {
  readonly client: ReturnType<typeof OpenFeature.getClient>
  readonly domain: string
  readonly provider: SluiceWebProvider
  /** All events from the start. */
  readonly told: string[]
  /** Resolves with the next such event from now on. */
  heard(event: ClientProviderEvents): Promise<EventDetails>
}

function scene(t: Test, options: Partial<Options>): Scene {
  const domain = `domain-${++domains}`
  const provider = new SluiceWebProvider({ url: 'http://127.0.0.1:1', key: undefined, logger: {}, readyTimeoutMs: 60_000, ...options })
  t.teardown(() => provider.onClose())
  const client = OpenFeature.getClient(domain)
  const told: string[] = []
  const waiting: { event: ClientProviderEvents; resolve(details: EventDetails): void }[] = []
  for (const event of Object.values(ClientProviderEvents)) {
    client.addHandler(event, (details = { providerName: '' }) => {
      told.push(event)
      for (const one of waiting.splice(0)) {
        if (one.event === event) one.resolve(details)
        else waiting.push(one)
      }
    })
  }
  return { client, domain, provider, told, heard: event => new Promise(resolve => waiting.push({ event, resolve })) }
}

const optionsFor = ({ url, clientKey }: Environment): Partial<Options> => ({ url, key: clientKey })

t.test('the web SDK of OpenFeature', async t => {
  const environment = await startEnvironment(t)
  const { client, domain, provider, told, heard } = scene(t, optionsFor(environment))
  await OpenFeature.setContext(domain, { ...CONTEXT, since: new Date('2026-11-21T03:00:00Z') } as never)
  await OpenFeature.setProviderAndWait(domain, provider)

  await t.test('gets every type, with variation, reason and metadata', async t => {
    t.equal(client.providerStatus, ProviderStatus.READY)
    t.equal(client.metadata.providerMetadata.name, 'Sluice')
    t.equal(client.getBooleanValue('checkout', false), true)
    t.equal(client.getStringValue('greeting', ''), 'hello')
    t.equal(client.getNumberValue('page-size', 0), 50)
    t.same(client.getObjectValue('steps', []), [1, 2])
    t.match(client.getBooleanDetails('checkout', false), {
      value: true,
      variant: 'on',
      reason: 'STATIC',
      flagMetadata: { reason: 'FALLTHROUGH', team: 'payments', tier: 1, critical: true, flagVersion: 1 },
    })
    t.match(client.getBooleanDetails('split', false), { reason: 'SPLIT' })
    t.match(client.getBooleanDetails('dark', true), { value: false, reason: 'DISABLED', flagMetadata: { reason: 'OFF' } })
    t.match(client.getBooleanDetails('needs-dark', true), { value: false, flagMetadata: { reason: 'PREREQUISITE_FAILED' } })
    t.match(client.getBooleanDetails('internal', true), { value: true, reason: 'ERROR', errorCode: 'FLAG_NOT_FOUND' })
    t.match(client.getStringDetails('checkout', 'x'), { value: 'x', errorCode: 'TYPE_MISMATCH' })
  })

  await t.test('is told of a kill, by name', async t => {
    const changed = heard(ClientProviderEvents.ConfigurationChanged)
    await environment.kill('sick')
    t.same((await changed).flagsChanged, ['sick'])
    t.match(client.getBooleanDetails('sick', true), { value: false, reason: 'DISABLED', flagMetadata: { reason: 'KILLED' } })
  })

  await t.test('another context is RECONCILING until its values have come', async t => {
    told.length = 0
    const moved = OpenFeature.setContext(domain, { targetingKey: 'user-2', account: { id: 'a-17', plan: 'beta' } })
    t.equal(client.providerStatus, ProviderStatus.RECONCILING)
    t.equal(client.getStringValue('greeting', ''), 'hello', 'the values of the former one stay')
    await moved
    t.equal(client.providerStatus, ProviderStatus.READY)
    t.equal(client.getStringValue('greeting', ''), 'HELLO')
    t.same(told, [ClientProviderEvents.Reconciling, ClientProviderEvents.ContextChanged], 'OpenFeature itself says what changed')
    // Two at once: the later one counts.
    await Promise.all([OpenFeature.setContext(domain, CONTEXT as never), OpenFeature.setContext(domain, { account: { id: 'a-17' } })])
    t.equal(client.getBooleanValue('listed', true), false)
    t.equal(client.providerStatus, ProviderStatus.READY)
  })

  await t.test('tracks', async t => {
    client.track('purchase', { value: 61.5, currency: 'EUR' })
    await provider.onClose()
    let metrics = ''
    while (!metrics.includes('event="purchase"')) metrics = String((await environment.call('GET', '/metrics')).body)
    t.match(metrics, /sluice_tracked_value\{[^}]*event="purchase"\} 61\.5\n/)
  })
})

t.test('a server that goes and comes back is STALE, then READY', async t => {
  const environment = await startEnvironment(t)
  const { client, domain, provider, heard } = scene(t, { ...optionsFor(environment), pollIntervalMs: 1_000 })
  await OpenFeature.setProviderAndWait(domain, provider)
  const stale = heard(ClientProviderEvents.Stale)
  await environment.close()
  t.match(await stale, { message: String })
  t.equal(client.providerStatus, ProviderStatus.STALE)
  t.match(client.getBooleanDetails('checkout', false), { value: true, flagMetadata: { stale: true } })
  const ready = heard(ClientProviderEvents.Ready)
  await environment.restart()
  await ready
  t.equal(client.providerStatus, ProviderStatus.READY)
  t.equal((await environment.call('PATCH', `${ENVIRONMENT}/flags/checkout`, { enabled: false })).status, 200)
})

t.test('a start in the dark is an ERROR with defaults, and READY when there is light', async t => {
  const environment = await startEnvironment(t)
  await environment.close()
  const { client, domain, provider, heard } = scene(t, { ...optionsFor(environment), readyTimeoutMs: 100, pollIntervalMs: 1_000 })
  await t.rejects(OpenFeature.setProviderAndWait(domain, provider), { code: 'PROVIDER_NOT_READY' })
  t.equal(client.providerStatus, ProviderStatus.ERROR)
  t.match(client.getBooleanDetails('checkout', false), { value: false, errorCode: 'PROVIDER_NOT_READY' })
  const ready = heard(ClientProviderEvents.Ready)
  await environment.restart()
  await ready
  t.equal(client.getBooleanValue('checkout', false), true)
})

t.test('options that cannot be used are FATAL', async t => {
  for (const options of [{ key: undefined }, { key: 'slc_server_x' }, { key: 'slc_client_x', url: 'nowhere' }]) {
    const { client, domain, provider } = scene(t, options)
    await t.rejects(OpenFeature.setProviderAndWait(domain, provider), { code: 'PROVIDER_FATAL' })
    t.equal(client.providerStatus, ProviderStatus.FATAL)
  }
})
