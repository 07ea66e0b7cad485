/** OpenFeature's own SDK with our provider in it, in a domain of its own for each test, and events that can be awaited. */
import { type Client, type EventDetails, OpenFeature, type Provider, ProviderEvents } from '@openfeature/server-sdk'
import type { Test } from 'tap'
import { SluiceProvider } from '../../../sdk/openfeature/provider.ts'
import type { Options } from '../../../sdk/types.ts'
import type { TestServer } from '../../server/start.ts'

/** Far more than any of this takes: a test that waits so long has failed. */
export const LONG_MS = 120_000

let domains = 0

/** A client of OpenFeature's whose provider is ready. */
export async function openClient(t: Test, server: Pick<TestServer, 'url' | 'serverKey'>, options: Partial<Options> = {}): Promise<Client> {
  const provider = new SluiceProvider({ url: server.url, key: server.serverKey, logger: {}, readyTimeoutMs: LONG_MS, ...options })
  const domain = newDomain(t, provider)
  await OpenFeature.setProviderAndWait(domain, provider)
  return OpenFeature.getClient(domain)
}

/** A name for the provider, which is closed at the end of the test. */
export function newDomain(t: Test, provider: Provider): string {
  // Nothing of the SDK keeps a process alive, so that a test which waits for it alone must.
  const alive = setInterval(() => undefined, LONG_MS)
  t.teardown(async () => {
    clearInterval(alive)
    await provider.onClose?.()
  })
  return `domain-${++domains}`
}

/** Resolves with the first such event from now on. */
export function heard(
  client: Client,
  event: ProviderEvents,
  isMeant: (details: EventDetails) => boolean = () => true,
): Promise<EventDetails> {
  return new Promise(resolve => {
    // A handler whose state stands already is run at once, while it is added: only what comes later is meant.
    let isAdded = false
    const handler = (details: EventDetails = { providerName: '' }): void => {
      if (!isAdded || !isMeant(details)) return
      client.removeHandler(event, handler)
      resolve(details)
    }
    client.addHandler(event, handler)
    isAdded = true
  })
}

/** Does something to the server, and resolves when the provider has said that this flag changed. */
export async function changes(client: Client, flag: string, act: () => Promise<unknown>): Promise<EventDetails> {
  const told = heard(client, ProviderEvents.ConfigurationChanged, details => flagsOf(details).includes(flag))
  await act()
  return told
}

export function flagsOf(details: EventDetails): readonly string[] {
  return (details.flagsChanged as readonly string[] | undefined) ?? []
}
