/** Holding one account, or whoever matches, to a rate of its own; everyone else is served as before. */
import { useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import type { Hold } from '../../../schemas/hold.ts'
import type { CountedRate, RateValue } from '../../../schemas/values.ts'
import { affectedText, rateText } from '../../../schemas/words.ts'
import { at, call, inEnvironment } from '../api.ts'
import { Act, type Done } from './act.tsx'
import { type ClauseDraft, clauseOf, ClausesEditor, draftOf, NEW_CLAUSE } from './clauses.tsx'

interface Written {
  readonly revision: number
  readonly change: object | null
  readonly limit: Hold
  readonly before: Hold | null
  readonly existing: boolean
  readonly warnings: readonly { readonly message: string }[]
  readonly flag: Flag
}

const PERS: readonly CountedRate['per'][] = ['second', 'minute', 'hour', 'day']

interface Props {
  readonly flag: string
  readonly attribute: string
  readonly account: string
  readonly onClose: () => void
  readonly onDone: (done: Done) => void
}

export function HoldAccount({ flag, attribute, account, onClose, onDone }: Props) {
  const [drafts, setDrafts] = useState<readonly ClauseDraft[]>([
    account === '' ? { ...NEW_CLAUSE, attribute } : draftOf({ attribute, op: 'in', values: [account] }),
  ])
  const [rate, setRate] = useState('10')
  const [per, setPer] = useState<CountedRate['per']>('second')
  const [burst, setBurst] = useState('')
  const [isShadow, setShadow] = useState(false)
  const [isForced, setForced] = useState(false)
  const value: RateValue = {
    ...{ rate: Number(rate), per },
    ...(burst === '' ? {} : { burst: Number(burst) }),
    ...(isShadow ? { mode: 'shadow' } : {}),
  }
  const run = async (reason: string): Promise<Done> => {
    const written = await call<Written>(inEnvironment(at`/flags/${flag}/limits`), {
      method: 'POST',
      body: { clauses: drafts.map(clauseOf), value, reason },
      query: isForced ? { force: true } : {},
    })
    return doneOf(flag, written)
  }
  return (
    <Act title={`Hold an account: ${flag}`} verb="Hold them" reason="asked" run={run} onClose={onClose} onDone={onDone}>
      <p>Who matches is held to this rate, before all other rules, within a second or two everywhere. Nobody else is touched.</p>
      <fieldset>
        <legend>Whom</legend>
        <ClausesEditor drafts={drafts} onChange={setDrafts} attributes={[]} segments={[]} />
      </fieldset>
      <fieldset class="pair">
        <label>
          Rate
          <input name="rate" type="number" min="0" step="any" required value={rate} onInput={event => setRate(event.currentTarget.value)} />
        </label>
        <label>
          per
          <select name="per" value={per} onChange={event => setPer(event.currentTarget.value as CountedRate['per'])}>
            {PERS.map(each => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label>
          At most at once (may be left out)
          <input name="burst" type="number" min="1" step="1" value={burst} onInput={event => setBurst(event.currentTarget.value)} />
        </label>
      </fieldset>
      <label>
        <input type="checkbox" checked={isShadow} onChange={event => setShadow(event.currentTarget.checked)} /> Shadow: count whom it would
        deny, and deny nobody
      </label>
      <label>
        <input type="checkbox" checked={isForced} onChange={event => setForced(event.currentTarget.checked)} /> Although it denies
        everything, or gives more than ten times what they have
      </label>
    </Act>
  )
}

function doneOf(flag: string, { revision, change, limit, before, existing, warnings }: Written): Done {
  if (existing || change === null) return { text: 'They were held so already.', next: 'Nothing new was written.' }
  return {
    text: `Held ${affectedText(limit.clauses)} to ${rateText(limit.value)}.`,
    next: 'Connected applications follow as soon as they confirm, without a burst.',
    warnings,
    undo:
      before === null
        ? { what: 'let them go', run: () => call(inEnvironment(at`/flags/${flag}/limits/${limit.id}`), { method: 'DELETE' }) }
        : {
            what: `back to ${rateText(before.value)}`,
            run: () => call(inEnvironment(at`/changes/${String(revision)}/revert`), { method: 'POST', body: {} }),
          },
  }
}
