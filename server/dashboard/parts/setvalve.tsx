/** A valve by hand: throttled, open, cut, or left to itself again; with a reason, what happens next, and the way back. */
import { useState } from 'preact/hooks'
import type { Kill } from '../../../schemas/kill.ts'
import type { Throttle } from '../../../schemas/throttle.ts'
import type { ValveSetting, ValveUsage } from '../../../schemas/valveusage.ts'
import { affectedText, settingText } from '../../../schemas/words.ts'
import { at, call, inEnvironment } from '../api.ts'
import { Act, type Done } from './act.tsx'
import { type ClauseDraft, clauseOf, ClausesEditor } from './clauses.tsx'
import { numberText } from './figure.tsx'
import { minuteOf } from './valvestate.tsx'

export type ValveSet = 'throttle' | 'flow' | 'cut'

interface Written {
  readonly revision: number
  readonly change: object | null
  readonly throttle: Throttle | null
  readonly kill: Kill | null
  readonly existing: boolean
  readonly before: ValveSetting
  readonly stood: Throttle | null
  readonly warnings: readonly { readonly message: string }[]
}

interface Props {
  readonly valve: ValveUsage
  readonly onClose: () => void
  readonly onDone: (done: Done) => void
}

const TITLES: Readonly<Record<ValveSet, string>> = { throttle: 'Throttle', flow: 'Let everything through', cut: 'Cut' }
const SAID: Readonly<Record<ValveSet, string>> = {
  throttle: 'This share of the calls passes, whatever the valve sees, until it is released.',
  flow: 'Every call passes, whatever the valve sees, until it is released.',
  cut: 'Nothing passes until somebody lifts it: a kill. The valve does not open by itself.',
}

export function SetValve({ valve, mode, onClose, onDone }: Props & { readonly mode: ValveSet }) {
  const { flag } = valve
  const [share, setShare] = useState(50)
  const [drafts, setDrafts] = useState<readonly ClauseDraft[]>([])
  const percent = mode === 'throttle' ? share : mode === 'flow' ? 100 : 0
  const { calls } = minuteOf(valve)
  const run = async (reason: string): Promise<Done> => {
    const clauses = drafts.map(clauseOf)
    const written = await call<Written>(inEnvironment(at`/valves/${flag}/throttle`), {
      method: 'POST',
      body: { percent, reason, ...(clauses.length === 0 ? {} : { clauses }) },
    })
    return doneOf(flag, percent, written)
  }
  return (
    <Act
      title={`${TITLES[mode]}: ${flag}`}
      verb={mode === 'throttle' ? `Throttle to ${share} %` : TITLES[mode]}
      isDangerous={mode === 'cut'}
      reason="asked"
      run={run}
      onClose={onClose}
      onDone={onDone}
    >
      <p>
        {SAID[mode]} Now: {settingText(valve.setting)}; {numberText(calls)} calls in the last minute.
      </p>
      {mode === 'throttle' && (
        <label>
          Let through, in percent
          <div class="buttons">
            <input
              type="number"
              name="percent"
              min="0"
              max="100"
              step="any"
              required
              aria-label="Let through, in percent"
              value={share}
              onInput={event => setShare(event.currentTarget.valueAsNumber)}
            />
            {[75, 50, 25, 10].map(each => (
              <button key={each} type="button" class="secondary small" aria-pressed={share === each} onClick={() => setShare(each)}>
                {each} %
              </button>
            ))}
          </div>
        </label>
      )}
      <fieldset>
        <legend>{drafts.length === 0 ? 'For everyone' : 'For contexts where'}</legend>
        <ClausesEditor drafts={drafts} onChange={setDrafts} attributes={[]} segments={[]} />
      </fieldset>
    </Act>
  )
}

function doneOf(flag: string, percent: number, { revision, change, throttle, kill, existing, stood, warnings }: Written): Done {
  const whom = affectedText(kill?.clauses ?? throttle?.clauses ?? [])
  if (existing || change === null) return { text: `${flag} stood so already.`, next: 'Nothing new was written.' }
  const undo =
    kill !== null
      ? { what: 'lift it', run: () => call(inEnvironment(at`/flags/${flag}/kills/${kill.id}`), { method: 'DELETE' }) }
      : stood !== null
        ? {
            what: `back to ${stood.percent} %`,
            run: () => call(inEnvironment(at`/changes/${String(revision)}/revert`), { method: 'POST', body: {} }),
          }
        : throttle !== null
          ? {
              what: 'let it move by itself again',
              run: () => call(inEnvironment(at`/valves/${flag}/throttle`), { method: 'DELETE', query: { id: throttle.id } }),
            }
          : undefined
  return {
    text: kill !== null ? `Cut ${flag} for ${whom}.` : `${flag} lets ${percent} % through for ${whom}.`,
    next:
      kill !== null
        ? 'It stays so until somebody lifts it.'
        : 'Connected applications follow as soon as they confirm; it stays so until it is released.',
    warnings,
    ...(undo === undefined ? {} : { undo }),
  }
}

/** By itself again, from where its instances stand. */
export function ReleaseValve({ valve, id, onClose, onDone }: Props & { readonly id: string }) {
  const { flag } = valve
  const throttle = valve.throttles.find(each => each.id === id)
  const run = async (reason: string): Promise<Done> => {
    const { revision } = await call<{ revision: number }>(inEnvironment(at`/valves/${flag}/throttle`), {
      method: 'DELETE',
      query: { id, ...(reason === '' ? {} : { comment: reason }) },
    })
    return {
      text: `Released ${flag}${throttle === undefined ? '' : ` for ${affectedText(throttle.clauses)}`}.`,
      next: 'It moves by itself again, from where its instances stand.',
      undo: {
        what: `${throttle === undefined ? 'as it was' : `${throttle.percent} %`} again`,
        run: () => call(inEnvironment(at`/changes/${String(revision)}/revert`), { method: 'POST', body: {} }),
      },
    }
  }
  return (
    <Act title={`Release ${flag}: auto`} verb="Let it move by itself" reason="may" run={run} onClose={onClose} onDone={onDone}>
      {throttle !== undefined && (
        <p>
          {throttle.percent} % for {affectedText(throttle.clauses)}
          {throttle.reason !== null && <> (“{throttle.reason}”)</>} goes.
        </p>
      )}
    </Act>
  )
}
