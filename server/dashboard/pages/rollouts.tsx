/** Rollout plans: where each is, what happens next, and one plan with its evidence. */
import { useState } from 'preact/hooks'
import type { Outlook, Plan, PlanState } from '../../../schemas/plan.ts'
import { inEnvironment } from '../api.ts'
import { type Done, Outcome } from '../parts/act.tsx'
import { Empty } from '../parts/empty.tsx'
import { Table } from '../parts/figure.tsx'
import { OnePlan } from '../parts/oneplan.tsx'
import { NextWords, PlanStateMark, StepBar, WhyWords } from '../parts/planstate.tsx'
import { Problem } from '../parts/problem.tsx'
import { StartPlan } from '../parts/startplan.tsx'
import { useResource } from '../resource.ts'
import { linkTo, route } from '../route.ts'
import { may } from '../session.ts'

/** Times run on, so it is looked again. */
const LOOK_MS = 3_000

export interface PlanStanding {
  readonly plan: Plan
  readonly outlook: Outlook
}

export function Rollouts() {
  const [flag] = route.value.rest
  return flag === undefined ? <AllPlans /> : <OnePlan key={flag} flag={flag} />
}

/** Those that want somebody first. */
const ORDER: readonly PlanState[] = ['held', 'reverting', 'reverted', 'running', 'scheduled', 'pending', 'completed', 'cancelled']

function AllPlans() {
  const { data, failure, refresh } = useResource<{ rollouts: readonly PlanStanding[] }>(inEnvironment('/rollouts'), { everyMs: LOOK_MS })
  const [isStarting, setStarting] = useState(false)
  const [done, setDone] = useState<Done | null>(null)
  const plans = data?.rollouts ?? []
  const finish = (what: Done): void => {
    setDone(what)
    refresh()
  }
  return (
    <>
      <div class="pagehead">
        <h1>Rollouts</h1>
        {may('editor') && (
          <span class="buttons">
            <button type="button" onClick={() => setStarting(true)}>
              Start a rollout
            </button>
          </span>
        )}
      </div>
      <Outcome done={done} onClose={() => setDone(null)} onDone={finish} />
      <Problem failure={failure} onRetry={refresh} />
      {data !== null && plans.length === 0 && (
        <Empty
          title="No rollout yet. One grows a variation's share step by step, and turns back by itself:"
          command="sluice rollout start <flag> --preset fast -m why"
        />
      )}
      {plans.length > 0 && (
        <Table
          name="Rollouts"
          heads={['Flag', 'State', 'Steps', 'Next', 'Owner']}
          rows={plans
            .toSorted((a, b) => ORDER.indexOf(a.plan.state) - ORDER.indexOf(b.plan.state))
            .map(({ plan, outlook }) => ({
              key: plan.key,
              cells: [
                <a href={linkTo('rollouts', [plan.key])}>{plan.key}</a>,
                <span>
                  <PlanStateMark state={plan.state} />{' '}
                  <small>
                    <WhyWords plan={plan} />
                  </small>
                </span>,
                <StepBar plan={plan} />,
                <NextWords outlook={outlook} />,
                plan.owner ?? '–',
              ],
            }))}
        />
      )}
      {isStarting && <StartPlan onClose={() => setStarting(false)} onDone={finish} />}
    </>
  )
}
