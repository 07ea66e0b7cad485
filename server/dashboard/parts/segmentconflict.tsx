/** Somebody else saved a segment first: what they changed, what would stand with yours on top; a choice only where both changed the same. */
import { useMemo, useState } from 'preact/hooks'
import type { Segment } from '../../../schemas/segment.ts'
import { jsonLines } from '../lines.ts'
import { type Content, conflictsOf, contentOf, contentOfSegment, draftOf, merged, type SegmentDraft } from '../segmentdraft.ts'
import { Diff } from './diff.tsx'
import { Dialog } from './dialog.tsx'

export interface SegmentConflictProps {
  readonly base: Segment
  readonly theirs: Segment
  readonly draft: SegmentDraft
  readonly onReapply: (draft: SegmentDraft) => void
  readonly onDiscard: () => void
  readonly onClose: () => void
}

export function SegmentConflict({ base, theirs, draft, onReapply, onDiscard, onClose }: SegmentConflictProps) {
  const [choices, setChoices] = useState<Readonly<Record<string, 'yours' | 'theirs'>>>({})
  const [was, own, other] = useMemo(() => [contentOfSegment(base), contentOf(draft), contentOfSegment(theirs)], [base, draft, theirs])
  const both = useMemo(() => conflictsOf(was, own, other), [was, own, other])
  const result = useMemo(() => merged(was, own, other, choices), [was, own, other, choices])
  return (
    <Dialog title="Somebody else changed it meanwhile" onClose={onClose} isWide>
      <p>
        You edited version {base.version}; it is at version {theirs.version} now. Nothing of either is lost:{' '}
        {both.length === 0 ? 'you changed different things, so both can stand.' : 'choose where both of you changed the same.'}
      </p>
      {both.map(where => (
        <fieldset key={where} class="choices">
          <legend>{where}</legend>
          {(['yours', 'theirs'] as const).map(side => (
            <label key={side}>
              <input
                type="radio"
                name={where}
                checked={(choices[where] ?? 'yours') === side}
                onChange={() => setChoices({ ...choices, [where]: side })}
              />
              {side}
            </label>
          ))}
        </fieldset>
      ))}
      <h3>What they changed</h3>
      <Diff
        before={told(was)}
        after={told(other)}
        beforeTitle={`Version ${base.version}`}
        afterTitle={`Version ${theirs.version}, theirs`}
      />
      <h3>What would stand with yours on it</h3>
      <Diff before={told(other)} after={told(result)} beforeTitle={`Version ${theirs.version}, theirs`} afterTitle="With yours" />
      <div class="buttons">
        <button type="button" class="secondary outline" onClick={onDiscard}>
          Drop mine
        </button>
        <button type="button" class="secondary" onClick={onClose}>
          Not yet
        </button>
        <button
          type="button"
          onClick={() => {
            const { name, description, ...rest } = result
            onReapply(draftOf({ ...theirs, ...rest, name: name ?? undefined, description: description ?? undefined }))
          }}
        >
          Put mine on theirs
        </button>
      </div>
    </Dialog>
  )
}

function told({ name, description, ...rest }: Content): string[] {
  return jsonLines({ ...(name === null ? {} : { name }), ...(description === null ? {} : { description }), ...rest })
}
