/** A server with triggers on a clock moved by hand, an alert source of the test's own, and what people were told. */
import type { Test } from 'tap'
import type { Flag } from '../../../schemas/flag.ts'
import type { Hook } from '../../../schemas/hook.ts'
import type { Trigger } from '../../../schemas/trigger.ts'
import type { Notice } from '../../../server/services.ts'
import type { TriggerParts, TriggersHandle } from '../../../server/triggers/triggers.ts'
import { manualClock, type ManualClock } from '../../clock.ts'
import { type Answer, startServer, type TestServer } from '../start.ts'
import { type AlertSource, alertSource, LOG } from './alerts.ts'

export const PRODUCTION = '/api/v1/projects/default/environments/production'

const PIECE_MS = 60_000

export interface World {
  readonly server: TestServer
  readonly clock: ManualClock
  readonly alerts: AlertSource
  /** What people were told beside the entries of the log. */
  readonly notices: Notice[]
  triggers(): TriggersHandle
  /** A call below production; anything but a success fails the test. */
  call(method: string, path: string, body?: unknown): Promise<Answer['body']>
  flag(key: string): Flag
  trigger(key: string): Trigger
  /** The actions of the log, oldest first, from a revision on. */
  actions(since: number): Promise<readonly string[]>
  revision(): number
  /** Moves the clock and waits until all that fell due is done. */
  advance(ms: number): Promise<void>
}

export const HOOK: Hook = {
  ...{ key: 'am', source: 'alertmanager', enabled: true, auth: 'header', secrets: [], path: 'p1', dryRun: false, mayAct: true, version: 1 },
}

export async function openWorld(t: Test, more: Partial<Pick<TriggerParts, 'rollouts'>> = {}): Promise<World> {
  const clock = manualClock()
  const alerts = alertSource()
  const notices: Notice[] = []
  const server = await startServer(t, {
    clock,
    triggers: { alerts, notices: { say: notice => void notices.push(notice) }, ...more },
  })
  const write = async (hook: Hook): Promise<unknown> =>
    server.services.log.commit({
      log: LOG,
      actor: { kind: 'system', id: 'test', name: 'test' },
      action: 'hook.create',
      plan: () => [{ type: 'hook', key: hook.key, after: hook }],
    })
  await write(HOOK)
  await write({ ...HOOK, key: 'weak', auth: 'path', mayAct: false })
  const opened = (): TriggersHandle => server.sluice.triggers
  const found = <T>(document: T | undefined): T => {
    if (document === undefined) throw new Error('it is gone')
    return document
  }
  return {
    ...{ server, clock, alerts, notices, triggers: opened },
    async call(method, path, body) {
      const answer = await server.call(
        method,
        `${path.startsWith('/flags') && method === 'POST' && !path.includes('/kills') ? '/api/v1/projects/default' : PRODUCTION}${path}`,
        body,
      )
      if (answer.status >= 300) throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
      return answer.body
    },
    flag: key => found(server.services.log.state(LOG).documents.flag.get(key)),
    trigger: key => found(server.services.log.state(LOG).documents.trigger.get(key)),
    async actions(since) {
      const changes = await server.services.log.changes(LOG, { afterRevision: since, order: 'oldest', limit: 1_000 })
      return changes.map(change => change.action)
    },
    revision: () => server.services.log.state(LOG).revision,
    async advance(ms) {
      // In pieces: what falls due is awaited before the time goes on.
      for (let left = ms; left > 0; left -= PIECE_MS) {
        clock.advance(Math.min(left, PIECE_MS))
        await opened().settled()
      }
    },
  }
}
