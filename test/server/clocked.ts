/**
 * The server in a process of its own whose clock the test moves: `{ advanceMs }` over the channel it was spawned with is answered once
 * what fell due is done. What had reached its sockets before is read before time goes on. Closing takes the time it takes.
 */
import { once } from 'node:events'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'
import { buildSluice } from '../../server/app.ts'
import { readConfig } from '../../server/config.ts'
import { openLogger } from '../../server/logger.ts'
import { SERVER_LOG } from '../../server/log/types.ts'
import { manualClock } from '../clock.ts'

const TICK_MS = 10

const clock = manualClock(Number(process.argv[2]))
const config = readConfig(process.env)
const { listen, services, close } = await buildSluice({ config, clock, logger: openLogger(config) })
process.stdout.write(`Sluice listens at ${await listen()}\n`)

let isClosing = false
// What is to be done at once is a timer of no time.
setInterval(() => clock.advance(isClosing ? TICK_MS : 0), TICK_MS)
const asked: number[] = []
let isMoving = false
process.on('message', ({ advanceMs }: { readonly advanceMs: number }) => {
  asked.push(advanceMs)
  if (!isMoving) void move()
})

await Promise.race([once(process, 'SIGTERM'), once(process, 'disconnect')])
isClosing = true
await close()
process.exit(0)

async function move(): Promise<void> {
  isMoving = true
  for (let ms = asked.shift(); ms !== undefined; ms = asked.shift()) {
    await turn()
    await turn()
    clock.advance(ms)
    await quiet()
    process.send?.({})
  }
  isMoving = false
}

/** Whatever follows from an entry is an entry: over when there has been none for a few turns. */
async function quiet(): Promise<void> {
  const revisions = (): string =>
    services.log
      .logs()
      .filter(name => name !== SERVER_LOG)
      .map(name => services.log.state(name).revision)
      .join()
  for (let last = '', same = 0; same < 4;) {
    await pause(2)
    const now = revisions()
    same = now === last ? same + 1 : 0
    last = now
  }
}
