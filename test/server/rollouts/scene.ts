/** What the tests of plans share: a real server whose clock is moved by hand, a flag, and outcomes as SDKs report them. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import type { Plan } from '../../../schemas/plan.ts'
import { SLICE_MS } from '../../../schemas/protocol.ts'
import { type ManualClock, manualClock } from '../../clock.ts'
import { type Answer, startServer, type StartOptions, type TestServer } from '../start.ts'

export const P = '/api/v1/projects/default'
export const D = `${P}/environments/development`
export const LOG = 'default/development'
export const MINUTE_MS = 60_000

export interface Scene {
  readonly clock: ManualClock
  readonly server: TestServer
  plan(): Plan
  flag(): Flag
  /** Every entry about the rollout so far, the oldest first. */
  entries(): Promise<readonly Change[]>
  make(input: object): Promise<Answer>
  act(operation: string, body?: object, query?: string): Promise<Answer>
  /** Move the clock on; what falls due is carried out before this resolves. */
  pass(ms: number): Promise<void>
  /** The same, slice by slice; `report` adds outcomes at the beginning of each. */
  slices(count: number, report: (slice: number) => void): Promise<void>
  /** @param side '' unless given: what callers got */
  report(variation: string, contexts: number, errors: number, side?: string): void
  /** Until nothing more follows from what was done. */
  quiet(): Promise<void>
  /** Until it is so: what happens by itself takes its turns of the event loop. */
  until(is: () => boolean): Promise<void>
}

/** A flag `new-ledger`, on, that serves `off` to everyone. */
export async function scene(t: Test, options: StartOptions & { clock?: ManualClock } = {}): Promise<Scene> {
  const clock = options.clock ?? manualClock()
  const server = await startServer(t, { ...options, clock })
  if (server.services.log.state(LOG).documents.flag.size === 0) {
    await server.call('POST', `${P}/flags`, { key: 'new-ledger', kind: 'release' })
    await server.call('PATCH', `${D}/flags/new-ledger`, { enabled: true, fallthrough: { variation: 'off' } })
  }
  const until = async (is: () => boolean): Promise<void> => {
    for (let i = 0; !is(); i++) {
      if (i > 10_000) throw new Error(`it did not come to be: ${is.toString()}`)
      await pause(2)
    }
  }
  const quiet = async (): Promise<void> => {
    // Whatever follows from an entry is an entry: over when there has been none for a few turns.
    for (let last = -1, same = 0; same < 4;) {
      await pause(2)
      const { revision } = server.services.log.state(LOG)
      same = revision === last ? same + 1 : 0
      last = revision
    }
  }
  return {
    clock,
    server,
    plan: () => server.services.log.state(LOG).documents.plan.get('new-ledger')!,
    flag: () => server.services.log.state(LOG).documents.flag.get('new-ledger')!,
    entries: async () =>
      (await server.services.log.changes(LOG, { limit: 1_000, order: 'oldest' })).filter(({ action }) => action.startsWith('rollout.')),
    make: input => server.call('POST', `${D}/rollouts/new-ledger`, input),
    act: (operation, body, query = '') => server.call('POST', `${D}/rollouts/new-ledger/${operation}${query}`, body),
    async pass(ms) {
      clock.advance(ms)
      await quiet()
    },
    async slices(count, report) {
      for (let i = 0; i < count; i++) {
        report(i)
        clock.advance(SLICE_MS)
        await pause(1)
      }
      await quiet()
    },
    report(variation, contexts, errors, side) {
      server.services.outcomes.add(
        LOG,
        [
          {
            flag: 'new-ledger',
            variation,
            ...(side === undefined ? {} : { side }),
            contexts,
            errors,
            slow: 0,
            allCalls: contexts,
            allErrors: errors,
            allSlow: 0,
            totalMs: contexts,
          },
        ],
        { service: 'shop', instance: 'i-1' },
      )
    },
    quiet,
    until,
  }
}

/** The share of `on` in the fallthrough, in percent. */
export function shareOn(flag: Flag): number {
  if ('variation' in flag.fallthrough) return flag.fallthrough.variation === 'on' ? 100 : 0
  return (flag.fallthrough.rollout.weights.find(each => each.variation === 'on')?.weight ?? 0) / 1_000
}
