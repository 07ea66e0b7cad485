import t from 'tap'
import { anyKey } from '../../../server/access/policy.ts'
import { startServer } from '../start.ts'

t.test('a route without a policy stops the start', async t => {
  await t.rejects(
    startServer(t, {
      extend: app => {
        app.get('/open', () => 'for all to see')
      },
    }),
    { code: 'ROUTE_WITHOUT_POLICY', message: /GET \/open/ },
  )
  await t.rejects(
    startServer(t, {
      extend: app => {
        app.register(async scope => {
          scope.post('/deep/inside', () => 'of a plugin')
        })
      },
    }),
    { code: 'ROUTE_WITHOUT_POLICY', message: /POST \/deep\/inside/ },
  )
})

t.test('with one it is guarded like the others', async t => {
  const server = await startServer(t, { extend: app => void app.get('/mine', { config: { policy: anyKey } }, () => ({ mine: true })) })
  t.equal((await server.call('GET', '/mine', undefined, { key: null })).status, 401)
  t.match(await server.call('GET', '/mine'), { status: 200, body: { mine: true } })
})
