/** How far a revision has arrived, as the receipts come in: "412 of 415 instances have it, the slowest after 0.8 s", and who is missing. */
import { useEffect, useState } from 'preact/hooks'
import type { Receipts } from '../../../schemas/instance.ts'
import { call, inEnvironment } from '../api.ts'
import { countText, millisecondsText } from './counts.ts'

/** Between two questions: quick at first, for that is when receipts come. */
const ASK_MIN_MS = 150
const ASK_MAX_MS = 3_000
const MISSING_SHOWN = 8

export function Arrival({ revision }: { readonly revision: number }) {
  const receipts = useReceipts(revision)
  if (receipts === null) return <p aria-busy="true">Waiting for receipts of revision {revision}</p>
  const { instances, confirmed, slowestMs, missing } = receipts
  if (instances === 0) {
    return <p role="status">No instance is connected here at the moment: each takes revision {revision} when it comes.</p>
  }
  const isAll = confirmed >= instances
  const slowest = slowestMs === null ? '' : `, the slowest after ${millisecondsText(slowestMs)}`
  return (
    <div class="arrival">
      <progress max={instances} value={confirmed} aria-label="Instances that have it" />
      <p role="status" class={isAll ? 'good' : 'busy'}>
        <span aria-hidden="true">{isAll ? '●' : '◐'}</span>{' '}
        {isAll
          ? `${instances === 1 ? 'The one instance has' : `All ${instances} instances have`} revision ${revision}${slowest}`
          : `${confirmed} of ${countText(instances, 'instance')} ${confirmed === 1 ? 'has' : 'have'} revision ${revision}${slowest}`}
      </p>
      {missing.length > 0 && (
        <details>
          <summary>{countText(instances - confirmed, 'instance')} missing</summary>
          <ul>
            {missing.slice(0, MISSING_SHOWN).map(each => (
              <li key={each.id}>
                <strong>{each.service}</strong> <code>{each.id}</code>{' '}
                {each.revision === 0 ? 'has confirmed nothing yet' : `has revision ${each.revision}`}
              </li>
            ))}
            {instances - confirmed > MISSING_SHOWN && <li>and {instances - confirmed - MISSING_SHOWN} more</li>}
          </ul>
        </details>
      )}
    </div>
  )
}

function useReceipts(revision: number): Receipts | null {
  const [receipts, setReceipts] = useState<Receipts | null>(null)
  useEffect(() => {
    const ending = new AbortController()
    let timer: ReturnType<typeof setTimeout> | null = null
    const ask = async (waitMs: number): Promise<void> => {
      let isComplete = false
      try {
        const found = await call<Receipts>(inEnvironment(`/changes/${revision}/receipts`), { signal: ending.signal })
        setReceipts(found)
        isComplete = found.confirmed >= found.instances
      } catch {
        // Not reachable just now: asked again.
      }
      // Somebody may still connect; then it is looked at again, in no hurry.
      const next = isComplete ? ASK_MAX_MS : Math.min(ASK_MAX_MS, waitMs * 1.3)
      if (!ending.signal.aborted) timer = setTimeout(() => void ask(next), isComplete ? ASK_MAX_MS : waitMs)
    }
    void ask(ASK_MIN_MS)
    return () => {
      ending.abort()
      if (timer !== null) clearTimeout(timer)
    }
  }, [revision])
  return receipts
}
