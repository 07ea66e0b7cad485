/** A short run of the benchmark: `bench/crash.ts` does 200 cycles. */
import t from 'tap'
import { crashCycles } from '../../../bench/crash.ts'

t.test('a process killed while it writes loses nothing it acknowledged', async t => {
  const result = await crashCycles(t.testdir(), 6, 20_261_123)
  t.same(result.problems, [])
  t.ok(result.acknowledged >= 6)
  t.comment(`${result.acknowledged} acknowledged, ${result.unacknowledged} stored without an answer`)
})
