/** `sluice explain`: what a flag gives a context, and every step that led to it; now, or as of a revision or moment. */
import type { Command } from 'commander'
import type { Json } from '../../schemas/json.ts'
import { collect } from '../collect.ts'
import { parseYaml, readText } from '../documents.ts'
import { usage } from '../failure.ts'
import { momentText, placeAsked } from '../moment.ts'
import type { Output } from '../output.ts'
import { openSession } from '../session.ts'
import { valueText } from '../words.ts'
import { parseScalar } from '../where.ts'

interface ExplainOptions {
  readonly context?: string
  readonly with: readonly string[]
  readonly targetingKey?: string
  readonly at?: string
  readonly revision?: string
  readonly default?: string
}

/** As `POST …/explain` answers; the steps are the evaluator's. */
interface Explanation {
  readonly flag: string
  readonly value?: Json
  readonly variation: string | null
  readonly reason: string
  readonly flagVersion?: number | null
  readonly revision: number
  readonly at?: string | null
  readonly ruleId?: string
  readonly killId?: string
  readonly prerequisite?: string
  readonly error?: string
  readonly message?: string
  readonly unbucketed?: boolean
  readonly steps: readonly Step[]
}

interface Step {
  readonly step: string
  readonly matched: boolean
  readonly text: string
  readonly clauses?: readonly {
    readonly attribute?: string
    readonly op: string
    readonly values: readonly Json[]
    readonly negate?: boolean
    readonly value?: Json
    readonly matched: boolean
    readonly note?: string
  }[]
  readonly steps?: readonly Step[]
}

const HELP = `
Examples:
  $ sluice explain checkout -e production --with /account/id=a-17 --with /device/os=android
  $ sluice explain checkout -e production --targeting-key dana --context '{ "plan": "beta" }'
  $ sluice explain checkout -e production --context @context.json --at 2026-11-21T03:12:00Z
  $ sluice explain checkout -e production --targeting-key dana --revision 9870`

export function addExplain(program: Command): void {
  program
    .command('explain')
    .summary('what a flag gives a context, and why; now or at any moment')
    .description('Evaluate a flag for a context, with every step that led to the value.')
    .argument('<flag>')
    .option('--context <json>', 'the context as JSON or YAML; @file reads a file, - stdin')
    .option('--with <attribute=value>', 'an attribute of the context, by name or JSON Pointer; may be repeated', collect, [])
    .option('--targeting-key <text>', 'the targetingKey')
    .option('--at <when>', 'as of then: 30m (ago), or a moment as in 2026-11-21T03:12:00Z')
    .option('--revision <number>', 'as of this revision')
    .option('--default <json>', 'the default in the code')
    .addHelpText('after', HELP)
    .action(async (flag: string, options: ExplainOptions, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const body = {
        flag,
        context: await contextOf(options),
        ...placeAsked(options, Date.now()),
        ...(options.default === undefined ? {} : { default: jsonOrText(options.default) }),
      }
      const answer = await session.client().call<Explanation>(`${session.environmentPath}/explain`, { method: 'POST', body })
      output.data(answer)
      const when = answer.at === undefined || answer.at === null ? '' : ` (${momentText(answer.at)})`
      output.line(`${output.colors.bold(flag)} in ${session.place} at revision ${answer.revision}${when}`)
      output.line(
        `  value      ${output.colors.bold(valueText(answer.value))}${answer.variation === null ? '' : ` (variation ${answer.variation})`}`,
      )
      output.line(`  reason     ${reasonText(answer)}`)
      if (answer.unbucketed === true) output.line('  unbucketed the context has no value for the rollout to go by')
      if (answer.steps.length > 0) output.line('  steps')
      for (const line of answer.steps.flatMap(step => stepLines(step, output, 2))) output.line(line)
    })
}

function reasonText(answer: Explanation): string {
  const of = answer.killId ?? answer.ruleId ?? answer.prerequisite ?? answer.error
  return `${answer.reason}${of === undefined ? '' : ` ${of}`}${answer.message === undefined ? '' : `: ${answer.message}`}`
}

function stepLines(step: Step, output: Output, depth: number): string[] {
  const { colors } = output
  const indent = '  '.repeat(depth)
  const mark = step.matched ? colors.green('yes') : colors.dim('no ')
  const clauses = (step.clauses ?? []).map(clause => {
    const seen = clause.value === undefined ? 'missing' : valueText(clause.value)
    const values = clause.values.slice(0, 5).map(value => JSON.stringify(value))
    const note = clause.note === undefined ? '' : ` (${clause.note})`
    return `${indent}      ${clause.matched ? colors.green('yes') : colors.dim('no ')} ${clause.attribute ?? ''} ${clause.negate === true ? 'not ' : ''}${clause.op} ${values.join(', ')}${clause.values.length > 5 ? ', …' : ''}: ${seen}${note}`
  })
  return [
    `${indent}${mark} ${step.step}: ${step.text}`,
    ...clauses,
    ...(step.steps ?? []).flatMap(inner => stepLines(inner, output, depth + 2)),
  ]
}

async function contextOf(options: ExplainOptions): Promise<Record<string, Json>> {
  const text =
    options.context === undefined
      ? '{}'
      : options.context === '-'
        ? await readText('-')
        : options.context.startsWith('@')
          ? await readText(options.context.slice(1))
          : options.context
  const parsed = parseYaml(text, '--context')
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw usage('--context is not an object.', `Write it as in --context '{ "targetingKey": "dana", "plan": "beta" }'.`)
  const context = parsed as Record<string, Json>
  if (options.targetingKey !== undefined) context.targetingKey = options.targetingKey
  for (const pair of options.with) {
    const split = pair.indexOf('=')
    if (split < 1) throw usage(`--with ${pair} cannot be taken.`, 'Write it as in --with /account/id=a-17.')
    put(context, pair.slice(0, split), parseScalar(pair.slice(split + 1)))
  }
  return context
}

/** Sets a plain attribute, or one inside by JSON Pointer. */
function put(context: Record<string, Json>, attribute: string, value: Json): void {
  const steps = attribute.startsWith('/')
    ? attribute
        .slice(1)
        .split('/')
        .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    : [attribute]
  if (steps.some(step => step === '__proto__' || step === 'constructor' || step === 'prototype'))
    throw usage(`--with ${attribute} names what no attribute may be called.`)
  const last = steps.pop() ?? ''
  let place = context
  for (const step of steps) {
    const inner = Object.hasOwn(place, step) ? place[step] : undefined
    if (inner === undefined) {
      place = place[step] = {}
      continue
    }
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner))
      throw usage(`--with ${attribute}: ${step} is a value of its own already.`)
    place = inner as Record<string, Json>
  }
  place[last] = value
}

function jsonOrText(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}
