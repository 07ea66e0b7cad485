/**
 * What OpenFeature is told, and what it then says of the provider: READY, the flags that changed, STALE, ERROR, and READY
 * again. Against a listening server that goes away and comes back; the client's clock is moved by hand.
 */
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Client, ErrorCode, OpenFeature, ProviderEvents, ProviderStatus } from '@openfeature/server-sdk'
import t, { type Test } from 'tap'
import { startClient } from '../../../sdk/client.ts'
import { SluiceProvider } from '../../../sdk/openfeature/provider.ts'
import { readOptions } from '../../../sdk/options.ts'
import { networkTransport } from '../../../sdk/transport.ts'
import type { Options, Sluice } from '../../../sdk/types.ts'
import { manualClock } from '../../clock.ts'
import { ENVIRONMENT, startEnvironment } from '../../server/ofrep/environment.ts'
import { startServer, type TestServer } from '../../server/start.ts'
import { changes, flagsOf, heard, LONG_MS, newDomain, openClient } from './scene.ts'

/** A client of ours whose waits are ours to end, and what it logs. */
function handMade(t: Test, server: Pick<TestServer, 'url' | 'serverKey'>, options: Partial<Options> = {}) {
  const clock = manualClock()
  const waiting = new Set<(message: string) => void>()
  const log = (message: string): void => waiting.forEach(check => check(message))
  const logger = { debug: log, info: log, warn: log, error: log }
  const client = startClient(
    readOptions({ url: server.url, key: server.serverKey, readyTimeoutMs: LONG_MS, logger, ...options }, 'instance-1'),
    { clock, random: () => 0, transport: networkTransport },
  )
  t.teardown(() => client.close())
  clock.advance(0)
  /** Resolves when the client logs something like this. */
  const says = (what: RegExp): Promise<void> =>
    new Promise(resolve => {
      const check = (message: string): void => {
        if (!what.test(message)) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
    })
  return { client, clock, says }
}

/** Every event that OpenFeature hands on, in order. */
function record(client: Client): string[] {
  const events: string[] = []
  for (const event of Object.values(ProviderEvents)) client.addHandler(event, () => void events.push(event.replace('PROVIDER_', '')))
  return events
}

function inOpenFeature(t: Test, source: Options | Sluice): { client: Client; events: string[]; provider: SluiceProvider; domain: string } {
  const provider = new SluiceProvider(source)
  const domain = newDomain(t, provider)
  const client = OpenFeature.getClient(domain)
  return { client, events: record(client), provider, domain }
}

t.test('a provider that connects is READY, and tells which flags change, those that depend on a change included', async t => {
  const environment = await startEnvironment(t)
  const { client, events, provider, domain } = inOpenFeature(t, {
    url: environment.url,
    key: environment.serverKey,
    readyTimeoutMs: LONG_MS,
  })
  const ready = heard(client, ProviderEvents.Ready)
  await OpenFeature.setProviderAndWait(domain, provider)
  t.match(await ready, { providerName: 'Sluice', domain })
  t.equal(client.providerStatus, ProviderStatus.READY)

  const killed = await changes(client, 'sick', () => environment.kill('sick'))
  t.same(flagsOf(killed), ['sick'])
  t.equal(await client.getBooleanValue('sick', true), false)
  const enabled = await changes(client, 'dark', () => environment.call('PATCH', `${ENVIRONMENT}/flags/dark`, { enabled: true }))
  t.same([...flagsOf(enabled)].sort(), ['dark', 'needs-dark'])
  t.equal(await client.getBooleanValue('needs-dark', false), true)
  t.same(events, ['READY', 'CONFIGURATION_CHANGED', 'CONFIGURATION_CHANGED'])
})

t.test('a provider whose server goes dark is STALE and evaluates on, and is READY when it is back', async t => {
  const environment = await startEnvironment(t)
  const { client: sluice, clock, says } = handMade(t, environment)
  const { client, events, provider, domain } = inOpenFeature(t, sluice)
  await OpenFeature.setProviderAndWait(domain, provider)

  const down = says(/The stream is down/)
  await environment.close()
  await down
  t.equal(client.providerStatus, ProviderStatus.READY, 'a short interruption changes nothing')
  const stale = heard(client, ProviderEvents.Stale)
  // The server said when to come back as it went; nobody polls it before that.
  clock.advance(60_000)
  t.match(await stale, { message: /cannot be reached/ })
  t.equal(client.providerStatus, ProviderStatus.STALE)
  t.match(await client.getBooleanDetails('checkout', false), { value: true, reason: 'STATIC', flagMetadata: { stale: true } })

  await environment.restart()
  const ready = heard(client, ProviderEvents.Ready)
  clock.advance(60_000)
  await ready
  t.equal(client.providerStatus, ProviderStatus.READY)
  t.notOk('stale' in (await client.getBooleanDetails('checkout', false)).flagMetadata)
  t.same(events, ['READY', 'STALE', 'READY'])
})

t.test('a provider that finds no server in time is in ERROR, and READY as soon as there is one', async t => {
  const server = await startServer(t)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'a', kind: 'release', enabled: true })
  await server.close()
  const { client: sluice, clock } = handMade(t, server, { readyTimeoutMs: 50 })
  const { client, events, provider, domain } = inOpenFeature(t, sluice)
  await t.rejects(OpenFeature.setProviderAndWait(domain, provider), { code: ErrorCode.PROVIDER_NOT_READY })
  t.equal(client.providerStatus, ProviderStatus.ERROR)
  t.match(await client.getBooleanDetails('a', true), { value: true, reason: 'ERROR', errorCode: ErrorCode.PROVIDER_NOT_READY })

  await server.restart()
  const ready = heard(client, ProviderEvents.Ready)
  clock.advance(60_000)
  await ready
  t.equal(client.providerStatus, ProviderStatus.READY)
  t.match(await client.getBooleanDetails('a', true), { flagMetadata: { reason: 'FALLTHROUGH' } })
  t.same(events, ['ERROR', 'CONFIGURATION_CHANGED', 'READY'])
})

t.test('a provider that starts from its cache file while the server is dark is STALE at once', async t => {
  const server = await startServer(t)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'a', kind: 'release', enabled: true })
  const options = { url: server.url, key: server.serverKey, logger: {}, readyTimeoutMs: LONG_MS, cache: join(t.testdirName, 'cache') }
  const first = await openClient(t, server, options)
  const value = await first.getBooleanValue('a', false)
  await OpenFeature.getProvider(first.metadata.domain).onClose?.()
  await server.close()

  const { client, events, provider, domain } = inOpenFeature(t, options)
  await OpenFeature.setProviderAndWait(domain, provider)
  t.equal(client.providerStatus, ProviderStatus.STALE)
  t.same(events, ['READY', 'STALE'])
  t.match(await client.getBooleanDetails('a', !value), { value, flagMetadata: { stale: true } })
})

t.test('a provider whose server swallows everything is NOT_READY, and in ERROR after its time', async t => {
  const blackHole = createServer(socket => void socket.on('error', () => undefined))
  await new Promise<void>(resolve => blackHole.listen(0, '127.0.0.1', resolve))
  t.teardown(() => blackHole.close())
  const { port } = blackHole.address() as { port: number }
  const { client, provider, domain } = inOpenFeature(t, { url: `ws://127.0.0.1:${port}`, key: 'k', logger: {}, readyTimeoutMs: 200 })
  const failed = OpenFeature.setProviderAndWait(domain, provider)
  t.equal(client.providerStatus, ProviderStatus.NOT_READY)
  t.match(await client.getBooleanDetails('a', true), { value: true, reason: 'ERROR', errorCode: ErrorCode.PROVIDER_NOT_READY })
  await t.rejects(failed, /No ruleset has arrived/)
  t.equal(client.providerStatus, ProviderStatus.ERROR)
})

t.test('a provider without a key or an address is FATAL, and says why', async t => {
  for (const [options, why] of [
    [{ url: 'ws://localhost:7400', key: undefined }, /key is missing/],
    [{ url: 'localhost', key: 'k' }, /url is not a URL/],
  ] as const) {
    const { client, provider, domain } = inOpenFeature(t, { ...options, logger: {} })
    await t.rejects(OpenFeature.setProviderAndWait(domain, provider), why)
    t.equal(client.providerStatus, ProviderStatus.FATAL)
    t.match(await client.getStringDetails('a', 'mine'), { value: 'mine', errorCode: ErrorCode.PROVIDER_FATAL })
  }
})

t.test('a client that was given is not closed by OpenFeature, one that it opened is', async t => {
  const environment = await startEnvironment(t)
  const instances = async (): Promise<number> =>
    ((await environment.call('GET', `${ENVIRONMENT}/instances`)).body as { instances: unknown[] }).instances.length
  const { client: sluice } = handMade(t, environment)
  const given = inOpenFeature(t, sluice)
  await OpenFeature.setProviderAndWait(given.domain, given.provider)
  const own = await openClient(t, environment)
  t.equal(await instances(), 2)

  const next = new SluiceProvider(sluice)
  await OpenFeature.setProviderAndWait(given.domain, next)
  await OpenFeature.getProvider(own.metadata.domain).onClose?.()
  while ((await instances()) > 1) await new Promise(resolve => setTimeout(resolve, 5))
  t.equal(sluice.status().connected, true)
  t.equal(await given.client.getBooleanValue('checkout', false), true, 'by the provider that took its place')
  const before = given.events.length
  await changes(given.client, 'sick', () => environment.kill('sick'))
  t.equal(given.events.length, before + 1, 'the one that was replaced is silent')
})

t.test('a provider that is closed while it starts leaves the next start alone', async t => {
  const environment = await startEnvironment(t)
  const { events, provider } = inOpenFeature(t, { url: environment.url, key: environment.serverKey, logger: {}, readyTimeoutMs: LONG_MS })
  provider.events.addHandler(ProviderEvents.Ready, () => void events.push('READY'))
  const first = provider.initialize()
  const closed = provider.onClose()
  const second = provider.initialize()
  await t.rejects(first, { code: ErrorCode.PROVIDER_NOT_READY })
  await closed
  await second
  t.same(events, [], 'that it is ready is OpenFeature’s to say')
  t.match(await provider.resolveBooleanEvaluation('checkout', false, {}), { value: true })
})

t.test('a provider that was closed can be set again', async t => {
  const environment = await startEnvironment(t)
  const { client, provider, domain } = inOpenFeature(t, {
    url: environment.url,
    key: environment.serverKey,
    logger: {},
    readyTimeoutMs: LONG_MS,
  })
  await OpenFeature.setProviderAndWait(domain, provider)
  const other = new SluiceProvider({ url: environment.url, key: environment.serverKey, logger: {}, readyTimeoutMs: LONG_MS })
  t.teardown(() => other.onClose())
  await OpenFeature.setProviderAndWait(domain, other)
  await OpenFeature.setProviderAndWait(domain, provider)
  t.equal(client.providerStatus, ProviderStatus.READY)
  await changes(client, 'sick', () => environment.kill('sick'))
  t.equal(await client.getBooleanValue('sick', true), false)
})
