/** One rollout plan: where it is and what must be so to go on, what its guards have seen, and the handles. */
import { useState } from 'preact/hooks'
import type { Plan, PlanEvidence, PlanState } from '../../../schemas/plan.ts'
import { durationText, outlookText, placeText, serveText, stepText } from '../../../schemas/words.ts'
import { at, call, inEnvironment } from '../api.ts'
import type { PlanStanding } from '../pages/rollouts.tsx'
import { useResource } from '../resource.ts'
import { linkTo } from '../route.ts'
import { may } from '../session.ts'
import type { Role } from '../../../schemas/accesskey.ts'
import { Act, type Done, Outcome } from './act.tsx'
import { Evidence } from './evidence.tsx'
import { History } from './history.tsx'
import { PlanStateMark, StepBar, WhyWords } from './planstate.tsx'
import { Problem } from './problem.tsx'
import { StartPlan } from './startplan.tsx'

const LOOK_MS = 2_000

const OPERATIONS = ['hold', 'resume', 'advance', 'approve', 'revert', 'cancel', 'clear'] as const
type Operation = (typeof OPERATIONS)[number]

interface Handle {
  readonly verb: string
  readonly least: Role
  readonly states: readonly PlanState[]
  readonly what: string
  readonly done: string
  readonly undo?: Operation
  readonly isDangerous?: boolean
}

const HANDLES: Readonly<Record<Operation, Handle>> = {
  hold: {
    ...{ verb: 'Hold', least: 'operator', states: ['running', 'scheduled'], undo: 'resume', done: 'Held' },
    what: 'It stops where it is: what is served stays, and its guards go on watching.',
  },
  resume: {
    ...{ verb: 'Resume', least: 'editor', states: ['held', 'pending', 'scheduled'], undo: 'hold', done: 'Resumed' },
    what: 'It goes on from where it is. Guards that held it count from now.',
  },
  advance: {
    ...{ verb: 'Advance', least: 'editor', states: ['running'], undo: 'revert', done: 'Advanced' },
    what: 'It takes its next step now, without waiting for what it waits for.',
  },
  approve: {
    ...{ verb: 'Approve', least: 'editor', states: ['running', 'held'], undo: 'hold', done: 'Approved' },
    what: 'It may leave this step, now or when its time has come.',
  },
  revert: {
    ...{ verb: 'Turn back', least: 'operator', states: ['running', 'held'], done: 'Turned back', isDangerous: true },
    what: 'What stood before the plan is put back, and the plan is locked until a person clears it.',
  },
  cancel: {
    ...{ verb: 'Cancel the plan', least: 'operator', states: ['pending', 'scheduled', 'running', 'held'], done: 'Cancelled' },
    what: 'The plan ends, and what is served now stays.',
  },
  clear: {
    ...{ verb: 'Clear', least: 'editor', states: ['reverted', 'reverting'], done: 'Cleared' },
    what: 'The lock goes: it may be started again or replaced.',
  },
}

function isOffered(operation: Operation, { state, step, steps, approvals, before }: Plan): boolean {
  const { states, least } = HANDLES[operation]
  if (!states.includes(state) || !may(least)) return false
  if (operation === 'approve') return steps[step ?? 0]?.gate === 'approval' && !approvals.some(each => each.step === (step ?? 0))
  return operation !== 'revert' || before !== null
}

export function OnePlan({ flag }: { readonly flag: string }) {
  const path = inEnvironment(at`/rollouts/${flag}`)
  const standing = useResource<PlanStanding>(path, { everyMs: LOOK_MS })
  const evidence = useResource<PlanEvidence>(standing.data === null ? null : `${path}/evidence`, { everyMs: LOOK_MS })
  const [asked, setAsked] = useState<Operation | 'start' | null>(null)
  const [done, setDone] = useState<Done | null>(null)
  const finish = (what: Done): void => {
    setDone(what)
    standing.refresh()
    evidence.refresh()
  }
  const plan = standing.data?.plan
  const isOver = plan?.state === 'completed' || plan?.state === 'cancelled'
  return (
    <>
      <p class="crumb">
        <a href={linkTo('rollouts')}>Rollouts</a> ›
      </p>
      <div class="pagehead">
        <h1>{flag}</h1>
        {plan !== undefined && <PlanStateMark state={plan.state} />}
        <a href={linkTo('flags', [flag])}>its flag</a>
        <span class="buttons">
          {plan !== undefined &&
            OPERATIONS.filter(operation => isOffered(operation, plan)).map(operation => (
              <button
                key={operation}
                type="button"
                class={HANDLES[operation].isDangerous === true ? 'danger' : 'secondary'}
                onClick={() => setAsked(operation)}
              >
                {operation === 'resume' && plan.state !== 'held' ? 'Start now' : HANDLES[operation].verb}
              </button>
            ))}
          {(isOver || standing.failure?.code === 'PLAN_NOT_FOUND') && may('editor') && (
            <button type="button" onClick={() => setAsked('start')}>
              Start a rollout
            </button>
          )}
        </span>
      </div>
      <Outcome done={done} onClose={() => setDone(null)} onDone={finish} />
      <Problem failure={standing.failure} onRetry={standing.refresh} />
      {standing.data !== null && <Where {...standing.data} />}
      <Problem failure={standing.failure === null ? evidence.failure : null} onRetry={evidence.refresh} />
      {evidence.data !== null && evidence.data.step !== null && <Evidence evidence={evidence.data} />}
      {plan !== undefined && <Steps plan={plan} />}
      <History flag={flag} title="What happened" isShown={action => action.startsWith('rollout.') || /^flag\.(kill|lift)$/.test(action)} />
      {asked === 'start' && <StartPlan flag={flag} onClose={() => setAsked(null)} onDone={finish} />}
      {asked !== null && asked !== 'start' && standing.data !== null && (
        <Operate operation={asked} standing={standing.data} path={path} onClose={() => setAsked(null)} onDone={finish} />
      )}
    </>
  )
}

function Where({ plan, outlook }: PlanStanding) {
  const isStuck = plan.state === 'held' || plan.state === 'reverted' || plan.state === 'reverting'
  return (
    <>
      {isStuck && (
        <div class={`notice ${plan.state === 'held' ? 'warn' : 'bad'}`} role="status">
          <p>
            <PlanStateMark state={plan.state} />: <WhyWords plan={plan} />
          </p>
        </div>
      )}
      <StepBar plan={plan} />
      <p class="said">
        <strong>{placeText(plan)}</strong>
        {plan.rule !== null && <> in the rule {plan.rule}</>}. Next: {outlookText(outlook)}.{' '}
        {plan.owner !== undefined && <>Owner: {plan.owner}. </>}
        {plan.description}
      </p>
    </>
  )
}

function Steps({ plan }: { readonly plan: Plan }) {
  return (
    <section>
      <h2>The plan</h2>
      <ul class="entries">
        {plan.steps.map((step, i) => {
          const approval = plan.approvals.find(each => each.step === i)
          return (
            <li key={i}>
              {i === plan.step ? '▶ ' : plan.step !== null && i < plan.step ? '✓ ' : ''}
              {stepText(step)}
              {approval !== undefined && <span class="hint">, approved by {approval.by}</span>}
            </li>
          )
        })}
      </ul>
      <p class="hint">
        By {plan.by ?? 'targetingKey'}; of a hundred harmless rollouts at most {Number((plan.alpha * 100).toFixed(4))} is turned back by
        mistake; {plan.holdback} % stay with the control while 100 % is watched.
        {plan.before !== null && (
          <> Turning back {plan.before.enabled ? `serves ${serveText(plan.before.serve)}` : 'switches the flag off again'}.</>
        )}
      </p>
    </section>
  )
}

function Operate({
  operation,
  standing: { plan },
  path,
  onClose,
  onDone,
}: {
  readonly operation: Operation
  readonly standing: PlanStanding
  readonly path: string
  readonly onClose: () => void
  readonly onDone: (done: Done) => void
}) {
  const { verb, what, done, undo, isDangerous = false } = HANDLES[operation]
  const [isForced, setForced] = useState(false)
  const post = (name: Operation, comment: string): Promise<PlanStanding> =>
    call<PlanStanding>(`${path}/${name}`, {
      method: 'POST',
      body: comment === '' ? {} : { comment },
      query: name === 'revert' && isForced ? { force: true } : {},
    })
  const run = async (reason: string): Promise<Done> => {
    const written = await post(operation, reason)
    return {
      text: `${done} the rollout of ${plan.key}.`,
      next: `Next: ${outlookText(written.outlook)}.`,
      ...(undo === undefined || !may(HANDLES[undo].least)
        ? {}
        : { undo: { what: HANDLES[undo].verb.toLowerCase(), run: () => post(undo, `undo of ${operation}`) } }),
    }
  }
  return (
    <Act
      title={`${verb}: ${plan.key}`}
      verb={verb}
      isDangerous={isDangerous}
      reason={operation === 'approve' || operation === 'clear' ? 'may' : 'asked'}
      run={run}
      onClose={onClose}
      onDone={onDone}
    >
      <p>
        {what}{' '}
        {plan.step !== null && (
          <>
            Now: {placeText(plan)}, for {durationText(Date.now() - Date.parse(plan.since ?? ''))}.
          </>
        )}
      </p>
      {operation === 'revert' && (
        <label>
          <input type="checkbox" checked={isForced} onChange={event => setForced(event.currentTarget.checked)} /> Although somebody has
          changed what it governs since
        </label>
      )}
    </Act>
  )
}
