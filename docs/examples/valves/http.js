/**
 * A server of node:http that calls a payment vendor through a safety valve. Beside a running server:
 *
 *   npm install @sluice/sdk
 *   SLUICE_URL=ws://localhost:7400 SLUICE_KEY=… VENDOR_URL=http://localhost:8080/ node http.js
 */
import { createServer } from 'node:http'
import { connect } from '@sluice/sdk'

const flags = connect({ url: process.env.SLUICE_URL, key: process.env.SLUICE_KEY, service: 'shop' })
await flags.ready() // start either way: without flags everything flows
flags.on('valve', ({ flag, to, cause }) => console.error(`${flag} is ${to}: ${cause}`))

const vendor = flags.valve('payments-vendor')

const server = createServer(async (request, response) => {
  const context = { account: { id: request.headers['x-account'] ?? '' } }
  try {
    const answer = await vendor.run(context, signal => fetch(process.env.VENDOR_URL, { signal }))
    response.writeHead(answer.ok ? 200 : 502).end(await answer.text())
  } catch (error) {
    // Not let through: whoever asks is told when to come again. Everything else is the vendor's own failure.
    const isCut = error.code === 'VALVE_CUT'
    const retryAfter = isCut ? { 'retry-after': Math.ceil(error.retryAfterMs / 1000) } : {}
    response.writeHead(isCut ? 503 : 502, retryAfter).end()
  }
})

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
process.once('SIGTERM', async () => {
  server.close()
  server.closeIdleConnections()
  await flags.close()
})
