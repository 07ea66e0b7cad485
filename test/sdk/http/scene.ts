/** A real Sluice server with limits, a client of it, and applications that ask it before each request. */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { Sluice } from '../../../sdk/types.ts'
import { startServer, type TestServer } from '../../server/start.ts'
import { holds, LONG_MS, open } from '../open.ts'

export const PROJECT = '/api/v1/projects/default'
export const ENVIRONMENT = `${PROJECT}/environments/development`

/** One flag each: a value for everybody. */
export const LIMITS = {
  plenty: { rate: 1_000_000, per: 'second' },
  little: { rate: 1, per: 'day', burst: 1 },
  cut: { rate: 0, per: 'second' },
  watched: { rate: 0, per: 'second', mode: 'shadow' },
  free: { unlimited: true },
  single: { rate: 1_000_000, per: 'second', concurrency: 1 },
} as const

export async function startLimits(
  t: Test,
  limits: Readonly<Record<string, object>> = LIMITS,
): Promise<{ server: TestServer; flags: Sluice }> {
  const server = await startServer(t)
  for (const [key, value] of Object.entries(limits)) {
    const variations = [
      { key: 'on', value },
      { key: 'off', value: { unlimited: true } },
    ]
    await expectOk(server.call('POST', `${PROJECT}/flags`, { key, kind: 'rate-limit', variations, offVariation: 'off' }))
    await expectOk(server.call('PATCH', `${ENVIRONMENT}/flags/${key}`, { enabled: true, fallthrough: { variation: 'on' } }))
  }
  const flags = open(t, server.url, { key: server.serverKey })
  await flags.ready(LONG_MS)
  await holds(flags, () => Object.keys(limits).every(key => flags.details(key, {}, null).variation === 'on'))
  return { server, flags }
}

export async function expectOk(answer: ReturnType<TestServer['call']>): Promise<unknown> {
  const { status, body } = await answer
  if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body
}

/** @returns its address */
export async function listen(t: Test, listener: RequestListener): Promise<string> {
  const server: Server = createServer(listener).listen(0, '127.0.0.1')
  t.teardown(() => server.close() && server.closeAllConnections())
  await new Promise(resolve => server.once('listening', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
