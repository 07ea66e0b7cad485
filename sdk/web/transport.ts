/** The only part that touches the network: one websocket at a time, and polls. Decides nothing. */
import { CLIENT_KEY_PREFIX, CLIENT_PATH, CLIENT_PROTOCOL } from '../../schemas/protocol.ts'
import type { PollAnswer } from '../connection.ts'
import { messageOf } from '../failure.ts'
import { parseBulk } from './messages.ts'
import type { Settings } from './options.ts'
import type { Page } from './page.ts'

/** How long the server may take to answer a poll. */
const ANSWER_TIMEOUT_MS = 10_000

export interface Transport {
  /** Start a link. Its events come later, never from within this call, and none after `drop`. */
  open(events: LinkEvents): Link
  /**
   * Ask for all flags. Never rejects.
   * @param tag of what is held for this context, empty for nothing
   */
  poll(context: string, tag: string, signal: AbortSignal): Promise<{ readonly answer: PollAnswer; readonly tag: string }>
}

export interface LinkEvents {
  opened(): void
  message(text: string): void
  /** Once, at the end. `problem` is what the server said of it, empty when it did not. */
  lost(why: 'refused' | 'closed', problem: string): void
}

export interface Link {
  send(text: string): void
  drop(): void
}

/** The server closed for something that the page does wrong; other ends are the network's, or the server's own. */
const PROTOCOL_BROKEN = 1008

export function networkTransport(page: Page, { base, key }: Pick<Settings, 'base' | 'key'>): Transport {
  return {
    open(events) {
      let socket: InstanceType<NonNullable<Page['WebSocket']>> | null = null
      let isOpen = false
      let isOver = false
      const end = (problem: string): void => {
        if (isOver) return
        isOver = true
        // A page is told nothing about an upgrade that failed: a poll will find out what is wrong, or be what works.
        events.lost(isOpen ? 'closed' : 'refused', problem)
      }
      try {
        if (page.WebSocket === undefined) throw new Error('there is no WebSocket')
        socket = new page.WebSocket(`${(base ?? '').replace(/^http/, 'ws')}${CLIENT_PATH}`, [CLIENT_PROTOCOL, CLIENT_KEY_PREFIX + key])
        socket.onopen = () => {
          isOpen = true
          if (!isOver) events.opened()
        }
        socket.onmessage = ({ data }) => {
          if (!isOver) events.message(typeof data === 'string' ? data : '')
        }
        // Says nothing that `onclose` does not, but where websockets are Node's, one that nobody hears ends the process.
        socket.onerror = () => undefined
        socket.onclose = ({ code, reason }) => end(code === PROTOCOL_BROKEN ? reason : '')
      } catch (error) {
        // A policy of the page's may forbid it.
        setTimeout(() => end(messageOf(error)))
      }
      return {
        send: text => socket?.send(text),
        drop() {
          isOver = true
          socket?.close()
        },
      }
    },

    async poll(context, tag, signal) {
      const controller = new AbortController()
      const abort = (): void => controller.abort()
      const timer = setTimeout(abort, ANSWER_TIMEOUT_MS)
      signal.addEventListener('abort', abort)
      const failed = (problem: string, retryAfterMs = 0) => ({ answer: { kind: 'failed', problem, retryAfterMs }, tag: '' }) as const
      try {
        const answer = await fetch(`${base}/ofrep/v1/evaluate/flags`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${key}`,
            'content-type': 'application/json',
            ...(tag === '' ? {} : { 'if-none-match': tag }),
          },
          body: `{"context":${context}}`,
          credentials: 'omit',
          redirect: 'error',
          signal: controller.signal,
        })
        if (answer.status === 304) return { answer: { kind: 'unchanged' }, tag }
        if (answer.status === 401 || answer.status === 403) return { answer: { kind: 'refused' }, tag: '' }
        const retryAfter = Number(answer.headers.get('retry-after') ?? 0)
        if (answer.status !== 200) return failed(`the server answered ${answer.status}`, retryAfter > 0 ? retryAfter * 1_000 : 0)
        const whole = parseBulk(await answer.text())
        return whole === null
          ? failed('the answer holds no evaluations')
          : { answer: { kind: 'whole', whole }, tag: answer.headers.get('etag') ?? '' }
      } catch (error) {
        return failed(messageOf(error))
      } finally {
        clearTimeout(timer)
        signal.removeEventListener('abort', abort)
      }
    },
  }
}
