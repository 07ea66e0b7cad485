/** Taking a change back: what would be written is asked of the server first and shown; what was changed since is lost only when somebody says so. */
import { useEffect, useState } from 'preact/hooks'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import { call, Failure, inEnvironment } from '../api.ts'
import { jsonLines, linesOf } from '../lines.ts'
import { useSending } from '../sending.ts'
import { Diff } from './diff.tsx'
import { Dialog } from './dialog.tsx'
import { Problem } from './problem.tsx'

const EDITS_SHOWN = 20

export function Reverting({ change: { revision }, onClose }: { readonly change: Change; readonly onClose: () => void }) {
  const [comment, setComment] = useState('')
  const [isForced, setForced] = useState(false)
  const [planned, setPlanned] = useState<Change | 'nothing' | null>(null)
  const [refusal, setRefusal] = useState<Failure | null>(null)
  const { isBusy, failure, send } = useSending()
  const revert = (isDry: boolean): Promise<{ change: Change | null }> =>
    call(inEnvironment(`/changes/${revision}/revert`), {
      method: 'POST',
      body: comment === '' ? {} : { comment },
      query: { ...(isDry ? { dryRun: true } : {}), ...(isForced ? { force: true } : {}) },
    })
  useEffect(() => {
    setPlanned(null)
    setRefusal(null)
    revert(true).then(
      ({ change }) => setPlanned(change ?? 'nothing'),
      (error: unknown) => setRefusal(error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error))),
    )
  }, [isForced])
  const isConflict = refusal?.details.some(({ code }) => code === 'changed_since') === true
  return (
    <Dialog title={`Revert revision ${revision}`} onClose={onClose} isWide>
      <form
        onSubmit={event => {
          event.preventDefault()
          void send(async () => void (await revert(false))).then(isDone => isDone && onClose())
        }}
      >
        <p>What it touched stands again as before it, by a new change. Kills are not touched.</p>
        <Problem failure={refusal} />
        {(isConflict || isForced) && (
          <label>
            <input type="checkbox" checked={isForced} onChange={event => setForced(event.currentTarget.checked)} />
            Revert all the same: what was changed since is lost
          </label>
        )}
        {planned === 'nothing' && <p>Everything stands already as before it: there is nothing to do.</p>}
        {planned !== null &&
          planned !== 'nothing' &&
          planned.edits.slice(0, EDITS_SHOWN).map(({ type, key, before, after }) => {
            const told = (document: unknown): string[] => (type === 'flag' ? linesOf(document as Flag | null) : jsonLines(document))
            return (
              <section key={`${type}/${key}`}>
                <h3>
                  {type} {key}
                </h3>
                <Diff before={told(before)} after={told(after)} beforeTitle="Stands now" afterTitle="Would stand" />
              </section>
            )
          })}
        {planned !== null && planned !== 'nothing' && planned.edits.length > EDITS_SHOWN && (
          <p class="hint">and {planned.edits.length - EDITS_SHOWN} documents more</p>
        )}
        <label>
          Comment
          <input type="text" placeholder="why" value={comment} onInput={event => setComment(event.currentTarget.value)} />
        </label>
        <Problem failure={failure} />
        <div class="buttons">
          <button type="button" class="secondary" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" disabled={planned === null || planned === 'nothing' || isBusy} aria-busy={isBusy}>
            Revert
          </button>
        </div>
      </form>
    </Dialog>
  )
}
