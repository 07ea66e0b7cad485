/**
 * Whether the log is what it was: every entry is hashed with the hash of the one before, so that nobody can alter one
 * without altering all that follow. The server recomputes it a part at a time; the newest hash, kept elsewhere, proves it to others.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import { call, Failure, inEnvironment } from '../api.ts'
import type { Place } from '../session.ts'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import { Snippet } from './snippet.tsx'
import { State } from './state.tsx'

/** Entries recomputed with one request: a moment's work. */
const MOST = 1_000

interface Verified {
  readonly revision: number
  readonly hash: string
  readonly brokenAt: number | null
  readonly reached: { readonly revision: number; readonly hash: string }
}

interface Run {
  readonly answer: Verified | null
  readonly failure: Failure | null
  /** When it ended; null while it goes on. */
  readonly endedAt: string | null
}

export function Chain({ place }: { readonly place: Place }) {
  const [run, setRun] = useState<Run | null>(null)
  const ending = useRef<AbortController | null>(null)
  useEffect(() => () => ending.current?.abort(), [])
  const verify = async (): Promise<void> => {
    const controller = new AbortController()
    ending.current = controller
    setRun({ answer: null, failure: null, endedAt: null })
    let answer: Verified | null = null
    try {
      // Entries that are committed meanwhile are verified too; of those after the last answer the next run knows.
      do {
        const query: Record<string, string | number> = { most: MOST }
        if (answer !== null) Object.assign(query, { after: answer.reached.revision, hash: answer.reached.hash })
        answer = await call<Verified>(inEnvironment('/verify', place), { query, signal: controller.signal })
        setRun({ answer, failure: null, endedAt: null })
      } while (answer.brokenAt === null && answer.reached.revision < answer.revision)
      setRun({ answer, failure: null, endedAt: new Date().toISOString() })
    } catch (error) {
      if (controller.signal.aborted) return
      setRun({ answer, failure: error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error)), endedAt: null })
    }
  }
  const isBusy = run !== null && run.endedAt === null && run.failure === null
  const path = inEnvironment('/verify', place)
  return (
    <section class="chain" aria-label="Hash chain">
      <div class="verdict">
        <p role="status">
          {run === null && 'Each entry is hashed with the one before it.'}
          {isBusy &&
            `Recomputing: revision ${(run.answer?.reached.revision ?? 0).toLocaleString('en')} of ${run.answer?.revision.toLocaleString('en') ?? '…'}`}
          {run?.endedAt != null && run.answer !== null && <Result answer={run.answer} at={run.endedAt} />}
        </p>
        <button type="button" class="secondary small" aria-busy={isBusy} disabled={isBusy} onClick={() => void verify()}>
          {run === null ? 'Verify the chain' : 'Verify again'}
        </button>
      </div>
      {isBusy && <progress aria-label="Entries verified" max={run.answer?.revision ?? 1} value={run.answer?.reached.revision ?? 0} />}
      <Problem failure={run?.failure ?? null} onRetry={() => void verify()} />
      <details>
        <summary>Check it outside this page</summary>
        <p>
          The hash of the newest entry stands for all before it. Keep it somewhere else now and then, as in a ticket or another system: as
          long as the entry of that revision still has that hash, nothing before it was altered.
        </p>
        <Snippet label="Recompute it over the API" text={`curl -H "Authorization: Bearer $SLUICE_KEY" ${location.origin}${path}`} />
        <Snippet
          label="The hash of one entry, to compare with what was kept"
          text={`curl -H "Authorization: Bearer $SLUICE_KEY" ${location.origin}${inEnvironment(`/changes/${run?.answer?.revision ?? 1}`, place)}`}
        />
      </details>
    </section>
  )
}

function Result({ answer: { revision, hash, brokenAt }, at }: { readonly answer: Verified; readonly at: string }) {
  if (brokenAt !== null) {
    return (
      <>
        <State tone="bad">
          <strong>Broken at revision {brokenAt}</strong>
        </State>{' '}
        <Moment at={at} />: that entry, or what goes before it, is not what was written. Compare with a backup; see the server’s log for
        damage.
      </>
    )
  }
  if (revision === 0) return <>The log is empty: there is nothing to verify yet.</>
  return (
    <>
      <State tone="good">
        <strong>Verified up to revision {revision.toLocaleString('en')}</strong>
      </State>{' '}
      <Moment at={at} />. Its hash is <code>{hash}</code>
    </>
  )
}
