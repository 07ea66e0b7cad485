/** `sluice rollout`: a share that grows step by step, holds, and turns back by itself. */
import type { Command } from 'commander'
import type { Outlook, Plan, PlanEvidence, PlanInput, PlanPreset } from '../../schemas/plan.ts'
import { PLAN_PRESETS } from '../../schemas/plan.ts'
import { outlookText, placeText, serveText, stepText } from '../../schemas/words.ts'
import type { FlagWritten } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { usage } from '../failure.ts'
import { momentAhead, parseDuration } from '../moment.ts'
import { table } from '../output.ts'
import { lookText, parseGuard, parseNumber, parseSteps, planStateText } from '../plan.ts'
import { addRolloutWatch } from './rollout-watch.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'

interface PlanWritten extends FlagWritten {
  readonly plan: Plan
  readonly outlook: Outlook
}

interface Standing {
  readonly plan: Plan
  readonly outlook: Outlook
}

interface StartOptions extends WaitOptions {
  readonly preset?: string
  readonly steps?: string
  readonly rule?: string
  readonly variation?: string
  readonly control?: string
  readonly by?: string
  readonly guard: readonly string[]
  readonly signal: readonly string[]
  readonly guards: boolean
  readonly prometheus?: string
  readonly alpha?: string
  readonly bake?: string
  readonly holdback?: string
  readonly at?: string
  readonly later?: boolean
  readonly owner?: string
}

const HELP = `
Steps are a share, how long it stands, and what else must be so before it is left:
  1%:5m            for 5 minutes                    25%:1h:approval  and then until a person approves
  5%:10m:500x      and at least 500 exposures       50%:1h:evidence  until outcomes rule out harm
  shadow@5%:1h     of another variation from here on: the stages of a migration
Guards are errorShare, slowShare, mismatch, valve=<flag>, alert (alert=critical: at least so severe),
or what a Prometheus says: --prometheus http://prometheus.internal:9090 --guard 'promql=max(ledger_queue) > 1000'.

Examples:
  $ sluice rollout start new-ledger -e production --preset fast -m "ledger 2"
  $ sluice rollout start new-ledger -e production --steps 1%:5m,5%:10m,25%:1h:approval,100% --guard errorShare --bake 30m
  $ sluice rollout start new-ledger -e production --preset standard --by /account/id --at 2026-12-01T08:00:00Z
  $ sluice rollout show new-ledger -e production
  $ sluice rollout watch new-ledger -e production
  $ sluice rollout hold new-ledger -e production -m "looking at the latency"
  $ sluice rollout revert new-ledger -e production -m "double entries"
  $ sluice rollout clear new-ledger -e production -m "fixed in 4.2.1"`

/** What is said of each, and the command that undoes it where there is one. */
const OPERATIONS = {
  hold: { summary: 'stop where it is; guards go on watching', done: 'HELD', undo: 'resume' },
  resume: { summary: 'start one that waits, or let one that is held go on', done: 'RESUMED', undo: 'hold' },
  advance: { summary: 'take the next step now, without waiting', done: 'ADVANCED', undo: 'revert' },
  approve: { summary: 'let a step be left that waits for an approval', done: 'APPROVED', undo: 'hold' },
  revert: { summary: 'put back what stood before, and lock it', done: 'TURNED BACK', undo: null },
  cancel: { summary: 'end the plan and keep what is served', done: 'CANCELLED', undo: null },
  clear: { summary: 'after it was turned back: take the lock away', done: 'CLEARED', undo: null },
} as const

export function addRollout(program: Command): void {
  const rollout = program
    .command('rollout')
    .summary('let a share grow step by step, and turn back by itself')
    .description('Rollout plans: steps of one share, what must be so before each is left, and what turns it back.')
    .addHelpText('after', HELP)

  const start = rollout
    .command('start')
    .summary('make a plan and take its first step')
    .description('Make a plan and take its first step now, at --at, or --later when somebody resumes it.')
    .argument('<flag>', 'the flag')
    .option('--preset <name>', `steps that are well tried: ${PLAN_PRESETS.join(', ')}`)
    .option('--steps <steps>', 'the steps, as in 1%:5m,5%:10m,25%:1h:approval,100%')
    .option('--rule <id>', 'the rule whose outcome it governs (default: the fallthrough)')
    .option('--variation <key>', 'the variation that grows (default: on)')
    .option('--control <key>', 'what it grows over (default: what is served now)')
    .option('--by <attribute>', 'what the share goes by, as in /account/id (default: as it stands, else targetingKey)')
    .option('--guard <guard>', 'turns it back; may be repeated', collect, [])
    .option('--signal <guard>', 'holds it; may be repeated', collect, [])
    .option('--prometheus <address>', 'what guards of promql ask, as in http://prometheus.internal:9090')
    .option('--no-guards', 'with --preset: without its guard')
    .option('--alpha <share>', 'harmless rollouts that may be turned back by mistake (default: 0.01)')
    .option('--bake <duration>', 'how long the last step is watched')
    .option('--holdback <percent>', 'what stays with the control meanwhile (default: 2)')
    .option('--at <when>', 'start by itself: 2h, or a moment as in 2026-12-01T08:00:00Z')
    .option('--later', 'do not start: somebody resumes it')
    .option('--owner <name>', 'whose it is')
    .addHelpText('after', '\nExamples:\n  $ sluice rollout start new-ledger -e production --preset fast -m "ledger 2"')
  withWait(start).action(async (flag: string, options: StartOptions, self: Command) => begin(flag, options, self))

  rollout
    .command('show')
    .summary('a plan, where it is, and what its guards have seen')
    .argument('<flag>', 'the flag')
    .addHelpText('after', '\nExamples:\n  $ sluice rollout show new-ledger -e production')
    .action(async (flag: string, _options: object, self: Command) => show(openSession(self), flag))

  rollout
    .command('list')
    .summary('every plan and what happens next')
    .option('--state <state>', 'only those that are so, as in running or held')
    .addHelpText('after', '\nExamples:\n  $ sluice rollout list -e production --state held')
    .action(async (options: { state?: string }, self: Command) => list(openSession(self), options.state))

  addRolloutWatch(rollout)

  for (const [operation, { summary }] of Object.entries(OPERATIONS)) {
    const command = rollout
      .command(operation)
      .summary(summary)
      .argument('<flag>', 'the flag')
      .addHelpText('after', `\nExamples:\n  $ sluice rollout ${operation} new-ledger -e production`)
    if (operation === 'revert') command.option('--force', 'although somebody has changed what it governs since')
    withWait(command).action(async (flag: string, options: WaitOptions & { force?: boolean }, self: Command) =>
      operate(operation as keyof typeof OPERATIONS, flag, options, self),
    )
  }
}

async function begin(flag: string, options: StartOptions, command: Command): Promise<void> {
  const session = openSession(command, { environmentNamed: true })
  const written = await session
    .client()
    .call<PlanWritten>(pathOf(session, flag), { method: 'POST', body: inputOf(options, session), query: { dryRun: session.write.dryRun } })
  const { plan } = written
  const verb = plan.state === 'running' ? 'STARTED' : plan.state === 'scheduled' ? 'SCHEDULED' : 'PLANNED'
  const undo = plan.state === 'running' ? 'revert' : 'cancel'
  await reportWrite(session, written, plan.state === 'running' ? options : null, {
    title: `${written.dryRun === true ? `WOULD HAVE ${verb}` : verb} the rollout of ${flag} in ${session.place}`,
    rows: [
      ['steps', plan.steps.map(stepText).join(' → ')],
      ['guards', plan.guards.map(guard => `${guard.id} (${guard.role}${guard.dryRun === true ? ', only says so' : ''})`).join(', ')],
      ['now', plan.state === 'running' ? placeText(plan) : planStateText(plan)],
      ['serves', serveText(written.flag.fallthrough)],
      ['then', outlookText(written.outlook)],
    ],
    undo: ['rollout', undo, flag, '-e', session.settings.environment],
  })
}

function inputOf(options: StartOptions, session: Session): PlanInput {
  const { preset, steps, rule, variation, control, by, owner } = options
  if ((preset === undefined) === (steps === undefined))
    throw usage('A rollout needs either --preset or --steps.', 'Begin with --preset fast, or write --steps 1%:5m,25%:1h,100%.')
  if (preset !== undefined && !(PLAN_PRESETS as readonly string[]).includes(preset))
    throw usage(`--preset ${preset} is none.`, `There is ${PLAN_PRESETS.join(', ')}.`)
  if (options.at !== undefined && options.later === true) throw usage('Both --at and --later were given.', 'Give one of them.')
  const guards = [
    ...options.guard.map(text => parseGuard(text, 'guardrail', options.prometheus)),
    ...options.signal.map(text => parseGuard(text, 'signal', options.prometheus)),
  ]
  return {
    ...(preset === undefined ? {} : { preset: preset as PlanPreset }),
    ...(steps === undefined ? {} : { steps: parseSteps(steps) }),
    ...(rule === undefined ? {} : { rule }),
    ...(variation === undefined ? {} : { variation }),
    ...(control === undefined ? {} : { control }),
    ...(by === undefined ? {} : { by }),
    ...(guards.length > 0 || !options.guards ? { guards } : {}),
    ...(options.alpha === undefined ? {} : { alpha: parseNumber(options.alpha, '--alpha') }),
    ...(options.bake === undefined ? {} : { bakeMs: parseDuration(options.bake, '--bake') }),
    ...(options.holdback === undefined ? {} : { holdback: parseNumber(options.holdback, '--holdback') }),
    ...(options.at === undefined ? {} : { startsAt: momentAhead(options.at, '--at', Date.now()) }),
    ...(options.later === true ? { startsAt: null } : {}),
    ...(owner === undefined ? {} : { owner }),
    ...(session.write.comment === undefined ? {} : { comment: session.write.comment }),
  }
}

async function operate(
  operation: keyof typeof OPERATIONS,
  flag: string,
  options: WaitOptions & { force?: boolean },
  command: Command,
): Promise<void> {
  const session = openSession(command, { environmentNamed: true })
  const { done, undo } = OPERATIONS[operation]
  const { dryRun, comment } = session.write
  const written = await session.client().call<PlanWritten>(`${pathOf(session, flag)}/${operation}`, {
    method: 'POST',
    body: comment === undefined ? {} : { comment },
    query: { dryRun, ...(options.force === true ? { force: true } : {}) },
  })
  const { plan } = written
  const isServing = operation === 'resume' || operation === 'advance' || operation === 'revert'
  await reportWrite(session, written, isServing ? options : null, {
    title: `${written.dryRun === true ? `WOULD HAVE ${done}` : done} the rollout of ${flag} in ${session.place}`,
    rows: [
      ['plan', planStateText(plan)],
      ['at', placeText(plan)],
      ['serves', plan.rule === null ? servedText(written.flag) : ''],
    ],
    undo: undo === null ? null : ['rollout', undo, flag, '-e', session.settings.environment],
    next: nextText(session, flag, written.outlook),
  })
}

/** What is served where no rule matches. */
function servedText(flag: FlagWritten['flag']): string {
  return flag.enabled ? serveText(flag.fallthrough) : `${flag.offVariation}: the flag is off`
}

/** What a person can do, where one is waited for. */
const WAITED_FOR: Partial<Record<Outlook['what'], keyof typeof OPERATIONS>> = { clear: 'clear', resume: 'resume', approval: 'approve' }

function nextText(session: Session, flag: string, outlook: Outlook): string {
  const operation = WAITED_FOR[outlook.what]
  const how = operation === undefined ? '' : `: sluice rollout ${operation} ${flag} -e ${session.settings.environment}`
  return `${outlookText(outlook)}${how}`
}

async function show(session: Session, flag: string): Promise<void> {
  const { output } = session
  const { colors } = output
  const [standing, evidence] = await Promise.all([
    session.client().call<Standing>(pathOf(session, flag)),
    session.client().call<PlanEvidence>(`${pathOf(session, flag)}/evidence`),
  ])
  output.data({ ...standing, evidence })
  const { plan, outlook } = standing
  output.line(colors.bold(`rollout of ${flag} in ${session.place}: ${planStateText(plan)}`))
  for (const [i, step] of plan.steps.entries())
    output.line(`  ${i === plan.step ? '▶' : plan.step !== null && i < plan.step ? '✓' : ' '} ${stepText(step)}`)
  output.line(`  next      ${nextText(session, flag, outlook)}`)
  if (plan.step === null) return
  output.line(`  seen      ${evidence.text}`)
  for (const guard of evidence.guards)
    output.line(
      `  ${guard.state === 'fired' ? colors.red(guard.role.padEnd(9)) : guard.role.padEnd(9)} ${guard.state === 'blind' ? 'blind: ' : ''}${guard.text}${lookText(guard)}`,
    )
  if (evidence.detectable !== null) output.line(`  smallest  ${evidence.detectable.text}`)
}

async function list(session: Session, state: string | undefined): Promise<void> {
  const { output } = session
  const answer = await session.client().call<{ readonly rollouts: readonly Standing[] }>(`${session.environmentPath}/rollouts`, {
    query: state === undefined ? {} : { state },
  })
  output.data(answer)
  if (answer.rollouts.length === 0)
    return output.line(`No rollout ${state === undefined ? 'is planned' : `is ${state}`} in ${session.place}.`)
  const rows = answer.rollouts.map(({ plan, outlook }) => [plan.key, plan.state, placeText(plan), outlookText(outlook)])
  for (const line of table([['FLAG', 'STATE', 'AT', 'NEXT'], ...rows])) output.line(line)
}

function pathOf(session: Session, flag: string): string {
  return `${session.environmentPath}${at`/rollouts/${flag}`}`
}
