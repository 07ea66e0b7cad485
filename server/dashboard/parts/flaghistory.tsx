/** What happened to a flag here: who, when and why; what stood before beside what stood after; and taking it back. */
import { useMemo, useState } from 'preact/hooks'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import { ACTION_WORDS } from '../../../schemas/words.ts'
import { at, call, type Failure, inEnvironment } from '../api.ts'
import { jsonLines, linesOf } from '../lines.ts'
import { useResource } from '../resource.ts'
import { may } from '../session.ts'
import { Diff } from './diff.tsx'
import { Dialog } from './dialog.tsx'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import { Arrival } from './receipts.tsx'
import { failureOf } from './save.tsx'

const PAGE = 20
const OVERRIDES: readonly string[] = ['flag.kill', 'flag.lift', 'flag.expire']

interface Page {
  readonly changes: readonly Change[]
  readonly more: boolean
}

export function History({ flag }: { readonly flag: Flag }) {
  const newest = useResource<Page>(inEnvironment(at`/changes?flag=${flag.key}&limit=${String(PAGE)}`))
  const [older, setOlder] = useState<Page | null>(null)
  const [open, setOpen] = useState<ReadonlySet<number> | null>(null)
  const [reverting, setReverting] = useState<Change | null>(null)
  const [problem, setProblem] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  if (newest.data === null)
    return newest.failure === null ? <p aria-busy="true">Loading</p> : <Problem failure={newest.failure} onRetry={newest.refresh} />
  const { changes: first } = newest.data
  const last = first.at(-1)?.revision ?? 0
  const changes = [...first, ...(older?.changes.filter(({ revision }) => revision < last) ?? [])]
  const hasMore = older === null ? newest.data.more : older.more
  // The newest edit is what somebody came for.
  const shown = open ?? new Set(first.slice(0, 1).map(({ revision }) => revision))
  const toggle = (revision: number): void => {
    const next = new Set(shown)
    if (!next.delete(revision)) next.add(revision)
    setOpen(next)
  }
  const more = async (): Promise<void> => {
    setBusy(true)
    try {
      const before = (changes.at(-1)?.revision ?? 1) - 1
      const page = await call<Page>(inEnvironment(at`/changes?flag=${flag.key}&limit=${String(PAGE)}&until=${String(before)}`))
      setOlder({ changes: [...(older?.changes ?? []), ...page.changes], more: page.more })
      setProblem(null)
    } catch (error) {
      setProblem(failureOf(error))
    }
    setBusy(false)
  }
  return (
    <>
      <h2 class="sr">History</h2>
      <ol class="history">
        {changes.map(change => (
          <Entry
            key={change.revision}
            change={change}
            flag={flag.key}
            isOpen={shown.has(change.revision)}
            onToggle={() => toggle(change.revision)}
            onRevert={() => setReverting(change)}
          />
        ))}
      </ol>
      <Problem failure={problem} />
      {hasMore && (
        <button type="button" class="secondary outline" aria-busy={isBusy} disabled={isBusy} onClick={() => void more()}>
          Older
        </button>
      )}
      {reverting !== null && <Revert change={reverting} flag={flag.key} onClose={() => setReverting(null)} />}
    </>
  )
}

interface EntryProps {
  readonly change: Change
  readonly flag: string
  readonly isOpen: boolean
  readonly onToggle: () => void
  readonly onRevert: () => void
}

function Entry({ change, flag, isOpen, onToggle, onRevert }: EntryProps) {
  const { revision, at: moment, actor, action, comment, reverts, edits } = change
  const others = edits.filter(({ type, key }) => type !== 'flag' || key !== flag)
  return (
    <li>
      <div class="entry">
        <button type="button" class="plain" aria-expanded={isOpen} onClick={onToggle}>
          <span aria-hidden="true">{isOpen ? '▾' : '▸'}</span> <strong>{actor.name}</strong> {ACTION_WORDS[action].replace(/ flag$/, '')} it
          {reverts !== null && ` (back to before revision ${reverts})`}
        </button>
        <span class="when">
          <Moment at={moment} /> <small>revision {revision}</small>
        </span>
        {may('editor') && !OVERRIDES.includes(action) && (
          <button type="button" class="secondary outline small" aria-label={`Revert revision ${revision}`} onClick={onRevert}>
            Revert…
          </button>
        )}
      </div>
      {comment !== null && comment !== '' && <p class="saying">“{comment}”</p>}
      {isOpen && <EditDiff change={change} flag={flag} />}
      {isOpen && others.length > 0 && (
        <p class="hint">
          In the same change:{' '}
          {others
            .slice(0, 8)
            .map(({ type, key }) => `${type} ${key}`)
            .join(', ')}
          {others.length > 8 && ` and ${others.length - 8} more`}
        </p>
      )}
    </li>
  )
}

function EditDiff({ change, flag }: { readonly change: Change; readonly flag: string }) {
  const edit = change.edits.find(({ type, key }) => type === 'flag' && key === flag) ?? change.edits[0]
  const [before, after] = useMemo(() => {
    if (edit === undefined) return [[], []]
    const told = edit.type === 'flag' ? (document: unknown) => linesOf(document as Flag | null) : jsonLines
    return [told(edit.before), told(edit.after)]
  }, [edit])
  if (edit === undefined) return null
  return (
    <Diff
      before={before}
      after={after}
      beforeTitle={versionOf(edit.before) ?? 'Nothing stood here'}
      afterTitle={versionOf(edit.after) ?? 'Archived'}
    />
  )
}

function versionOf(document: unknown): string | null {
  const version = (document as { readonly version?: number } | null)?.version
  return document === null ? null : version === undefined ? 'A document' : `Version ${version}`
}

function Revert({ change, flag, onClose }: { readonly change: Change; readonly flag: string; readonly onClose: () => void }) {
  const [comment, setComment] = useState('')
  const [failure, setFailure] = useState<Failure | null>(null)
  const [revision, setRevision] = useState<number | null>(null)
  const [isBusy, setBusy] = useState(false)
  const revert = async (force: boolean): Promise<void> => {
    setBusy(true)
    try {
      const answer = await call<{ revision: number }>(inEnvironment(`/changes/${change.revision}/revert`), {
        method: 'POST',
        body: comment === '' ? {} : { comment },
        query: { force: force ? true : undefined },
      })
      setRevision(answer.revision)
      setFailure(null)
    } catch (error) {
      setFailure(failureOf(error))
    }
    setBusy(false)
  }
  const edit = change.edits.find(({ type, key }) => type === 'flag' && key === flag)
  const canForce = failure?.details.some(({ code }) => code === 'changed_since') === true
  return (
    <Dialog title={`Revert revision ${change.revision}`} onClose={onClose} isWide>
      {revision === null ? (
        <form
          onSubmit={event => {
            event.preventDefault()
            void revert(false)
          }}
        >
          <p>What it touched stands again as before it, by a new change. Kills stay as they are.</p>
          {edit !== undefined && (
            <Diff
              before={linesOf(edit.after as Flag | null)}
              after={linesOf(edit.before as Flag | null)}
              beforeTitle="What it made"
              afterTitle="What stands again"
            />
          )}
          {change.edits.length > 1 && <p class="warn">▲ It touched {change.edits.length} documents: all of them go back.</p>}
          <label>
            Comment
            <input type="text" autofocus value={comment} onInput={event => setComment(event.currentTarget.value)} />
          </label>
          <Problem failure={failure} />
          <div class="presses">
            <button type="button" class="secondary" onClick={onClose}>
              Cancel
            </button>
            {canForce && (
              <button type="button" class="danger" aria-busy={isBusy} disabled={isBusy} onClick={() => void revert(true)}>
                Revert all the same: what was changed since is lost
              </button>
            )}
            <button type="submit" aria-busy={isBusy} disabled={isBusy}>
              Revert
            </button>
          </div>
        </form>
      ) : (
        <>
          <p>
            <strong class="good">● Reverted</strong> as revision {revision}.
          </p>
          <Arrival revision={revision} />
          <div class="presses">
            <button type="button" autofocus onClick={onClose}>
              Close
            </button>
          </div>
        </>
      )}
    </Dialog>
  )
}
