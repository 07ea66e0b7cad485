/** What a page shows of the API: asked when it is shown, again when the live stream says that it may be another, and kept while it is asked anew. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { LiveMessage } from '../../schemas/live.ts'
import { call, Failure } from './api.ts'
import { listen } from './live.ts'

/** Many changes in a row are one question. */
const GATHER_MS = 120

export interface Resource<T> {
  /** The newest answer; null before the first. It stays while a newer one is asked for. */
  readonly data: T | null
  readonly failure: Failure | null
  /** Ask again now. */
  readonly refresh: () => void
}

export interface ResourceOptions {
  /** Whether a message of the live stream may mean another answer. Default: every change. A reconnect always does. */
  readonly on?: (message: LiveMessage) => boolean
  /** Ask so often besides: for figures that move without a change. */
  readonly everyMs?: number
}

/** @param path null to ask nothing yet */
export function useResource<T>(path: string | null, { on = isChange, everyMs }: ResourceOptions = {}): Resource<T> {
  const [state, setState] = useState<{ path: string | null; data: T | null; failure: Failure | null }>({
    path: null,
    data: null,
    failure: null,
  })
  const [asked, setAsked] = useState(0)
  const wants = useRef(on)
  wants.current = on

  useEffect(() => {
    if (path === null) return
    const ending = new AbortController()
    call<T>(path, { signal: ending.signal }).then(
      data => setState({ path, data, failure: null }),
      (error: unknown) => {
        if (ending.signal.aborted) return
        const failure = error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error))
        setState(before => ({ path, data: before.path === path ? before.data : null, failure }))
      },
    )
    return () => ending.abort()
  }, [path, asked])

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null
    const again = (): void => setAsked(count => count + 1)
    const end = listen(message => {
      if (message.type !== 'welcome' && !wants.current(message)) return
      timer ??= setTimeout(() => {
        timer = null
        again()
      }, GATHER_MS)
    })
    const interval = everyMs === undefined ? null : setInterval(() => document.visibilityState === 'visible' && again(), everyMs)
    return () => {
      end()
      if (timer !== null) clearTimeout(timer)
      if (interval !== null) clearInterval(interval)
    }
  }, [everyMs])

  // An answer to another question is none to this one.
  const isMine = state.path === path
  return { data: isMine ? state.data : null, failure: isMine ? state.failure : null, refresh: () => setAsked(count => count + 1) }
}

export function isChange(message: LiveMessage): boolean {
  return message.type === 'change' || message.type === 'places'
}
