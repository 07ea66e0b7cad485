/** A client over the real network on a clock that is moved by hand: hours pass in a second, and every byte is a real one. */
import { startClient } from '../../sdk/client.ts'
import { readOptions } from '../../sdk/options.ts'
import { type Link, networkTransport, type Transport } from '../../sdk/transport.ts'
import type { Options } from '../../sdk/types.ts'
import { type ManualClock, manualClock } from '../clock.ts'
import { randomFrom } from '../random.ts'
import { KEY } from './server.ts'

interface Teardown {
  teardown(run: () => unknown): void
}

export function openTimelapse(t: Teardown, url: string, options: Partial<Options> = {}, seed = 1) {
  const clock: ManualClock = manualClock()
  const log: string[] = []
  const write = (level: string) => (message: string) => void log.push(`${level}: ${message}`)
  /** When each stream was tried, and each poll asked, in ms since the start. */
  const attempts: number[] = []
  const polls: number[] = []
  let messages = 0
  let unanswered = 0
  const waiting = new Set<() => void>()
  const heard = (): void => waiting.forEach(check => check())

  /** What was asked of the network and has not been answered yet. */
  function ask(): () => void {
    unanswered++
    let isAnswered = false
    return () => {
      if (isAnswered) return
      isAnswered = true
      // After the client has taken the answer.
      setImmediate(() => {
        unanswered--
        heard()
      })
    }
  }

  function watched(real: Transport): Transport {
    return {
      open(events) {
        attempts.push(clock.monotonic())
        const answered = ask()
        const link = real.open({
          opened: () => events.opened(),
          message: text => {
            messages++
            events.message(text)
            answered()
            heard()
          },
          lost: (...why) => {
            events.lost(...why)
            answered()
            heard()
          },
        })
        const drop: Link['drop'] = () => {
          link.drop()
          answered()
        }
        return { send: text => link.send(text), bytesRead: () => link.bytesRead(), drop }
      },
      async poll(held, signal) {
        polls.push(clock.monotonic())
        const answered = ask()
        const answer = await real.poll(held, signal)
        answered()
        return answer
      },
      report: body => real.report(body),
      close: () => real.close(),
    }
  }

  const settings = readOptions(
    { url, key: KEY, logger: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }, ...options },
    'instance-1',
  )
  const client = startClient(settings, { clock, random: randomFrom(seed), transport: (base, key) => watched(networkTransport(base, key)) })
  t.teardown(() => client.close())

  const until = (condition: () => boolean): Promise<void> =>
    new Promise(resolve => {
      const check = (): void => {
        if (!condition()) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
    })

  /** Time passes, a step at a time, and whatever is asked of the network is answered before it goes on. */
  async function pass(ms: number, stepMs = 1_000): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      clock.advance(Math.min(stepMs, left))
      if (unanswered > 0) await until(() => unanswered === 0)
    }
  }

  return {
    client,
    clock,
    log,
    attempts,
    polls,
    get messages() {
      return messages
    },
    /** Resolves when the condition holds; it is looked at whenever something arrives. */
    until,
    pass,
    /** Time passes until the condition holds, or for so long. */
    async passUntil(condition: () => boolean, mostMs: number): Promise<void> {
      for (let left = mostMs; left > 0 && !condition(); left -= 1_000) await pass(1_000)
    },
  }
}
