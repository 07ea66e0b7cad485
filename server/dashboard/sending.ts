/** One request that somebody waits for: whether it is on its way, and what went wrong. */
import { useState } from 'preact/hooks'
import { Failure } from './api.ts'

export interface Sending {
  readonly isBusy: boolean
  readonly failure: Failure | null
  /** Whether it went well. While one is on its way no other is sent. */
  readonly send: (run: () => Promise<void>) => Promise<boolean>
}

export function useSending(): Sending {
  const [isBusy, setBusy] = useState(false)
  const [failure, setFailure] = useState<Failure | null>(null)
  return {
    isBusy,
    failure,
    async send(run) {
      if (isBusy) return false
      setBusy(true)
      setFailure(null)
      try {
        await run()
        return true
      } catch (error) {
        setFailure(error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error)))
        return false
      } finally {
        setBusy(false)
      }
    },
  }
}
