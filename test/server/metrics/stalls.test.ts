import t from 'tap'
import { LOOK_MS, STALL_MS, openStalls } from '../../../server/metrics/stalls.ts'
import { recordingLogger } from '../log/open.ts'
import { startServer } from '../start.ts'

/** A clock whose timer is late by as much as a test says. */
function lateClock() {
  let now = 0
  let due: (() => void) | null = null
  return {
    monotonic: () => now,
    after(_ms: number, run: () => void) {
      due = run
      return { cancel: () => (due = null) }
    },
    pass(ms: number) {
      now += ms
      due?.()
    },
    get isWaiting() {
      return due !== null
    },
  }
}

t.test('a stall of the event loop is counted and logged, and an ordinary delay is not', async t => {
  const clock = lateClock()
  const logger = recordingLogger()
  const stalls = openStalls(clock, logger)
  stalls.start()
  clock.pass(LOOK_MS)
  clock.pass(STALL_MS)
  t.match([stalls.count, logger.lines.length], [0, 0])
  clock.pass(STALL_MS + 50)
  t.match([stalls.count, stalls.totalMs], [1, STALL_MS + 50])
  t.ok(logger.said('warn', /stood still for 250 ms/))
  stalls.close()
  t.notOk(clock.isWaiting)
})

t.test('many stalls in a row are all counted and logged once in a while', async t => {
  const clock = lateClock()
  const logger = recordingLogger()
  const stalls = openStalls(clock, logger)
  stalls.start()
  for (let i = 0; i < 20; i++) clock.pass(1_000)
  t.match([stalls.count, stalls.totalMs, logger.lines.length], [20, 20_000, 2])
})

t.test('a stall of a running server is seen in its metrics', async t => {
  const server = await startServer(t)
  const counted = async (): Promise<number> => {
    const { body } = await server.call('GET', '/metrics', undefined, { key: null })
    return Number(/^sluice_event_loop_stalls_total (\d+)$/m.exec(String(body))?.[1])
  }
  const before = await counted()
  t.ok(before >= 0)
  const end = performance.now() + STALL_MS + 100
  while (performance.now() < end) continue
  t.ok((await counted()) > before)
})
