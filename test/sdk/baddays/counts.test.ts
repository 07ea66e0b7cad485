/** More to count than there is room for: values go on, what does not fit is dropped, and exactly that is reported. */
import t from 'tap'
import { ROWS_MAX } from '../../../sdk/counts.ts'
import { stayAlive } from '../open.ts'
import { flag, startModel } from '../server.ts'
import { openTimelapse } from '../timelapse.ts'

stayAlive(t)

interface Report {
  readonly dropped: number
  readonly counts: readonly { readonly count: number }[]
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

for (const [name, polls] of [
  ['by stream, every evaluation is reported once, as a count or as dropped', false],
  ['by poll, every evaluation is reported once, as a count or as dropped', true],
] as const) {
  t.test(name, async t => {
    const server = await startModel(t, [flag('a')])
    server.refuseUpgrades(polls)
    const { client, clock, pass, log } = openTimelapse(t, server.url)
    await pass(1_000)
    const evaluations = 2 * ROWS_MAX + 5_000
    let defaults = 0
    for (let i = 0; i < evaluations - 1_000; i++) if (client.value(`unknown-${i}`, {}, 'default') === 'default') defaults++
    t.equal(defaults, evaluations - 1_000)
    let values = 0
    for (let i = 0; i < 1_000; i++) if (client.value('a', {}, false)) values++
    t.equal(values, 1_000, 'a full buffer touches no value')

    const reports = (): Report[] =>
      [...server.received, ...server.telemetry].filter(message => message.type === 'counts') as unknown as Report[]
    const counted = (): number => sum(reports().flatMap(report => report.counts.map(row => row.count)))
    const dropped = (): number => sum(reports().map(report => report.dropped))
    while (counted() + dropped() < evaluations) {
      const before = reports().length
      clock.advance(5_000)
      await server.until(() => reports().length > before)
      // A link without a beat is dropped after 15 s: the model says one.
      server.send({ type: 'beat', epoch: 'epoch-1', revision: 1 })
      await new Promise(resolve => setImmediate(resolve))
    }
    t.equal(counted() + dropped(), evaluations)
    t.ok(dropped() >= evaluations - 2 * ROWS_MAX - 1_000 && dropped() < evaluations - ROWS_MAX, `${dropped()} dropped`)
    t.same(
      log.filter(line => line.startsWith('error')),
      [],
    )
  })
}
