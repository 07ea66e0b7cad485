/** Starting a rollout from steps that are well tried; the server says beforehand what it would do. */
import { useEffect, useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import type { PlanInput, PlanPreset } from '../../../schemas/plan.ts'
import { outlookText } from '../../../schemas/words.ts'
import { at, call, Failure, inEnvironment } from '../api.ts'
import type { PlanStanding } from '../pages/rollouts.tsx'
import { useResource } from '../resource.ts'
import { Act, type Done, failureOf } from './act.tsx'
import { StepBar } from './planstate.tsx'
import { Problem } from './problem.tsx'

const PRESET_WORDS: Readonly<Record<PlanPreset, string>> = {
  fast: 'fast: half an hour to everyone, for what is easily undone',
  standard: 'standard: a working day to everyone, and a night of watching',
  migration: 'migration: days, with an approval before the last step',
}

/** Kinds whose values are no variations to move people between. */
const NOT_ROLLED: readonly Flag['kind'][] = ['rate-limit', 'safety-valve']

interface Props {
  readonly flag?: string
  readonly onClose: () => void
  readonly onDone: (done: Done) => void
}

export function StartPlan({ flag, onClose, onDone }: Props) {
  const { data, failure } = useResource<{ flags: readonly Flag[] }>(inEnvironment('/flags'))
  const flags = (data?.flags ?? []).filter(({ kind }) => !NOT_ROLLED.includes(kind))
  const [key, setKey] = useState(flag ?? '')
  const [preset, setPreset] = useState<PlanPreset>('fast')
  const [variation, setVariation] = useState('')
  const [by, setBy] = useState('')
  const [owner, setOwner] = useState('')
  const [isLater, setLater] = useState(false)
  const chosen = flags.find(each => each.key === key)
  const input: PlanInput = {
    preset,
    ...(variation === '' ? {} : { variation }),
    ...(by.trim() === '' ? {} : { by: by.trim() }),
    ...(owner.trim() === '' ? {} : { owner: owner.trim() }),
    ...(isLater ? { startsAt: null } : {}),
  }
  const post = (comment: string, dryRun: boolean): Promise<PlanStanding> =>
    call<PlanStanding>(inEnvironment(at`/rollouts/${key}`), {
      method: 'POST',
      body: { ...input, ...(comment === '' ? {} : { comment }) },
      query: { dryRun },
    })
  const run = async (comment: string): Promise<Done> => {
    const { plan, outlook } = await post(comment, false)
    const undo = plan.state === 'running' ? 'revert' : 'cancel'
    return {
      text: plan.state === 'running' ? `Started the rollout of ${key}.` : `Planned the rollout of ${key}.`,
      next: `Next: ${outlookText(outlook)}.`,
      undo: {
        what: undo === 'revert' ? 'turn back' : 'cancel',
        run: () => call(inEnvironment(at`/rollouts/${key}/${undo}`), { method: 'POST', body: {} }),
      },
    }
  }
  const preview = usePreview(key === '' ? null : JSON.stringify([key, input]), () => post('', true))
  return (
    <Act title="Start a rollout" verb={isLater ? 'Plan it' : 'Start'} reason="asked" run={run} onClose={onClose} onDone={onDone} isWide>
      <Problem failure={failure} />
      <fieldset class="pair">
        <label>
          Flag
          <select name="flag" required value={key} onChange={event => setKey(event.currentTarget.value)} disabled={flag !== undefined}>
            <option value="">choose one</option>
            {flags.map(each => (
              <option key={each.key} value={each.key}>
                {each.key}
              </option>
            ))}
          </select>
        </label>
        <label>
          Steps
          <select name="preset" value={preset} onChange={event => setPreset(event.currentTarget.value as PlanPreset)}>
            {Object.entries(PRESET_WORDS).map(([name, words]) => (
              <option key={name} value={name}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <label>
          The variation that grows
          <select name="variation" value={variation} onChange={event => setVariation(event.currentTarget.value)}>
            <option value="">as usual: on</option>
            {(chosen?.variations ?? []).map(each => (
              <option key={each.key} value={each.key}>
                {each.key}
              </option>
            ))}
          </select>
        </label>
        <label>
          Shares go by
          <input name="by" placeholder="targetingKey, or /account/id" value={by} onInput={event => setBy(event.currentTarget.value)} />
        </label>
        <label>
          Owner
          <input name="owner" value={owner} onInput={event => setOwner(event.currentTarget.value)} />
        </label>
        <label>
          Begin
          <select name="begin" value={isLater ? 'later' : 'now'} onChange={event => setLater(event.currentTarget.value === 'later')}>
            <option value="now">now</option>
            <option value="later">when somebody says so</option>
          </select>
        </label>
      </fieldset>
      <Problem failure={preview.failure} />
      {preview.plan !== null && (
        <>
          <StepBar plan={preview.plan.plan} />
          <p class="hint">Then: {outlookText(preview.plan.outlook)}.</p>
        </>
      )}
    </Act>
  )
}

/** What the server says to a trial run, asked once what was typed has rested. */
function usePreview(asked: string | null, ask: () => Promise<PlanStanding>) {
  const [answer, setAnswer] = useState<{ plan: PlanStanding | null; failure: Failure | null }>({ plan: null, failure: null })
  useEffect(() => {
    setAnswer({ plan: null, failure: null })
    if (asked === null) return
    let isOver = false
    const timer = setTimeout(() => {
      ask().then(
        plan => !isOver && setAnswer({ plan, failure: null }),
        (error: unknown) => !isOver && setAnswer({ plan: null, failure: failureOf(error) }),
      )
    }, 250)
    return () => {
      isOver = true
      clearTimeout(timer)
    }
  }, [asked])
  return answer
}
