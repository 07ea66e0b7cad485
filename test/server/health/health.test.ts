import t from 'tap'
import { startServer } from '../start.ts'

t.test('a server that runs is alive and ready, and asks for no key', async t => {
  const server = await startServer(t)
  t.match(await server.call('GET', '/healthz', undefined, { key: null }), { status: 200, body: { status: 'ok' } })
  t.match(await server.call('GET', '/readyz', undefined, { key: null }), { status: 200, body: { status: 'ready', storage: 'healthy' } })
  t.match(
    await server.call('GET', '/healthz', undefined, { key: 'a-key-that-nobody-knows-at-all' }),
    { status: 200 },
    'a stale key hides nothing',
  )
})

t.test('it keeps its data over a restart', async t => {
  const server = await startServer(t)
  const before = server.services.log.state('sluice/server')
  await server.restart()
  const after = server.services.log.state('sluice/server')
  t.equal(after.revision, before.revision)
  t.equal((await server.call('GET', '/healthz')).status, 200)
})

t.test('metrics tell of every environment', async t => {
  const server = await startServer(t)
  await server.call('GET', '/healthz')
  const { status, body, headers } = await server.call('GET', '/metrics', undefined, { key: null })
  t.equal(status, 200)
  t.match(headers.get('content-type'), /^text\/plain/)
  for (const line of [
    /^sluice_revision\{project="default",environment="production"\} 0$/m,
    /^sluice_kills_standing\{project="default",environment="staging"\} 0$/m,
    /^sluice_instances\{project="default",environment="development"\} 0$/m,
    /^sluice_evaluations_total\{project="default",environment="development"\} 0$/m,
    /^sluice_http_request_duration_seconds_count\{method="GET",route="\/healthz",status="2xx"\} 1$/m,
    /^sluice_stream_messages_sent_total 0$/m,
    /^sluice_instances_current\{project="default",environment="development"\} 0$/m,
    /^sluice_sockets_behind 0$/m,
    /^sluice_unsent_bytes 0$/m,
    /^sluice_event_loop_stalled_seconds_total [0-9.]+$/m,
    /^nodejs_eventloop_lag_p99_seconds [0-9.]+$/m,
    /^process_cpu_seconds_total /m,
    /^sluice_info\{version="[0-9.]+"\} 1$/m,
  ]) {
    t.match(body, line)
  }
})
