/**
 * A small shop: a real HTTP server whose every request asks flags through its own SDK instance. The stories and the
 * demo open a few of them, as a fleet would.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startClient } from '../../sdk/client.ts'
import { type Clock, systemClock } from '../../sdk/clock.ts'
import type { Sluice } from '../../sdk/index.ts'
import { readOptions } from '../../sdk/options.ts'
import { networkTransport } from '../../sdk/transport.ts'

/** Who visits. */
export interface Visitor {
  readonly account: string
  readonly plan?: string
  readonly os?: string
  readonly browser?: string
  readonly region?: string
}

/** What the shop decides for one visitor: every value comes from a flag. */
export interface Page {
  readonly audited: boolean
  readonly search: boolean
  readonly suggestions: boolean
  readonly related: boolean
  readonly checkout: boolean
  readonly invoices: boolean
  readonly gallery: boolean
  readonly oysters: boolean
  readonly ledger: string
}

export interface Shop {
  readonly name: string
  readonly flags: Sluice
  /** One request to the shop's own port. */
  visit(visitor: Visitor): Promise<Page>
  close(): Promise<void>
}

/** @param options.clock the machine's own unless given */
export async function openShop(options: { name: string; url: string; key: string; cache?: string; clock?: Clock }): Promise<Shop> {
  const { name, url, key, cache, clock = systemClock } = options
  const given = { url, key, service: 'shop', instance: name, ...(cache === undefined ? {} : { cache }) }
  const flags = startClient(readOptions(given, name), { clock, random: Math.random, transport: networkTransport })
  await flags.ready()
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? '/', 'http://shop').searchParams
    const context = contextOf(Object.fromEntries(query))
    const page: Page = {
      audited: flags.value('audit-log', context, false),
      search: flags.value('search', context, false),
      suggestions: flags.value('suggestions', context, false),
      related: flags.value('related-products', context, false),
      checkout: flags.value('checkout', context, false),
      invoices: flags.value('invoices', context, false),
      gallery: flags.value('gallery', context, false),
      oysters: flags.value('menu-oysters', context, false),
      ledger: flags.value('new-ledger', context, false) ? 'new' : 'old',
    }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(page))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    name,
    flags,
    async visit(visitor) {
      const query = new URLSearchParams(Object.entries(visitor)).toString()
      const response = await fetch(`http://127.0.0.1:${port}/?${query}`)
      return (await response.json()) as Page
    },
    async close() {
      await flags.close()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The context a shop sends for a visitor. */
export function contextOf(visitor: Readonly<Record<string, string | undefined>> | Visitor) {
  return {
    targetingKey: visitor.account ?? 'nobody',
    account: { id: visitor.account ?? null, plan: visitor.plan ?? null },
    device: { os: visitor.os ?? null, browser: visitor.browser ?? null },
    region: visitor.region ?? null,
  }
}
