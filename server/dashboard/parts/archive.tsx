/** Archiving flags, in every environment or in one: what is still in use is named, and stays. */
import { useState } from 'preact/hooks'
import { at, call, type Failure, inEnvironment, inProject } from '../api.ts'
import { mayInProject } from '../session.ts'
import { Dialog } from './dialog.tsx'
import { Problem } from './problem.tsx'
import { failureOf } from './save.tsx'

export interface ArchiveProps {
  readonly keys: readonly string[]
  readonly environment: string
  readonly onDone: (said: string) => void
  readonly onClose: () => void
}

export function ArchiveDialog({ keys, environment, onDone, onClose }: ArchiveProps) {
  const [isEverywhere, setEverywhere] = useState(mayInProject('editor'))
  const [comment, setComment] = useState('')
  const [isForced, setForced] = useState(false)
  const [failures, setFailures] = useState<ReadonlyMap<string, Failure>>(new Map())
  const [done, setDone] = useState<ReadonlySet<string>>(new Set())
  const [isBusy, setBusy] = useState(false)
  const left = keys.filter(key => !done.has(key))
  const archive = async (event: Event): Promise<void> => {
    event.preventDefault()
    setBusy(true)
    const gone = new Set(done)
    const refused = new Map<string, Failure>()
    for (const key of left) {
      try {
        await call(isEverywhere ? inProject(at`/flags/${key}`) : inEnvironment(at`/flags/${key}`), {
          method: 'DELETE',
          query: { comment: comment === '' ? undefined : comment, force: isForced ? true : undefined },
        })
        gone.add(key)
      } catch (error) {
        refused.set(key, failureOf(error))
      }
    }
    setDone(gone)
    setFailures(refused)
    setBusy(false)
    if (refused.size === 0) onDone(`Archived ${counted(keys)} ${isEverywhere ? 'in every environment' : `in ${environment}`}.`)
  }
  return (
    <Dialog title={`Archive ${counted(keys)}`} onClose={onClose}>
      <form onSubmit={event => void archive(event)}>
        <Keys keys={left} />
        <fieldset>
          <legend class="sr">Where</legend>
          <label>
            <input
              type="radio"
              name="where"
              disabled={!mayInProject('editor')}
              checked={isEverywhere}
              onChange={() => setEverywhere(true)}
            />
            in every environment
          </label>
          <label>
            <input type="radio" name="where" checked={!isEverywhere} onChange={() => setEverywhere(false)} />
            in {environment} alone
          </label>
        </fieldset>
        <p class="hint">Whoever asks for them then gets the default in the code. The log keeps them: reverting brings them back.</p>
        <label>
          Comment
          <input type="text" value={comment} onInput={event => setComment(event.currentTarget.value)} />
        </label>
        {done.size > 0 && <p>{done.size} archived.</p>}
        {[...failures].map(([key, failure]) => (
          <Problem key={key} failure={failure} />
        ))}
        {[...failures.values()].some(({ code }) => code === 'FLAG_IN_USE') && (
          <label>
            <input type="checkbox" checked={isForced} onChange={event => setForced(event.currentTarget.checked)} />
            although some were evaluated lately
          </label>
        )}
        <div class="presses">
          <button type="button" class="secondary" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" aria-busy={isBusy} disabled={isBusy}>
            Archive {counted(left)}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function Keys({ keys }: { readonly keys: readonly string[] }) {
  return (
    <p class="keys">
      {keys.slice(0, 12).map(key => (
        <code key={key}>{key}</code>
      ))}
      {keys.length > 12 && <span>and {keys.length - 12} more</span>}
    </p>
  )
}

function counted(keys: readonly string[]): string {
  return keys.length === 1 ? keys[0]! : `${keys.length} flags`
}
