/** How a flag is used, and what applications got wrong, in words. Pure. */
import type { EvaluationSeries, Problem, Usage } from '../schemas/usage.ts'
import { durationText } from '../schemas/words.ts'
import { momentText } from './moment.ts'

/** Services named before the others are only counted. */
const SERVICES_SHOWN = 3
const BARS = '▁▂▃▄▅▆▇█'

/** `12,031 in the last hour, 280,113 in the last day (on 75 %, off 25 %)`. */
export function evaluatedText(usage: Usage): string {
  if (usage.lastSeen === null) return 'never'
  const { lastHour, lastDay, variations, errors, unbucketed } = usage
  if (lastDay === null) return `${numberText(lastHour)} in the last hour; the history cannot be read now`
  const shares = Object.entries(variations)
    .sort(([, a], [, b]) => b - a)
    .map(([variation, count]) => `${variation} ${shareText(count, lastDay)}`)
  const failed = Object.values(errors).reduce((sum, count) => sum + count, 0)
  const more = [
    shares.join(', '),
    failed === 0 ? '' : `${numberText(failed)} got the default in the code`,
    unbucketed === 0 ? '' : `${numberText(unbucketed)} had nothing to bucket by`,
  ].filter(text => text !== '')
  return `${numberText(lastHour)} in the last hour, ${numberText(lastDay)} in the last day${more.length === 0 ? '' : ` (${more.join('; ')})`}`
}

/** `first 2026-11-21 03:12:05Z, last 12.0 s ago; by checkout, billing (3 h ago)`. */
export function seenText({ firstSeen, lastSeen, services }: Usage, now: number): string {
  if (firstSeen === null || lastSeen === null) return ''
  const shown = services.slice(0, SERVICES_SHOWN).map((each, i) => {
    const name = serviceText(each.service)
    return i === 0 ? name : `${name} (${agoText(each.lastSeen, now)})`
  })
  const others = services.length - shown.length
  const by = shown.length === 0 ? '' : `; by ${shown.join(', ')}${others === 0 ? '' : ` and ${others} more`}`
  return `first ${momentText(firstSeen)}, last ${agoText(lastSeen, now)}${by}`
}

/** One bar per step, the highest for the most; empty when there is nothing to draw. */
export function barsText(series: readonly EvaluationSeries[]): string {
  const steps = series[0]?.counts.length ?? 0
  const sums = Array.from({ length: steps }, (_, i) => series.reduce((sum, { counts }) => sum + (counts[i] ?? 0), 0))
  const most = Math.max(0, ...sums)
  if (most === 0) return ''
  return sums.map(sum => (sum === 0 ? '·' : BARS.charAt(Math.min(BARS.length - 1, Math.floor((sum / most) * BARS.length))))).join('')
}

/** `asked for as string 31 times by billing, last 5 min ago`. */
export function problemText(problem: Problem, now: number): string {
  const { code, detail, sdk } = problem
  const service = serviceText(problem.service)
  const often = `${numberText(problem.count)} ${problem.count === 1 ? 'time' : 'times'}`
  const last = `last ${agoText(problem.lastSeen, now)}`
  switch (code) {
    case 'TYPE_MISMATCH':
      return `asked for as ${detail === '' ? 'another type' : detail} ${often} by ${service}, ${last}: that gives the default in the code`
    case 'FLAG_NOT_FOUND':
      return `not known to ${service} ${often}, ${last}`
    case 'UNKNOWN_OPERATOR':
      return `the operator ${detail} is unknown to ${service} (${sdk}), ${last}: its clauses never match there`
    default:
      return `${code} ${often} at ${service}, ${last}`
  }
}

export function serviceText(service: string): string {
  return service === '' ? 'a service without a name' : service
}

/** `5 min ago`. */
export function agoText(moment: string, now: number): string {
  return `${durationText(Math.max(0, now - Date.parse(moment)))} ago`
}

/** `12,031`. */
export function numberText(number: number): string {
  return number.toLocaleString('en')
}

/** A share that is not nothing is never shown as nothing, nor one that is not all as all. */
function shareText(count: number, total: number): string {
  const percent = Math.round((count / total) * 100)
  if (percent === 0 && count > 0) return '< 1 %'
  return percent === 100 && count < total ? '> 99 %' : `${percent} %`
}
