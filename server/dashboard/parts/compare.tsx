/** The flag here beside the same flag in another environment, and copying what it does one way or the other. */
import { useMemo, useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import { at, call, type Failure, inEnvironment } from '../api.ts'
import { linesOf, type Told } from '../lines.ts'
import { settingsOf } from '../merge.ts'
import { useResource } from '../resource.ts'
import { linkTo, route } from '../route.ts'
import { may, places } from '../session.ts'
import { Diff } from './diff.tsx'
import { Dialog } from './dialog.tsx'
import { Empty } from './empty.tsx'
import { flagState } from './flagstate.tsx'
import { Problem } from './problem.tsx'
import { failureOf } from './save.tsx'

interface Comparison {
  readonly flags: readonly {
    readonly state: 'same' | 'different' | 'missing-here' | 'missing-there'
    readonly differences: readonly { readonly path: string }[]
  }[]
}

interface Copying {
  readonly from: string
  readonly to: string
  readonly before: Told | null
  readonly after: Told
}

export function Compare({ flag, onCopied }: { readonly flag: Flag; readonly onCopied: () => void }) {
  const { project, environment } = route.value
  const others = places.value.filter(each => each.project === project && each.environment !== environment).map(each => each.environment)
  const [wanted, setWanted] = useState<string | null>(null)
  const other = others.find(each => each === wanted) ?? others[0]
  const there = { project, environment: other ?? '' }
  const theirs = useResource<Flag>(other === undefined ? null : inEnvironment(at`/flags/${flag.key}`, there))
  const compared = useResource<Comparison>(other === undefined ? null : inEnvironment(at`/compare?with=${other}&flag=${flag.key}`))
  const [copying, setCopying] = useState<Copying | null>(null)
  const [said, setSaid] = useState('')
  const isMissing = theirs.failure?.code === 'FLAG_NOT_FOUND'
  const [before, after] = useMemo(
    () => [linesOf(settingsOf(flag)), theirs.data === null ? [] : linesOf(settingsOf(theirs.data))],
    [flag, theirs.data],
  )
  if (other === undefined) {
    return <Empty title="There is no other environment to compare with." command="sluice environment create staging" />
  }
  const state = compared.data?.flags[0]
  const copy = (from: string, to: string): void => {
    const own = settingsOf(flag)
    const foreign = theirs.data === null ? null : settingsOf(theirs.data)
    setCopying(to === environment ? { from, to, before: own, after: foreign! } : { from, to, before: foreign, after: own })
  }
  const canCopyHere = theirs.data !== null && may('editor')
  const canCopyThere = may('editor', there)
  return (
    <>
      <div class="flagshead">
        <label class="field">
          <span>Beside</span>
          <select value={other} onChange={event => setWanted(event.currentTarget.value)}>
            {others.map(name => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <span class="presses">
          {canCopyHere && (
            <button type="button" class="secondary outline small" onClick={() => copy(other, environment)}>
              Copy from {other} to {environment}…
            </button>
          )}
          {canCopyThere && (
            <button type="button" class="secondary outline small" onClick={() => copy(environment, other)}>
              Copy from {environment} to {other}…
            </button>
          )}
        </span>
      </div>
      {said !== '' && (
        <p class="good" role="status">
          ● {said}
        </p>
      )}
      <Problem failure={isMissing ? null : (theirs.failure ?? compared.failure)} onRetry={theirs.refresh} />
      {isMissing && <p>The flag is not in {other}: copying makes it there.</p>}
      {theirs.data !== null && (
        <>
          <p>
            {environment} {flagState(flag)}, <a href={linkTo('flags', [flag.key], { project, environment: other })}>{other}</a>{' '}
            {flagState(theirs.data)}.{' '}
            {state?.state === 'same'
              ? 'Both do the same.'
              : state === undefined
                ? ''
                : `They differ in ${state.differences.length} ${state.differences.length === 1 ? 'place' : 'places'}.`}
          </p>
          <Diff before={before} after={after} beforeTitle={environment} afterTitle={other} />
        </>
      )}
      {copying !== null && (
        <CopyDialog
          flag={flag.key}
          copying={copying}
          onClose={() => setCopying(null)}
          onDone={revision => {
            setSaid(`Copied from ${copying.from} to ${copying.to}, as revision ${revision} of ${copying.to}.`)
            setCopying(null)
            theirs.refresh()
            compared.refresh()
            onCopied()
          }}
        />
      )}
    </>
  )
}

interface CopyDialogProps {
  readonly flag: string
  readonly copying: Copying
  readonly onDone: (revision: number) => void
  readonly onClose: () => void
}

function CopyDialog({ flag, copying: { from, to, before, after }, onDone, onClose }: CopyDialogProps) {
  const [comment, setComment] = useState('')
  const [failure, setFailure] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  const copy = async (event: Event): Promise<void> => {
    event.preventDefault()
    setBusy(true)
    try {
      const { revision } = await call<{ revision: number }>(inEnvironment('/copy', { project: route.peek().project, environment: to }), {
        method: 'POST',
        body: { from, flags: [flag], ...(comment === '' ? {} : { comment }) },
      })
      onDone(revision)
    } catch (error) {
      setFailure(failureOf(error))
      setBusy(false)
    }
  }
  return (
    <Dialog title={`Copy ${flag} from ${from} to ${to}`} onClose={onClose} isWide>
      <form onSubmit={event => void copy(event)}>
        <p>
          What it does in {to} is replaced: on or off, prerequisites, targets, rules. Kills in {to} stay.
        </p>
        <Diff before={linesOf(before)} after={linesOf(after)} beforeTitle={`${to}, as it stands`} afterTitle={`${to}, afterwards`} />
        <label>
          Comment
          <input type="text" autofocus value={comment} onInput={event => setComment(event.currentTarget.value)} />
        </label>
        <Problem failure={failure} />
        <div class="presses">
          <button type="button" class="secondary" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" aria-busy={isBusy} disabled={isBusy}>
            Copy
          </button>
        </div>
      </form>
    </Dialog>
  )
}
