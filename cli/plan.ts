/** Rollout plans as people type and read them. Pure. */
import type { GuardInput, GuardRole, Plan, PlanEvidence, PlanGate, PlanStepInput } from '../schemas/plan.ts'
import { PLAN_GATES } from '../schemas/plan.ts'
import { usage } from './failure.ts'
import { durationMs, momentText } from './moment.ts'

/**
 * `1%:5m,5%:10m,25%:1h:approval,100%`: a share, how long it stands, and what else must be so before it is left (`approval`,
 * `evidence`, or a number of exposures as in `500x`). `shadow@5%` names the variation that grows from there on. Error: `USAGE`.
 */
export function parseSteps(text: string): PlanStepInput[] {
  return text.split(',').map(part => {
    const [share = '', ...more] = part.trim().split(':')
    const match = /^(?:([A-Za-z0-9][A-Za-z0-9._-]*)@)?(\d+(?:\.\d{1,3})?)%?$/.exec(share)
    if (match === null) throw notAStep(text, part)
    const step: { -readonly [K in keyof PlanStepInput]: PlanStepInput[K] } = { percent: Number(match[2]) }
    if (match[1] !== undefined) step.variation = match[1]
    for (const word of more) {
      const ms = durationMs(word)
      const exposures = /^(\d+)x$/.exec(word)
      if (ms !== null) step.holdMs = ms
      else if (exposures !== null) step.minExposures = Number(exposures[1])
      else if ((PLAN_GATES as readonly string[]).includes(word)) step.gate = word as PlanGate
      else throw notAStep(text, part)
    }
    return step
  })
}

function notAStep(text: string, part: string): Error {
  return usage(
    `--steps ${text} cannot be taken: ${JSON.stringify(part.trim())} is not a step.`,
    'Write steps as in --steps 1%:5m,5%:10m:500x,25%:1h:approval,100% (share, time, exposures, gate).',
  )
}

/** `running`, `held: no data…`, `turned back: …`. */
export function planStateText(plan: Plan): string {
  if (plan.state === 'held') return `held since ${momentText(plan.held?.at ?? '')}: ${plan.held?.text ?? ''}`
  if (plan.state === 'reverted' || plan.state === 'reverting')
    return `${plan.state} at ${momentText(plan.reverted?.at ?? '')}: ${plan.reverted?.text ?? ''}`
  if (plan.state === 'scheduled') return `scheduled for ${momentText(plan.startsAt ?? '')}`
  return plan.state
}

/** When a hard limit was looked at last, and why that gave nothing: ` (at 17:03:12Z)`. */
export function lookText({ limit, state }: Pick<PlanEvidence['guards'][number], 'limit' | 'state'>): string {
  if (limit === null || limit.at === null) return ''
  const when = ` (at ${momentText(limit.at).slice(11)})`
  return limit.problem === null || state === 'blind' ? when : `${when} The last look failed: ${limit.problem}`
}

const LIMIT = /^promql=(.+?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:e-?\d+)?)$/s

/**
 * `errorShare`, `valve=vendor`, `promql=max(queue) > 1000`.
 * @param prometheus what `--prometheus` says
 * Error: `USAGE`.
 */
export function parseGuard(text: string, role: GuardRole, prometheus: string | undefined): GuardInput {
  const limit = LIMIT.exec(text)
  if (limit !== null) {
    if (prometheus === undefined) throw usage(`${text} asks nobody.`, 'Say which with --prometheus http://prometheus.internal:9090.')
    const [, query = '', op, threshold] = limit
    return { type: 'promql', role, address: prometheus, query, op: op as '>' | '>=' | '<' | '<=', threshold: Number(threshold) }
  }
  const [type = '', value] = text.split('=')
  if (type === 'errorShare' || type === 'slowShare') return { type, role }
  if (type === 'mismatch') return { type, role, ...(value === undefined ? {} : { maxShare: parseNumber(value, '--guard mismatch') }) }
  if (type === 'valve' && value !== undefined) return { type, role, flag: value }
  if (type === 'alert') {
    if (value === undefined) return { type, role }
    if (value === 'critical' || value === 'error' || value === 'warning' || value === 'info') return { type, role, severity: value }
  }
  throw usage(
    `${text} is no guard.`,
    'There is errorShare, slowShare, mismatch, valve=<flag>, alert, alert=critical and promql=<query> > <number>.',
  )
}

/** Error: `USAGE`. */
export function parseNumber(text: string, option: string): number {
  const number = Number(text.replace('%', ''))
  if (text.trim() === '' || !Number.isFinite(number)) throw usage(`${option} ${text} is not a number.`)
  return number
}
