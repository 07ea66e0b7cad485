/**
 * A server of node:http whose accounts share one limit, over all its instances. Beside a running server:
 *
 *   npm install @sluice/sdk
 *   SLUICE_URL=ws://localhost:7400 SLUICE_KEY=… node http.js
 */
import { createServer } from 'node:http'
import { connect } from '@sluice/sdk'
import { contextOf, rateLimit } from '@sluice/sdk/http'

const flags = connect({ url: process.env.SLUICE_URL, key: process.env.SLUICE_KEY, service: 'shop' })
await flags.ready() // start either way: without flags nothing is limited

const limits = {
  flags,
  flag: 'api-requests',
  // An application would take the account from its session or token; null is not limited.
  context: request => (request.url === '/health' ? null : { ...contextOf(request), account: { id: request.headers['x-account'] ?? '' } }),
}
const server = createServer(rateLimit(limits, (request, response) => response.end('{ "orders": [] }')))

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
process.once('SIGTERM', async () => {
  server.close()
  server.closeIdleConnections()
  await flags.close() // tokens that are not needed any more go back
})
