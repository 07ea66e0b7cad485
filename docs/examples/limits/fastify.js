/**
 * A Fastify application whose accounts share one limit, over all its instances. Beside a running server:
 *
 *   npm install fastify @sluice/sdk
 *   SLUICE_URL=ws://localhost:7400 SLUICE_KEY=… node fastify.js
 */
import fastify from 'fastify'
import { connect } from '@sluice/sdk'
import { contextOf, rateLimit } from '@sluice/sdk/fastify'

const flags = connect({ url: process.env.SLUICE_URL, key: process.env.SLUICE_KEY, service: 'shop' })
await flags.ready() // start either way: without flags nothing is limited

const app = fastify()
await app.register(rateLimit, {
  flags,
  flag: 'api-requests',
  // An application would take the account from its session or token.
  context: request => ({ ...contextOf(request), account: { id: request.headers['x-account'] ?? '' } }),
})
app.get('/orders', async () => ({ orders: [] }))
app.post('/exports', { config: { sluice: { cost: 10 } } }, async () => ({ accepted: true }))
app.get('/health', { config: { sluice: false } }, async () => 'ok')

console.log(await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) }))
process.once('SIGTERM', async () => {
  await app.close()
  await flags.close() // tokens that are not needed any more go back
})
