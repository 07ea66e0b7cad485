/** `sluice triggers`: what happens when an alert says so: list, add, show, edit, remove, switch, try, put back. */
import type { Command } from 'commander'
import type { ErrorDetail } from '../../schemas/errors.ts'
import type { Trigger } from '../../schemas/trigger.ts'
import { doText, durationText, whenText } from '../../schemas/words.ts'
import type { Written } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { documentYaml, readObject } from '../documents.ts'
import { usage } from '../failure.ts'
import { momentText, parseDuration } from '../moment.ts'
import { table } from '../output.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session, pathOf } from '../session.ts'
import { type ShownTrigger, triggerFields, type TriggerOptions, trippedText, withTrigger } from '../triggers.ts'
import { countText } from '../words.ts'

const HELP = `
Examples:
  $ sluice triggers -e production
  $ sluice triggers add checkout-5xx -e production --hook am --label service=checkout --severity error \\
      --kill checkout --where /device/os=android --expires 2h
  $ sluice triggers add vendor-slow -e production --hook am --label alertname=VendorLatency --for 2m \\
      --throttle payments-vendor=50,10,0 --cool-down 3m --restore
  $ sluice triggers try checkout-5xx -e production --label service=checkout --severity critical
  $ sluice triggers edit checkout-5xx -e production --rehearse
  $ sluice triggers show checkout-5xx -e production --yaml > checkout-5xx.yaml
  $ sluice triggers restore checkout-5xx -e production -m "the fix is out"

A trigger in a file:
  when: { hooks: [am], labels: [{ label: service, values: [checkout] }], severity: error, forMs: 120000 }
  do: { action: kill, flags: [checkout], clauses: [{ attribute: /device/os, op: in, values: [android] }] }
  onResolve: restore

A trigger never acts in the unsafe direction by itself, and never touches what a person killed.`

interface TriggerWritten extends Written {
  readonly trigger: Trigger
  readonly warnings: readonly ErrorDetail[]
}

export function addTriggers(program: Command): void {
  const triggers = program
    .command('triggers')
    .summary('triggers: from an alert to a change')
    .description('Triggers of an environment: what happens when an alert says so.')
    .addHelpText('after', HELP)
  triggers
    .command('list', { isDefault: true })
    .description('List the triggers of an environment, and what each did last.')
    .action(async (_options: object, self: Command) => list(openSession(self)))
  addAdd(triggers)
  addShow(triggers)
  addEdit(triggers)
  addRemove(triggers)
  addSwitches(triggers)
  addTry(triggers)
  addRestore(triggers)
}

async function list(session: Session): Promise<void> {
  const { output, place } = session
  const answer = await session.client().call<{ revision: number; triggers: readonly ShownTrigger[] }>(`${session.environmentPath}/triggers`)
  output.data(answer)
  const rows = answer.triggers.map(trigger => [trigger.key, stateText(trigger), whenText(trigger.when), doText(trigger.do)])
  if (rows.length > 0) for (const line of table([['TRIGGER', 'STATE', 'WHEN', 'DO'], ...rows])) output.line(line)
  output.line(`${countText(rows.length, 'trigger')} in ${place}.`)
  for (const trigger of answer.triggers) for (const line of bannerLines(session, trigger)) output.line(line)
}

function stateText({ enabled, dryRun, standing, problems }: ShownTrigger): string {
  if (!enabled) return 'disabled'
  if (problems.length > 0) return 'broken'
  return standing.length > 0 ? 'tripped' : dryRun === true ? 'rehearses' : 'armed'
}

function bannerLines({ output }: Session, { key, tripped, standing, undo }: ShownTrigger): string[] {
  if (tripped === null || standing.length === 0) return []
  const { colors } = output
  const text = trippedText({ trigger: key, alert: tripped.title, hook: tripped.hook, at: tripped.at })
  return [`${colors.red(`${standing.join(', ')}: ${text}`)}; undo:`, undo ?? '']
}

function addAdd(parent: Command): void {
  withTrigger(parent.command('add'))
    .description('Make a trigger. While its alert fires already, it acts at once; --rehearse tries it without doing anything.')
    .argument('[trigger]', 'its key; may stand in the file')
    .addHelpText('after', HELP)
    .action(async (key: string | undefined, options: TriggerOptions, self: Command) => {
      const session = openSession(self, { environmentNamed: true })
      const base = options.file === undefined ? {} : await readTrigger(options.file)
      const body: Record<string, unknown> = { when: {}, ...base, ...triggerFields(options, base), ...(key === undefined ? {} : { key }) }
      if (typeof body.key !== 'string') throw usage('The trigger has no key.', 'Name it, as in "sluice triggers add checkout-5xx".')
      if (body.do === undefined)
        throw usage('What it does was not said.', `Say it with --kill, --throttle, --notify …; see: sluice ${pathOf(self)} --help`)
      const written = await session
        .client()
        .call<TriggerWritten>(`${session.environmentPath}/triggers`, { method: 'POST', body, query: session.write })
      await report(session, written, written.dryRun === true ? 'WOULD MAKE' : 'MADE', ['triggers', 'remove', body.key])
    })
}

/** Without what the server keeps, so that what was shown can be given back. */
async function readTrigger(path: string): Promise<Partial<Trigger>> {
  const { tripped: _tripped, lastFiredAt: _lastFiredAt, version: _version, ...document } = await readObject(path)
  return document
}

async function report(session: Session, written: TriggerWritten, verb: string, undo: readonly string[] | null): Promise<void> {
  const { trigger } = written
  await reportWrite(session, written, null, {
    title:
      written.change === null
        ? `NOTHING TO CHANGE: trigger ${trigger.key} in ${session.place} is already so`
        : `${verb} trigger ${trigger.key} in ${session.place}`,
    rows: [
      ['when', whenText(trigger.when)],
      ['do', doText(trigger.do)],
      ['then', afterText(trigger)],
      ['state', trigger.enabled ? (trigger.dryRun === true ? 'rehearses: it only says what it would do' : 'armed') : 'disabled'],
      ...written.warnings.map(({ message }) => ['mind', message] as const),
    ],
    undo: undo === null || written.change === null ? null : [...undo, '-e', session.settings.environment],
  })
}

function afterText({ onResolve, coolDownMs = 300_000, maxFiresPerHour = 6 }: Trigger): string {
  const back = onResolve === 'restore' ? 'puts it back when all its alerts are resolved' : 'leaves it so when its alerts are resolved'
  return `${back}; at most ${maxFiresPerHour} times an hour, ${durationText(coolDownMs)} apart`
}

function addShow(parent: Command): void {
  parent
    .command('show')
    .description('A trigger, what it did last, and what came of its alerts.')
    .argument('<trigger>')
    .option('--yaml', 'as YAML, to edit and give to "triggers edit"')
    .action(async (key: string, options: { yaml?: boolean }, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const trigger = await read(session, key)
      if (options.yaml === true && !output.json) {
        const { standing: _s, undo: _u, activity: _a, problems: _p, tripped: _t, lastFiredAt: _l, version: _v, ...document } = trigger
        return output.raw(documentYaml(document))
      }
      output.data(trigger)
      const row = (label: string, text: string): void => {
        if (text !== '') output.line(`  ${output.colors.dim(label.padEnd(9))} ${text}`)
      }
      output.line(`${output.colors.bold(key)} in ${session.place}: ${stateText(trigger)}`)
      row('about', trigger.description ?? '')
      row('when', whenText(trigger.when))
      row('do', doText(trigger.do))
      row('then', afterText(trigger))
      row('fired', trigger.lastFiredAt === null ? 'never' : momentText(trigger.lastFiredAt))
      const { alerts, outcomes, last } = trigger.activity
      const came = Object.entries(outcomes).flatMap(([outcome, count]) => (count === 0 ? [] : [`${count} ${outcome}`]))
      row(
        'alerts',
        alerts === 0
          ? 'none since the server started'
          : `${alerts} since the server started${came.length === 0 ? '' : `: ${came.join(', ')}`}`,
      )
      row('last', last === null ? '' : `${momentText(last.at)} ${last.outcome}: ${last.text}`)
      for (const { path, message } of trigger.problems) row('problem', `${path} ${message}`)
      for (const line of bannerLines(session, trigger)) output.line(line)
    })
}

function addEdit(parent: Command): void {
  withTrigger(parent.command('edit'))
    .description('Change a trigger: what is given replaces what stands; the conditions that are not given stay.')
    .argument('<trigger>')
    .addHelpText('after', HELP)
    .action(async (key: string, options: TriggerOptions, self: Command) => {
      const session = openSession(self, { environmentNamed: true })
      const before = await read(session, key)
      const { key: _key, ...base } = options.file === undefined ? {} : await readTrigger(options.file)
      const fields = triggerFields(options, { when: base.when ?? before.when, do: base.do ?? before.do })
      // What the options leave as it stands need not be sent.
      const body = { ...base, ...fields }
      if (options.file === undefined && Object.keys(triggerFields(options, {})).length === 0)
        throw usage('Nothing to change was given.', `See what can be: sluice ${pathOf(self)} --help`)
      await edit(session, key, body, before.version)
    })
}

function addSwitches(parent: Command): void {
  for (const [name, enabled] of [
    ['enable', true],
    ['disable', false],
  ] as const) {
    parent
      .command(name)
      .description(
        enabled ? 'Arm a trigger again. While its alert fires, it acts at once.' : 'Keep a trigger from acting; what it did stays.',
      )
      .argument('<trigger>')
      .addHelpText(
        'after',
        `\nExample:\n  $ sluice triggers ${name} checkout-5xx -e production -m "${enabled ? 'the fix is out' : 'it is a false alarm'}"`,
      )
      .action(async (key: string, _options: object, self: Command) => edit(openSession(self, { environmentNamed: true }), key, { enabled }))
  }
}

async function edit(session: Session, key: string, body: object, ifMatch?: number): Promise<void> {
  const written = await session.client().call<TriggerWritten>(`${session.environmentPath}${at`/triggers/${key}`}`, {
    method: 'PATCH',
    body,
    query: session.write,
    ...(ifMatch === undefined ? {} : { ifMatch }),
  })
  const only = 'enabled' in body && Object.keys(body).length === 1 ? ['triggers', body.enabled === true ? 'disable' : 'enable', key] : null
  await report(session, written, written.dryRun === true ? 'WOULD CHANGE' : 'CHANGED', only)
}

function addRemove(parent: Command): void {
  parent
    .command('remove')
    .description('Remove a trigger. What it did stays.')
    .argument('<trigger>')
    .addHelpText('after', '\nExample:\n  $ sluice triggers remove checkout-5xx -e production -m "the alert is gone"')
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self, { environmentNamed: true })
      const before = await read(session, key)
      const written = await session
        .client()
        .call<Written>(`${session.environmentPath}${at`/triggers/${key}`}`, { method: 'DELETE', query: session.write })
      await reportWrite(session, written, null, {
        title: `${written.dryRun === true ? 'WOULD REMOVE' : 'REMOVED'} trigger ${key} in ${session.place}`,
        rows: [['stays', before.standing.length === 0 ? '' : `what it did over ${before.standing.join(', ')}`]],
        undo: null,
        next: `make it again with "sluice triggers add ${key}"`,
      })
    })
}

interface TryOptions {
  readonly hook?: string
  readonly label: readonly string[]
  readonly severity?: string
  readonly status?: string
  readonly since?: string
}

function addTry(parent: Command): void {
  parent
    .command('try')
    .description('Would it act on such an alert? Clause by clause; nothing is changed and nobody is told.')
    .argument('<trigger>')
    .option('--hook <key>', 'the hook it comes by (default: the first that the trigger names)')
    .option('--label <name=value>', 'a label of the alert; may be repeated', collect, [])
    .option('--severity <severity>', 'critical, error, warning or info (default: error)')
    .option('--status <status>', 'firing, resolved or info (default: firing)')
    .option('--since <duration>', 'it has been firing for so long (default: since now)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ sluice triggers try checkout-5xx -e production --label service=checkout --severity critical --since 5m',
    )
    .action(async (key: string, options: TryOptions, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const { hook, severity, status, since } = options
      const body = {
        ...(hook === undefined ? {} : { hook }),
        ...(severity === undefined ? {} : { severity }),
        ...(status === undefined ? {} : { status }),
        ...(since === undefined ? {} : { startsAt: new Date(Date.now() - parseDuration(since, '--since')).toISOString() }),
        labels: Object.fromEntries(options.label.map(labelPair)),
      }
      const trial = await session.client().call<{
        wouldAct: boolean
        text: string
        checks: readonly { clause: string; holds: boolean; text: string }[]
      }>(`${session.environmentPath}${at`/triggers/${key}/try`}`, { method: 'POST', body })
      output.data(trial)
      const { colors } = output
      output.line(colors.bold(`${trial.wouldAct ? 'WOULD ACT' : 'WOULD NOT ACT'}: ${trial.text}`))
      for (const { clause, holds, text } of trial.checks)
        output.line(`  ${holds ? colors.green('yes') : colors.red('no ')} ${clause.padEnd(15)} ${text}`)
    })
}

function labelPair(text: string): [string, string] {
  const split = text.indexOf('=')
  if (split < 1) throw usage(`--label ${text} cannot be taken.`, 'Write it as in --label service=checkout.')
  return [text.slice(0, split), text.slice(split + 1)]
}

function addRestore(parent: Command): void {
  const command = parent
    .command('restore')
    .description('Put back exactly what a trigger did, where nobody has touched the flag since.')
    .argument('<trigger>')
    .addHelpText('after', '\nExample:\n  $ sluice triggers restore checkout-5xx -e production -m "the fix is out"')
  withWait(command).action(async (key: string, options: WaitOptions, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const answer = await session
      .client()
      .call<Written & { restored: readonly string[]; left: readonly { flag: string; why: string }[] }>(
        `${session.environmentPath}${at`/triggers/${key}/restore`}`,
        { method: 'POST', query: session.write },
      )
    const { restored, left } = answer
    const [first] = left
    await reportWrite(session, answer, options, {
      title:
        restored.length === 0
          ? `NOTHING TO PUT BACK of trigger ${key} in ${session.place}`
          : `${answer.dryRun === true ? 'WOULD PUT BACK' : 'PUT BACK'} ${restored.join(', ')} in ${session.place}`,
      rows: left.map(each => ['left', `${each.flag}: ${each.why}`] as const),
      undo: null,
      next:
        first === undefined
          ? 'the alerts that fire now are dealt with; it fires again for new ones'
          : `see what stands, and take it back by hand: sluice flag show ${first.flag} -e ${session.settings.environment}`,
    })
  })
}

async function read(session: Session, key: string): Promise<ShownTrigger> {
  return session.client().call<ShownTrigger>(`${session.environmentPath}${at`/triggers/${key}`}`)
}
