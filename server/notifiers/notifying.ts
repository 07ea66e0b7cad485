/** The ways out, put together: changes become messages, messages wait in the outbox, each notifier sends its own. */
import { randomBytes } from 'node:crypto'
import type { Notifier, NotifierDelivery, SentMessage } from '../../schemas/notifier.ts'
import { moment } from '../clock.ts'
import type { Notice, Notices, Services } from '../services.ts'
import type { OutboxStorage } from '../storage/outbox.ts'
import { attemptTest, type Outcome } from './attempt.ts'
import { openDelivery } from './delivery.ts'
import { openFollowing } from './following.ts'
import type { Part } from './kinds/kind.ts'
import { messageOfNotice } from './message.ts'

export interface Notifying extends Notices {
  /** How every notifier of a log fares, by its key. Errors: those of `Storage`. */
  deliveries(log: string): Promise<ReadonlyMap<string, NotifierDelivery>>
  /** Newest first. Errors: those of `Storage`. */
  messages(log: string, notifier: string, limit: number): Promise<readonly SentMessage[]>
  /** Send a message now that says it is a test, past the outbox. Never fails. */
  test(log: string, notifier: Notifier): Promise<Outcome>
  /** From memory: those that are paused, and those whose last try failed. */
  trouble(log: string): { readonly paused: number; readonly failing: number }
  close(): Promise<void>
}

export async function openNotifying(
  services: Pick<Services, 'log' | 'hub' | 'secrets' | 'egress' | 'clock' | 'logger'>,
  storage: OutboxStorage,
  random?: () => number,
): Promise<Notifying> {
  const { log: changes, clock } = services
  const delivery = openDelivery(services, storage, random)
  const following = await openFollowing(services, storage, delivery)
  const notifiersOf = (log: string): readonly Notifier[] => [...changes.state(log).documents.notifier.values()]

  return {
    say: notice => following.say(notice),
    async deliveries(log) {
      const [waiting, leftOut] = await Promise.all([storage.allWaiting(), storage.leftOut()])
      const numberOf = <T extends { readonly log: string; readonly notifier: string }>(rows: readonly T[], key: string): T | undefined =>
        rows.find(row => row.log === log && row.notifier === key)
      return new Map(
        notifiersOf(log).map(({ key }) => {
          const { failures, problem, nextTryAt } = delivery.health(log, key)
          const fares: NotifierDelivery = {
            waiting: numberOf(waiting, key)?.waiting ?? 0,
            leftOut: numberOf(leftOut, key)?.count ?? 0,
            failures,
            problem,
            nextTryAt: nextTryAt === null ? null : moment(nextTryAt),
            ...delivery.counters(log, key),
          }
          return [key, fares]
        }),
      )
    },
    async messages(log, notifier, limit) {
      const rows = await storage.recent(log, notifier, limit)
      return rows.map(row => {
        const { message } = JSON.parse(row.body) as Part
        const state = row.state as SentMessage['state']
        return {
          id: row.id,
          at: moment(row.createdAt),
          type: message.type,
          title: message.title,
          message: { ...message },
          revision: message.revision,
          state,
          tries: row.tries,
          lastAt: row.lastAt === null ? null : moment(row.lastAt),
          lastStatus: row.lastStatus,
          lastText: row.lastText,
          nextAt: state === 'waiting' ? moment(row.nextAt) : null,
        }
      })
    },
    test(log, notifier) {
      const id = `msg_test_${randomBytes(12).toString('base64url')}`
      const [project, environment] = log.split('/')
      const notice: Notice = {
        log,
        topic: 'trouble',
        severity: 'info',
        title: `Test of notifier ${notifier.key} in ${project}/${environment}`,
        text: 'Nothing has happened. Messages about changes will come here.',
      }
      const { message } = messageOfNotice(notice, moment(clock.now()), () => undefined)
      return attemptTest(services, log, notifier, id, { message: { ...message, type: 'notice.test' } })
    },
    trouble(log) {
      const notifiers = notifiersOf(log)
      const paused = notifiers.filter(notifier => notifier.paused !== null).length
      return { paused, failing: notifiers.filter(({ key }) => delivery.health(log, key).failures > 0).length }
    },
    async close() {
      await following.close()
      await delivery.close()
    },
  }
}
