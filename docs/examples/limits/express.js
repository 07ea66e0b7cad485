/**
 * An Express application whose accounts share one limit, over all its instances. Beside a running server:
 *
 *   npm install express @sluice/sdk
 *   SLUICE_URL=ws://localhost:7400 SLUICE_KEY=… node express.js
 */
import express from 'express'
import { connect } from '@sluice/sdk'
import { contextOf, rateLimit } from '@sluice/sdk/express'

const flags = connect({ url: process.env.SLUICE_URL, key: process.env.SLUICE_KEY, service: 'shop' })
await flags.ready() // start either way: without flags nothing is limited

const app = express()
app.get('/health', (request, response) => response.send('ok')) // before the limit, and so without
app.use(
  rateLimit({
    flags,
    flag: 'api-requests',
    // An application would take the account from its session or token.
    context: request => ({ ...contextOf(request), account: { id: request.headers['x-account'] ?? '' } }),
    cost: request => (request.path === '/exports' ? 10 : 1),
  }),
)
app.get('/orders', (request, response) => response.json({ orders: [] }))
app.post('/exports', (request, response) => response.json({ accepted: true }))

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
process.once('SIGTERM', async () => {
  server.close()
  server.closeIdleConnections()
  await flags.close() // tokens that are not needed any more go back
})
