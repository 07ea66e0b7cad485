/**
 * A thousand worlds of a thousand steps each: whatever befalls the network, the server, the log and the machines, an SDK
 * shows exactly what the log had at the place it holds, goes only forward, keeps to its waits, never stops for good, and
 * ends with what the log has. Millions of them: `npm run soak`.
 */
import t from 'tap'
import { replayCommand, simulate } from './simulate.ts'

const SEEDS = 1_000
const STEPS = 1_000

t.setTimeout(300_000)

t.test('SDKs and server stay right, and come back, whatever happens', async t => {
  const counted: Record<string, number> = {}
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulate({ seed, steps: STEPS })
    if (outcome.problem !== null) {
      t.fail(`seed ${seed}: ${outcome.problem}. To see it happen: ${replayCommand(seed, STEPS)}`)
      return
    }
    for (const [what, count] of Object.entries(outcome.counted)) counted[what] = (counted[what] ?? 0) + count
  }
  // Nothing is proven by worlds in which nothing happens.
  for (const what of [
    ...['attempts', 'polls', 'taken', 'sendChange', 'sendChanges', 'sendRuleset', 'sendCurrent', 'sendBeat', 'fill', 'reset'],
    ...['join', 'confirm', 'ping', 'close', 'terminate', 'days'],
  ])
    t.ok((counted[what] ?? 0) >= 40, `they have led to ${what}: ${counted[what] ?? 0} times`)
})

t.test('a world is the same each time', async t => {
  const traced = async (): Promise<string[]> => {
    const lines: string[] = []
    await simulate({ seed: 7, steps: 200, trace: line => lines.push(line) })
    return lines
  }
  const lines = await traced()
  t.ok(lines.length > 200)
  t.same(await traced(), lines)
})
