/** What a schema cannot say about a valve: settings that each are possible and together are not, and those that are possible and doubtful. */
import type { ErrorDetail } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { ValveValue } from '../../schemas/values.ts'
import { type Valve, valveOf } from '../../sdk/evaluator/valve.ts'

/** Shorter steps of the window hold too little to be worth their turning. */
const BUCKET_MIN_MS = 50
/** Nearer to 1, what the window remembers of a fault keeps a valve narrow for minutes. */
const K_SLOW = 1.2

/** @param subject how messages name the value. */
export function valveProblems(value: ValveValue, subject: string): ErrorDetail[] {
  const valve = valveOf(value)
  if (valve === null) return []
  const problems: ErrorDetail[] = []
  const add = (path: string, message: string): void => void problems.push({ path, code: 'value_kind', message: `${subject}: ${message}` })
  if (value.mode === 'throttle' && value.admit === undefined)
    add('admit', 'mode "throttle" needs the share to admit. Give admit, from 0 to 1.')
  const { windowMs, buckets, openMs, slowMs, timeoutMs, minCalls, probes, probeSuccess } = valve.breaker
  // A call is known when it ends: a window shorter than two of the longest forgets the first before the second is known.
  for (const [name, ms] of [
    ['timeoutMs', timeoutMs],
    ['slowMs', slowMs],
  ] as const) {
    if (ms === null || windowMs >= 2 * ms) continue
    const most = Math.floor(windowMs / 2)
    add(
      'breaker.windowMs',
      `windowMs is ${windowMs}, less than twice ${name} (${ms}), so calls would be forgotten before they end. Give a windowMs of at least ${2 * ms}, or a ${name} of at most ${most}.`,
    )
  }
  if (slowMs !== null && timeoutMs !== null && slowMs >= timeoutMs)
    add(
      'breaker.slowMs',
      `slowMs is ${slowMs}, not below timeoutMs (${timeoutMs}), so no call could be slow. Lower slowMs, or leave it out.`,
    )
  if (value.breaker?.slowRate !== undefined && slowMs === null)
    add('breaker.slowMs', 'slowRate is given but not slowMs, from which on a call is slow. Give slowMs.')
  if (windowMs / buckets < BUCKET_MIN_MS) {
    add(
      'breaker.buckets',
      `${buckets} buckets in ${windowMs} ms are shorter than ${BUCKET_MIN_MS} ms each. Give at most ${Math.floor(windowMs / BUCKET_MIN_MS)} buckets, or a longer window.`,
    )
  }
  if (value.breaker?.maxOpenMs !== undefined && openMs > value.breaker.maxOpenMs)
    add('breaker.maxOpenMs', `openMs is ${openMs}, more than maxOpenMs (${value.breaker.maxOpenMs}). Raise maxOpenMs or lower openMs.`)
  if (probes > Math.max(minCalls, 5))
    add(
      'breaker.probes',
      `probes is ${probes}, more than the ${minCalls} calls (minCalls) that decide a cut. Give at most ${Math.max(minCalls, 5)}.`,
    )
  if (value.breaker?.probeSuccess !== undefined && probeSuccess * probes < 1 && probes > 1)
    add(
      'breaker.probeSuccess',
      `probeSuccess ${probeSuccess} of ${probes} probes is less than one, so nothing would have to go well. Give at least ${1 / probes}.`,
    )
  return problems
}

/** What is served where a valve is off, or a prerequisite of it is not met, or somebody kills it, must let nothing through. */
export function offProblems({ kind, offVariation, variations }: Flag): ErrorDetail[] {
  if (kind !== 'safety-valve') return []
  const off = variations.find(({ key }) => key === offVariation)
  const mode = valveOf(off?.value)?.mode
  if (mode === undefined || mode === 'cut') return []
  const cuts = variations.filter(({ value }) => valveOf(value)?.mode === 'cut').map(({ key }) => `"${key}"`)
  const cure =
    cuts.length > 0 ? `Name ${cuts.join(' or ')}.` : 'Add a variation { "key": "cut", "value": { "mode": "cut" } } and name that.'
  const message = `offVariation "${offVariation}" has mode "${mode}". A valve that is off, killed, or lacks a prerequisite must let nothing through, so it has to be a cut. ${cure}`
  return [{ path: 'offVariation', code: 'value_kind', message }]
}

/** What a write should say beside its success. */
export function valveWarnings({ kind, variations }: Flag): ErrorDetail[] {
  if (kind !== 'safety-valve') return []
  return variations.flatMap(({ key, value }, i) => {
    const valve = valveOf(value)
    if (valve === null) return []
    return doubts(value as ValveValue, valve).map(([path, code, message]) => ({
      path: `variations[${i}].value.${path}`,
      code,
      message: `variation "${key}": ${message}`,
    }))
  })
}

function doubts(
  given: ValveValue,
  { mode, admit, breaker, adaptive, isShadow, isFleetTrip }: Valve,
): [path: string, code: string, message: string][] {
  const found: [string, string, string][] = []
  if ((mode === 'flow' || mode === 'cut') && given.admit !== undefined)
    found.push(['admit', 'ignored', `admit says nothing with mode "${mode}".`])
  if (mode === 'throttle' && admit === 0) found.push(['admit', 'cut', 'admit 0 lets nothing through: mode "cut" says so in a word.'])
  if (mode !== 'auto') {
    if (isFleetTrip) found.push(['fleetTrip', 'ignored', `fleetTrip says nothing with mode "${mode}": only auto moves by itself.`])
    return found
  }
  if (!breaker.isEnabled && !adaptive.isEnabled)
    found.push(['mode', 'never_moves', 'mode "auto" with neither breaker nor adaptive never moves: mode "flow" says so in a word.'])
  if (!breaker.isEnabled && isFleetTrip) found.push(['fleetTrip', 'ignored', 'fleetTrip says nothing while breaker.enabled is false.'])
  if (adaptive.isEnabled && adaptive.K < K_SLOW && adaptive.ramp === 0)
    found.push([
      'adaptive.ramp',
      'slow_recovery',
      `K ${adaptive.K} without ramp stays narrow for minutes after the dependency is well again. Give a ramp, such as 0.05.`,
    ])
  if (adaptive.isEnabled && adaptive.maxReject === 1)
    found.push([
      'adaptive.maxReject',
      'no_way_back',
      'maxReject 1 can turn every call away, and then nothing shows that the dependency is well again. Give 0.99 at most.',
    ])
  if (isShadow && isFleetTrip) found.push(['fleetTrip', 'shadow', 'with shadow a fleet trip is only counted.'])
  return found
}
