/** Where a plan is, in a mark, words and a bar of its steps. */
import type { Outlook, Plan, PlanState } from '../../../schemas/plan.ts'
import { durationText, outlookText } from '../../../schemas/words.ts'
import { Moment } from './moment.tsx'
import { State, type Tone } from './state.tsx'
import './live.css'

export const PLAN_TONES: Readonly<Record<PlanState, Tone>> = {
  pending: 'quiet',
  scheduled: 'quiet',
  running: 'busy',
  held: 'warn',
  reverting: 'bad',
  reverted: 'bad',
  completed: 'good',
  cancelled: 'quiet',
}
const STATE_WORDS: Readonly<Partial<Record<PlanState, string>>> = { reverting: 'turning back', reverted: 'turned back' }

export function PlanStateMark({ state }: { readonly state: PlanState }) {
  return <State tone={PLAN_TONES[state]}>{STATE_WORDS[state] ?? state}</State>
}

/** Why it does not go on. */
export function WhyWords({ plan }: { readonly plan: Plan }) {
  if (plan.state === 'held' && plan.held !== null)
    return (
      <span>
        {plan.held.text}, by {plan.held.by}, <Moment at={plan.held.at} />
      </span>
    )
  if ((plan.state === 'reverting' || plan.state === 'reverted') && plan.reverted !== null)
    return (
      <span>
        {plan.reverted.text}, by {plan.reverted.by}, <Moment at={plan.reverted.at} />
      </span>
    )
  if (plan.state === 'scheduled' && plan.startsAt !== null) return <Moment at={plan.startsAt} />
  return plan.endedAt === null ? null : <Moment at={plan.endedAt} />
}

export function NextWords({ outlook }: { readonly outlook: Outlook }) {
  return <span>{outlookText(outlook)}</span>
}

/** One box a step: passed, here, to come; the words say it as well as the colours. */
export function StepBar({ plan }: { readonly plan: Plan }) {
  const isOver = plan.state === 'completed'
  return (
    <ol class="steps" aria-label="Steps">
      {plan.steps.map(({ percent, variation, holdMs }, i) => {
        const place = isOver || (plan.step !== null && i < plan.step) ? 'past' : i === plan.step ? 'here' : 'ahead'
        const tone = place === 'here' ? PLAN_TONES[plan.state] : ''
        const said = { past: 'passed', here: 'here', ahead: 'to come' }[place]
        const isOther = i > 0 && plan.steps[i - 1]?.variation !== variation
        return (
          <li
            key={i}
            class={`${place} ${tone}`}
            aria-current={place === 'here' ? 'step' : undefined}
            title={`${variation} ${percent} %${holdMs > 0 ? ` for ${durationText(holdMs)}` : ''}: ${said}`}
          >
            <span aria-hidden="true">{{ past: '✓ ', here: '▶ ', ahead: '' }[place]}</span>
            {isOther ? `${variation} ` : ''}
            {percent} %<span class="sr">, {said}</span>
          </li>
        )
      })}
    </ol>
  )
}
