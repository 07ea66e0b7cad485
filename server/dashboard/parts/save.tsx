/** Saving what was edited: first the server says what would change, then it is saved on exactly the version it was edited on. */
import { useMemo, useState } from 'preact/hooks'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import { at, call, Failure, inEnvironment } from '../api.ts'
import type { Draft } from '../drafts.ts'
import { linesOf } from '../lines.ts'
import { changedFields, type Choices, merged, type Piece, piecesOf, type Settings, settingsOf } from '../merge.ts'
import { useResource } from '../resource.ts'
import { Diff } from './diff.tsx'
import { Dialog } from './dialog.tsx'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'

export interface Saved {
  readonly revision: number
  readonly flag: Flag
}

/** A dry run of the edit, or the edit itself. Errors: `Failure`, `VERSION_CONFLICT` when somebody else was faster. */
export function saveSettings({ base, settings }: Draft, { comment = '', dryRun = false } = {}): Promise<Saved> {
  return call<Saved>(inEnvironment(at`/flags/${base.key}`), {
    method: 'PATCH',
    body: { ...changedFields(base, settings), ...(comment === '' ? {} : { comment }) },
    ifMatch: base.version,
    query: dryRun ? { dryRun: true } : {},
  })
}

export interface ReviewProps {
  readonly draft: Draft
  readonly environment: string
  readonly onSaved: (saved: Saved) => void
  readonly onFailed: (failure: Failure) => void
  readonly onClose: () => void
}

/** The diff, a comment, and the button. */
export function Review({ draft, environment, onSaved, onFailed, onClose }: ReviewProps) {
  const [comment, setComment] = useState('')
  const [failure, setFailure] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  const [before, after] = useMemo(() => [linesOf(settingsOf(draft.base)), linesOf(draft.settings)], [draft])
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    setBusy(true)
    try {
      onSaved(await saveSettings(draft, { comment }))
    } catch (error) {
      const failed = failureOf(error)
      setBusy(false)
      // Not having been answered is no reason to leave: the same save can be tried again.
      if (failed.status === 0) setFailure(failed)
      else onFailed(failed)
    }
  }
  return (
    <Dialog title={`Save ${draft.base.key} in ${environment}`} onClose={onClose} isWide>
      <form onSubmit={event => void save(event)}>
        <Diff before={before} after={after} beforeTitle={`Version ${draft.base.version}, as it stands`} afterTitle="As you leave it" />
        <label>
          Comment
          <textarea
            rows={2}
            autofocus
            placeholder="Why: it is what the next person reads"
            value={comment}
            onInput={event => setComment(event.currentTarget.value)}
          />
        </label>
        <Problem failure={failure} />
        <div class="presses">
          <button type="button" class="secondary" onClick={onClose}>
            Keep editing
          </button>
          <button type="submit" aria-busy={isBusy} disabled={isBusy}>
            Save
          </button>
        </div>
      </form>
    </Dialog>
  )
}

export interface ConflictProps {
  readonly draft: Draft
  readonly theirs: Flag
  /** The edits, laid on what stands now. */
  readonly onReapply: (draft: Draft) => void
  readonly onDiscard: () => void
  readonly onClose: () => void
}

/** Somebody else was faster: theirs beside yours, piece by piece. */
export function Conflict({ draft, theirs, onReapply, onDiscard, onClose }: ConflictProps) {
  const [choices, setChoices] = useState<Choices>({})
  const yours = draft.settings
  const pieces = useMemo(() => piecesOf(draft.base, yours, theirs), [draft, theirs])
  const { data } = useResource<{ changes: readonly Change[] }>(inEnvironment(at`/changes?flag=${theirs.key}&since=${'0'}&limit=5`))
  const result = useMemo(() => merged(draft.base, yours, theirs, choices), [draft, theirs, choices])
  const both = pieces.filter(({ by }) => by === 'both')
  return (
    <Dialog title="Somebody else changed it meanwhile" onClose={onClose} isWide>
      <p>
        You edited version {draft.base.version}; it is at version {theirs.version} now. Nothing of either is lost:{' '}
        {both.length === 0
          ? 'you changed different things, so both can stand.'
          : `choose for ${both.length === 1 ? 'the one place' : `the ${both.length} places`} that both of you changed.`}
      </p>
      {data !== null && <Since changes={data.changes} draft={draft} />}
      <div class="scroll" tabIndex={0} role="region" aria-label="Theirs beside yours">
        <table class="conflict">
          <thead>
            <tr>
              <th scope="col">Where</th>
              <th scope="col">Theirs</th>
              <th scope="col">Yours</th>
            </tr>
          </thead>
          <tbody>
            {pieces.map(piece => (
              <PieceRow
                key={piece.place}
                piece={piece}
                choice={choices[piece.place] ?? 'yours'}
                onChoose={choice => setChoices({ ...choices, [piece.place]: choice })}
              />
            ))}
          </tbody>
        </table>
      </div>
      <details>
        <summary>What would be saved on version {theirs.version}</summary>
        <Diff
          before={linesOf(settingsOf(theirs))}
          after={linesOf(result)}
          beforeTitle={`Version ${theirs.version}`}
          afterTitle="With your edits"
        />
      </details>
      <div class="presses">
        <button type="button" class="secondary outline" onClick={onDiscard}>
          Drop mine
        </button>
        <button type="button" class="secondary" onClick={onClose}>
          Not yet
        </button>
        <button type="button" onClick={() => onReapply({ base: theirs, settings: result })}>
          Put mine on theirs
        </button>
      </div>
    </Dialog>
  )
}

function Since({ changes, draft }: { readonly changes: readonly Change[]; readonly draft: Draft }) {
  const later = changes.filter(change =>
    change.edits.some(
      ({ type, key, after }) =>
        type === 'flag' && key === draft.base.key && ((after as Flag | null)?.version ?? Infinity) > draft.base.version,
    ),
  )
  return (
    <ul>
      {later.map(({ revision, actor, at: moment, comment, action }) => (
        <li key={revision}>
          <strong>{actor.name}</strong> <Moment at={moment} />: {comment ?? action}
        </li>
      ))}
    </ul>
  )
}

interface PieceRowProps {
  readonly piece: Piece
  readonly choice: 'yours' | 'theirs'
  readonly onChoose: (choice: 'yours' | 'theirs') => void
}

function PieceRow({ piece: { place, title, by, yours, theirs }, choice, onChoose }: PieceRowProps) {
  const side = (name: 'theirs' | 'yours', lines: readonly string[]) => {
    const isKept = by === 'both' ? choice === name : (by === 'you') === (name === 'yours')
    return (
      <td class={isKept ? 'kept' : 'dropped'}>
        {by === 'both' ? (
          <label>
            <input type="radio" name={place} checked={choice === name} onChange={() => onChoose(name)} />
            keep {name}
          </label>
        ) : (
          <small>
            {name}: {isKept ? 'kept' : 'as it was'}
          </small>
        )}
        <pre>{lines.join('\n')}</pre>
      </td>
    )
  }
  return (
    <tr>
      <th scope="row">
        {title}
        <br />
        <small>{by === 'both' ? '▲ changed by both' : by === 'you' ? 'changed by you' : 'changed by them'}</small>
      </th>
      {side('theirs', theirs)}
      {side('yours', yours)}
    </tr>
  )
}

export function failureOf(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error))
}

/** The edit of one field on a flag as it stands, without a draft: on and off. */
export function withField(flag: Flag, some: Partial<Settings>): Draft {
  return { base: flag, settings: { ...settingsOf(flag), ...some } }
}
