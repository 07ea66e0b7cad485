/** A fleet loses its server to `kill -9` and comes back, in small: `node dist/bench/storm.js` does it with ten thousand, against the clock. */
import t from 'tap'
import { openFleet } from '../../../bench/fleet.ts'
import { fleetsHere, runStorm } from '../../../bench/storm.ts'
import { randomFrom } from '../../random.ts'

const INSTANCES = 250
const HANDSHAKES_PER_SECOND = 100
const SEED = 20_261_128

t.test('a fleet that lost its server is back by itself, at the rate it is admitted, and misses no kill made meanwhile', async t => {
  const result = await runStorm({
    data: t.testdir(),
    instances: INSTANCES,
    handshakesPerSecond: HANDSHAKES_PER_SECOND,
    async openFleets(port, key) {
      const fleet = openFleet({ port, key, clients: INSTANCES, random: randomFrom(SEED) })
      t.teardown(() => fleet.close())
      return fleetsHere(fleet)
    },
    steadyMs: 0,
    onServer: server => t.teardown(() => void server.child.kill('SIGKILL')),
  })
  t.ok(result.backMs < Infinity, 'everyone is back')
  t.equal(result.counts.lowest, result.revision, 'and holds the newest revision')
  t.ok(result.counts.accepted >= 2 * INSTANCES, 'each by a stream of its own')
  t.ok(result.aboveRate <= 0, 'the server never admitted more than it is set to')
  t.same(result.problems, [], 'no call failed while the server was up')
  t.ok(result.killMs.length > 0, 'kills and lifts were answered meanwhile')
})
