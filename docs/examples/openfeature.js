/**
 * A shop behind OpenFeature, with Sluice's provider and the hook for OpenTelemetry. Beside a running server:
 *
 *   npm install @sluice/sdk @openfeature/server-sdk @openfeature/core @opentelemetry/api
 *   SLUICE_URL=ws://localhost:7400 SLUICE_KEY=… node openfeature.js
 */
import { AsyncLocalStorageTransactionContextPropagator, OpenFeature, ProviderEvents } from '@openfeature/server-sdk'
import { SluiceProvider } from '@sluice/sdk/openfeature'
import { openTelemetryHook } from '@sluice/sdk/opentelemetry'

OpenFeature.addHandler(ProviderEvents.Stale, () => console.log('flags may be out of date, values go on'))
OpenFeature.addHandler(ProviderEvents.ConfigurationChanged, details => console.log('changed:', details?.flagsChanged))
// Where logs.getLogger('shop') of @opentelemetry/api-logs would stand. Without a logger, events go on the active span.
OpenFeature.addHooks(openTelemetryHook({ logger: { emit: ({ attributes }) => console.log('evaluated:', attributes['feature_flag.key']) } }))
OpenFeature.setTransactionContextPropagator(new AsyncLocalStorageTransactionContextPropagator())

const provider = new SluiceProvider({ url: process.env.SLUICE_URL, key: process.env.SLUICE_KEY, service: 'shop' })
// At most readyTimeoutMs. Start either way: without flags every value is the default beside it, until the server answers.
await OpenFeature.setProviderAndWait(provider).catch(error => console.log('starting without flags:', error.message))

const flags = OpenFeature.getClient()

/** What a web framework's middleware would wrap around each request. */
function request(account, handle) {
  return new Promise(resolve =>
    OpenFeature.setTransactionContext({ targetingKey: account.id, account, now: new Date() }, () => resolve(handle())),
  )
}

await request({ id: 'a-17', plan: 'beta' }, async () => {
  const { value, variant, reason, flagMetadata } = await flags.getBooleanDetails('new-ledger', false)
  console.log(`new-ledger is ${value} (${variant}, ${reason}, ${flagMetadata.reason} at revision ${flagMetadata.revision})`)
  flags.track('purchase', {}, { value: 61.5 })
})

// Sends what was counted. On SIGTERM in an application that stays.
await OpenFeature.close()
