/**
 * A service that moves from one ledger to another. Beside a running server:
 *
 *   npm install @sluice/sdk
 *   SLUICE_URL=ws://localhost:7400 SLUICE_KEY=… node app.js
 */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { connect } from '@sluice/sdk'
import { newLedger, oldLedger } from './ledgers.js'

const flags = connect({ url: process.env.SLUICE_URL, key: process.env.SLUICE_KEY, service: 'payments', cache: process.env.SLUICE_CACHE })
flags.on('mismatch', ({ operation, why, stage, key, missed }) =>
  console.warn(`mismatch: ${operation} ${why} at ${stage}, ${key}, and ${missed} more`),
)
await flags.ready()

const ledger = flags.migrate('ledger', {
  read: [oldLedger.balance, newLedger.balance],
  write: [oldLedger.enter, newLedger.enter],
  isFailure: error => error.code !== 'NO_ACCOUNT', // that is the caller's mistake
  slowMs: 200,
  keys: true, // of mismatches, for our own log
  fallback: process.env.LEDGER_FALLBACK ?? 'off', // without flags; 'ramp-down' once everything is read from the new one
})

/** Everything that is only in the old ledger, while new entries go to both. */
async function backfill() {
  for await (const entry of oldLedger.all()) await newLedger.enter(entry)
}

const routes = {
  'GET balance': (context, account) => ledger.read(context, account),
  'POST entries': (context, account, query) => ledger.write(context, { account, id: randomUUID(), amount: Number(query.get('amount')) }),
  'GET migration': context => ({ stage: ledger.stage(context), ...ledger.status() }),
  'POST backfill': () => backfill(),
}
const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  const [, account, what] = pathname.split('/')
  try {
    // Reads and writes of an account get the same context, whoever asks for them.
    const answer = await routes[`${request.method} ${what}`]({ targetingKey: account, account: { id: account } }, account, searchParams)
    response.end(JSON.stringify(answer ?? null))
  } catch (error) {
    response.writeHead(error.code === 'NO_ACCOUNT' ? 404 : 500).end(error.message)
  }
})

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
process.once('SIGTERM', async () => {
  server.close()
  server.closeIdleConnections()
  await flags.close() // writes to the other ledger that are under way are waited for
})
