/** A rollout as a picture in a terminal: lines from what the server answers, for any width and height. Pure. */
import type { Plan, PlanEvidence } from '../schemas/plan.ts'
import { durationText, outlookText } from '../schemas/words.ts'
import { momentText } from './moment.ts'
import { type Colors, shown, table } from './output.ts'
import { lookText } from './plan.ts'
import { numberText } from './usage.ts'

/** What `GET …/rollouts/:flag/evidence` answers. */
export interface Watched extends PlanEvidence {
  readonly plan: Plan
}

export interface Frame {
  readonly width: number
  readonly height: number
  readonly colors: Colors
  /** As people know the environment. */
  readonly place: string
}

type Guard = Watched['guards'][number]

const WIDTH_LEAST = 20
const LABEL = 9
const PLOT_ROWS = 5
const PLOT_WIDTH_MAX = 100
const BARS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const

/** Every line is at most as wide as the frame; where there are more than its height, the plot goes first, and then the end. */
export function pictureOf(watched: Watched, { width: asked, height, colors, place }: Frame): string[] {
  const width = Math.max(WIDTH_LEAST, asked)
  const block = (label: string, text: string): string[] => labelled(label, text, width)
  const { plan, outlook, detectable } = watched
  const head = [
    ...titleLines(watched, place, width, colors),
    stepBar(plan, width, colors),
    ...(watched.step === null ? [] : [timeBar(watched, width)]),
    ...block('next', outlookText(outlook)),
  ]
  if (watched.step === null) return head.slice(0, height)
  const plot = plotOf(watched, width, colors)
  const found = detectable === null ? [] : block('smallest', detectable.text)
  const rest = [...found, ...watched.guards.flatMap(guard => guardLines(guard, width, colors))]
  const figures = armLines(watched, width)
  const whole = [...head, '', ...figures, '', ...plot, ...rest]
  const kept = whole.length <= height ? whole : [...head, ...figures, ...evidenceLines(watched, width), ...rest]
  return kept.slice(0, height).map(line => cut(line, width))
}

/** One line for where there is no terminal to draw in: what there is to know of a change. */
export function lineOf(watched: Watched, moment: string): string {
  const { plan } = watched
  const where =
    watched.step === null ? '' : `, step ${watched.step + 1} of ${watched.steps}, ${percentText(watched.percent)} of ${watched.variation}`
  const why = whyOf(plan)
  const next = isOver(plan) ? '' : `; next ${outlookText(watched.outlook)}`
  const guards = watched.guards.filter(({ state }) => state !== 'watching').map(({ state, text }) => `; ${state} ${text}`)
  return shown(`${momentText(moment)}  ${plan.key} ${plan.state}${where}${why === null ? '' : `: ${why}`}${next}${guards.join('')}`)
}

/** The same as long as there is nothing new to tell. */
export function newsOf({ plan, step, percent, outlook, guards }: Watched): string {
  const { state, run, held, reverted } = plan
  return JSON.stringify([run, state, step, percent, held?.text, reverted?.at, outlook.what, guards.map(guard => [guard.id, guard.state])])
}

/** It moves no more unless a person makes it. */
export function isOver({ state }: Plan): boolean {
  return state === 'completed' || state === 'cancelled' || state === 'reverted'
}

function titleLines({ plan, step, steps }: Watched, place: string, width: number, colors: Colors): string[] {
  const { state, key, owner } = plan
  const paint = state === 'held' ? colors.yellow : state === 'reverting' || state === 'reverted' ? colors.red : colors.green
  const where = step === null || isOver(plan) ? '' : `, step ${step + 1} of ${steps}`
  const title = `${colors.bold(shown(key))} in ${place}: ${paint(state)}${where}${owner === undefined ? '' : ` (${shown(owner)})`}`
  const why = whyOf(plan)
  return [...wrapped(title, width), ...(why === null ? [] : wrapped(shown(why), width).map(paint))]
}

/** Who did it, when and why. */
function whyOf({ state, held, reverted, startsAt, endedAt }: Plan): string | null {
  if (state === 'held' && held !== null) return `by ${held.by} at ${momentText(held.at)}: ${held.text}`
  if ((state === 'reverted' || state === 'reverting') && reverted !== null)
    return `by ${reverted.by} at ${momentText(reverted.at)}: ${reverted.text}`
  if (state === 'scheduled' && startsAt !== null) return `for ${momentText(startsAt)}`
  return (state === 'completed' || state === 'cancelled') && endedAt !== null ? `at ${momentText(endedAt)}` : null
}

/** `✓ 1 % ─ ▶ 5 % ─ 25 % ─ 100 %`; where it does not fit, what is far from where it stands is left out. */
function stepBar({ steps, step, state }: Plan, width: number, colors: Colors): string {
  const isDone = state === 'completed'
  const variations = new Set(steps.map(each => each.variation)).size > 1
  const words = steps.map(({ percent, variation }, i) => {
    const text = `${variations ? `${variation} ` : ''}${percentText(percent)}`
    if (isDone || (step !== null && i < step)) return { text: `✓ ${text}`, paint: colors.green }
    return i === step ? { text: `▶ ${text}`, paint: colors.bold } : { text, paint: colors.dim }
  })
  const at = Math.min(step ?? 0, words.length - 1)
  let [first, last] = [at, at]
  const wide = (from: number, to: number): number =>
    words.slice(from, to + 1).reduce((sum, { text }) => sum + text.length + 3, -3) + (from > 0 ? 4 : 0) + (to < words.length - 1 ? 4 : 0)
  for (let grew = true; grew;) {
    grew = false
    if (last < words.length - 1 && wide(first, last + 1) <= width) grew = ++last > 0
    if (first > 0 && wide(first - 1, last) <= width) grew = --first >= 0
  }
  const bar = words.slice(first, last + 1).map(({ text, paint }) => paint(text))
  return [...(first > 0 ? ['…'] : []), ...bar, ...(last < words.length - 1 ? ['…'] : [])].join(colors.dim(' ─ '))
}

/** How much of the step's time has passed. */
function timeBar({ inStepMs, holdMs }: Watched, width: number): string {
  if (holdMs === 0) return `for ${durationText(inStepMs)}`
  const text = ` ${durationText(Math.min(inStepMs, holdMs))} of ${durationText(holdMs)}`
  const room = Math.min(40, width - text.length)
  if (room < 5) return text.trim()
  const full = Math.min(room, Math.floor((inStepMs / holdMs) * room))
  return `${'█'.repeat(full)}${'░'.repeat(room - full)}${text}`
}

/** Both arms: what is set, what is seen of it, and how the last minutes ended. */
function armLines({ variation, control, percent, share, recent }: Watched, width: number): string[] {
  const row = (name: string, set: number, observed: number | null, { contexts, bad }: { contexts: number; bad: number }): string[] => [
    shown(name),
    percentText(set),
    observed === null ? '' : shareText(observed),
    numberText(contexts),
    numberText(bad),
    contexts === 0 ? '' : shareText(bad / contexts),
  ]
  const observed = share?.observed ?? null
  const rows = [
    ['', 'SET', 'SEEN', `IN ${durationText(recent.withinMs)}`, 'FAILED', 'SHARE'],
    row(variation, percent, observed, recent.rising),
    row(control, 100 - percent, observed === null ? null : 1 - observed, recent.control),
  ]
  // Where all of it is too wide, what is set says more than what is seen of it, and the share more than its numbers.
  const choices = [
    [0, 1, 2, 3, 4, 5],
    [0, 1, 3, 4, 5],
    [0, 1, 5],
  ].map(columns => table(rows.map(cells => columns.map(i => cells[i] ?? ''))))
  return choices.find(lines => lines.every(each => columnsOf(each) <= width)) ?? choices[2]!
}

/** The log of the e-value over time; its upper edge is the line at which the plan is turned back. */
function plotOf(watched: Watched, width: number, colors: Colors): string[] {
  const { series, line, logE } = watched
  if (!watched.guards.some(guard => guard.logE !== null) || series.length === 0) return evidenceLines(watched, width)
  const edge = eText(line)
  const margin = Math.max(edge.length, 1) + 2
  const columns = Math.min(width - margin, PLOT_WIDTH_MAX)
  if (columns < 10) return evidenceLines(watched, width)
  const values = resampled(series, columns)
  const lowest = Math.max(Math.min(0, ...values), -line)
  const paint = logE >= line ? colors.red : logE >= line / 2 ? colors.yellow : colors.green
  const eighths = values.map(value => {
    const share = (Math.min(Math.max(value, lowest), line) - lowest) / (line - lowest)
    return Math.max(1, Math.round(share * PLOT_ROWS * 8))
  })
  const zero = Math.min(PLOT_ROWS - 1, Math.floor((-lowest / (line - lowest)) * PLOT_ROWS))
  const rows = Array.from({ length: PLOT_ROWS }, (_, i) => {
    const row = PLOT_ROWS - 1 - i
    const label = row === zero ? '1' : ''
    const bars = eighths.map(eighth => BARS[Math.min(8, Math.max(0, eighth - row * 8))]).join('')
    return `${label.padStart(margin - 2)} │${paint(bars.trimEnd())}`
  })
  const [from, to] = [clockText(series[0]!.at), clockText(series[series.length - 1]!.at)]
  const wide = Math.max(values.length, from.length + to.length + 1)
  const times = wide > columns ? from : `${from}${to.padStart(wide - from.length)}`
  return [
    ...evidenceLines(watched, width),
    `${edge.padStart(margin - 2)} ${colors.red('┄'.repeat(Math.min(columns, wide) + 1))}`,
    ...rows,
    `${' '.repeat(margin)}${colors.dim(times)}`,
    '',
  ]
}

/** `harm` and `no harm` as e-values, each with the one at which something follows from it. */
function evidenceLines({ plan, step, guards, logE, line, logClear, clearLine }: Watched, width: number): string[] {
  if (!guards.some(guard => guard.logE !== null)) return []
  const isAsked = step !== null && plan.steps[step]?.gate === 'evidence'
  const clear = !isAsked || logClear === null || clearLine === null ? '' : `; of no harm ${eText(logClear)}, goes on at ${eText(clearLine)}`
  return wrapped(`evidence of harm ${eText(logE)}, turns back at ${eText(line)}${clear}`, width)
}

/** The highest value in each column of time; where nothing was seen, what stood before. */
function resampled(series: Watched['series'], columns: number): number[] {
  const times = series.map(({ at }) => Date.parse(at))
  const [from, to] = [times[0]!, times[times.length - 1]!]
  const count = Math.min(columns, series.length)
  const values = Array<number | undefined>(count).fill(undefined)
  for (const [i, { logE }] of series.entries()) {
    const column = to === from ? 0 : Math.min(count - 1, Math.floor(((times[i]! - from) / (to - from)) * count))
    values[column] = Math.max(values[column] ?? -Infinity, logE)
  }
  let last = 0
  return values.map(value => (last = value ?? last))
}

function guardLines(guard: Guard, width: number, colors: Colors): string[] {
  const { role, state, dryRun } = guard
  const label = dryRun ? 'dry run' : role === 'guardrail' ? 'guard' : 'signal'
  const lines = labelled(label, `${state === 'watching' ? '' : `${state}: `}${guard.text}${lookText(guard)}`, width)
  const paint = state === 'fired' ? colors.red : state === 'blind' ? colors.yellow : null
  return paint === null ? lines : lines.map(paint)
}

/** A label and what belongs to it, wrapped beside it; below it in a narrow terminal. */
function labelled(label: string, text: string, width: number): string[] {
  const indent = width < 40 ? 2 : LABEL
  const lines = wrapped(shown(text), width - indent)
  if (indent < LABEL) return [label, ...lines.map(line => `${' '.repeat(indent)}${line}`)]
  return lines.map((line, i) => `${(i === 0 ? label : '').padEnd(indent)}${line}`)
}

/** At spaces, else anywhere. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    let rest = word
    // A coloured word is not torn; what is too long of it is cut off in the end.
    while (columnsOf(rest) > width && !rest.includes('\u001b')) {
      if (line !== '') lines.push(line)
      line = ''
      const head = headOf(rest, width)
      lines.push(head)
      rest = rest.slice(head.length)
    }
    if (line !== '' && columnsOf(line) + 1 + columnsOf(rest) > width) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? rest : `${line} ${rest}`
  }
  return line === '' ? lines : [...lines, line]
}

const COLOUR = /\u001b\[\d+m/g
/** East Asian and pictographs take two columns. */
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}]/u
const NO_WIDTH = /\p{Mark}|\u200d/u

function columnsOf(text: string): number {
  let columns = 0
  for (const character of text.replace(COLOUR, '')) columns += NO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1
  return columns
}

/** At most so many columns; `…` stands for the rest. */
function cut(text: string, width: number): string {
  if (columnsOf(text) <= width) return text
  return `${headOf(text, width - 1)}…${text.includes('\u001b') ? '\u001b[0m' : ''}`
}

/** What fits into so many columns, with the colours in it; one character at least. */
function headOf(text: string, width: number): string {
  let kept = ''
  let columns = 0
  for (const [piece] of text.matchAll(/\u001b\[\d+m|./gsu)) {
    columns += piece.startsWith('\u001b') ? 0 : columnsOf(piece)
    if (columns > width && kept !== '') return kept
    kept += piece
  }
  return kept
}

/** `0.42`, `100`, `3e+12`, from its logarithm. */
function eText(log: number): string {
  return String(Number(Math.exp(Math.min(log, 700)).toPrecision(2)))
}

function percentText(percent: number): string {
  return `${Number(percent.toFixed(3))} %`
}

function shareText(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`
}

/** `17:03:12`, UTC. */
function clockText(moment: string): string {
  return momentText(moment).slice(11, 19)
}
