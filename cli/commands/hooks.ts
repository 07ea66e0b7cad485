/** `sluice hooks`: the ways in for monitoring tools: made with what to paste into the tool, tried, looked at, given another secret. */
import { type Command, Option } from 'commander'
import type { Alert } from '../../schemas/alert.ts'
import type { Hook, HookAuth, HookDelivery, HookSource, HookVerdict } from '../../schemas/hook.ts'
import type { Json } from '../../schemas/json.ts'
import type { Written } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { readObject, readText } from '../documents.ts'
import { usage } from '../failure.ts'
import { setUp } from '../../schemas/hooksetup.ts'
import { momentText } from '../moment.ts'
import { table } from '../output.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'
import { countText } from '../words.ts'

const SOURCES: readonly HookSource[] = [
  'alertmanager',
  'grafana',
  'datadog',
  'pagerduty',
  'sentry',
  'honeycomb',
  'newrelic',
  'cloudwatch-sns',
  'standard-webhooks',
  'generic',
]
const AUTHS: readonly HookAuth[] = ['signature', 'header', 'path']

const HELP = `
Examples:
  $ sluice hooks -e production
  $ sluice hooks add prometheus -e production --source alertmanager
  $ sluice hooks add pager -e production --source pagerduty
  $ sluice hooks rotate pager -e production --secret-file pagerduty.secret
  $ sluice hooks add alarms -e production --source cloudwatch-sns --topic arn:aws:sns:eu-west-1:123456789012:alarms
  $ sluice hooks try prometheus -e production -f sample.json --header "authorization: Bearer …"
  $ sluice hooks deliveries prometheus -e production

"add" prints what to paste into the tool, and the secret, once. A secret of the tool's own is read from a file or stdin, never
from the command line.`

/** A hook as the API shows it. */
interface ShownHook extends Hook {
  readonly url: string
  readonly deliveries: Readonly<Partial<Record<HookVerdict, number>>>
  readonly firing: number
}

interface HookWritten extends Written {
  readonly hook: ShownHook
  readonly secret?: string
}

interface WriteOptions {
  readonly source?: HookSource
  readonly auth?: HookAuth
  readonly name?: string
  readonly header?: string
  readonly timestampHeader?: string
  readonly topic?: string
  readonly mapping?: string
  readonly secretFile?: string
  readonly mayAct?: boolean
  readonly recordOnly?: boolean
  readonly enabled?: boolean
}

export function addHooks(program: Command): void {
  const hooks = program
    .command('hooks')
    .summary('hooks: list, add, show, edit, remove, rotate, try, deliveries')
    .description('Hooks of an environment: where monitoring tools deliver their alerts.')
    .addHelpText('after', HELP)
  hooks
    .command('list', { isDefault: true })
    .description('List the hooks of an environment, with what was delivered since the server started.')
    .action(async (_options: object, self: Command) => list(openSession(self)))
  addAdd(hooks)
  addShow(hooks)
  addEdit(hooks)
  addRemove(hooks)
  addRotate(hooks)
  addTry(hooks)
  addDeliveries(hooks)
}

async function list(session: Session): Promise<void> {
  const { output, place } = session
  const answer = await session.client().call<{ hooks: readonly ShownHook[] }>(`${session.environmentPath}/hooks`)
  output.data(answer)
  const rows = answer.hooks.map(hook => [
    hook.key,
    hook.source,
    hook.auth === 'path' ? 'path (weak)' : hook.auth,
    stateOf(hook),
    String(hook.firing),
    String(takenOf(hook)),
    String(refusedOf(hook)),
  ])
  if (rows.length > 0)
    for (const line of table([['HOOK', 'SOURCE', 'PROOF', 'STATE', 'FIRING', 'TAKEN', 'REFUSED'], ...rows])) output.line(line)
  output.line(`${countText(rows.length, 'hook')} in ${place}.`)
}

function stateOf(hook: Hook): string {
  if (!hook.enabled) return 'disabled'
  return hook.dryRun ? 'dry run' : 'on'
}

function takenOf({ deliveries }: ShownHook): number {
  return (deliveries.accepted ?? 0) + (deliveries.duplicate ?? 0) + (deliveries.late ?? 0)
}

function refusedOf(hook: ShownHook): number {
  return Object.values(hook.deliveries).reduce((sum, count) => sum + count, 0) - takenOf(hook)
}

function withFields(command: Command): Command {
  return command
    .option('--name <text>', 'for people')
    .addOption(new Option('--auth <proof>', 'how a delivery proves that it is genuine').choices(AUTHS))
    .option('--header <name>', "the header of the secret or signature, where it is not the source's usual one")
    .option('--timestamp-header <name>', 'grafana: the header of the moment that is signed along; "none" for without')
    .option('--topic <arn>', 'cloudwatch-sns: the one topic that is listened to')
    .option('--mapping <path>', 'generic, standard-webhooks: a YAML or JSON file that says where the fields are, - for stdin')
    .option('--may-act', 'for auth "path": triggers may do more than hold and tell (needs the role admin)')
    .option('--record-only', 'record alerts, and let triggers only say what they would do')
}

/** The fields of a request, of those that were given. */
async function fieldsOf(options: WriteOptions): Promise<Record<string, unknown>> {
  return {
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.auth === undefined ? {} : { auth: options.auth }),
    ...(options.header === undefined ? {} : { header: options.header }),
    ...(options.timestampHeader === undefined
      ? {}
      : { timestampHeader: options.timestampHeader === 'none' ? null : options.timestampHeader }),
    ...(options.topic === undefined ? {} : { topicArn: options.topic }),
    ...(options.mapping === undefined ? {} : { mapping: await readObject(options.mapping) }),
    ...(options.mayAct === undefined ? {} : { mayAct: options.mayAct }),
    ...(options.recordOnly === undefined ? {} : { dryRun: options.recordOnly }),
    ...(options.enabled === undefined ? {} : { enabled: options.enabled }),
  }
}

function addAdd(parent: Command): void {
  const command = parent
    .command('add')
    .description('Make a hook, and print what to paste into the tool.')
    .argument('<hook>', 'its key')
    .addOption(new Option('--source <tool>', 'the tool that delivers').choices(SOURCES).makeOptionMandatory())
    .option('--secret-file <path>', "the tool's own secret, where it makes one: a file, - for stdin")
    .addHelpText('after', HELP)
  withFields(command).action(async (key: string, options: WriteOptions, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const { output } = session
    const body = {
      key,
      source: options.source,
      ...(await fieldsOf(options)),
      ...(options.secretFile === undefined ? {} : { secret: (await readText(options.secretFile)).trim() }),
    }
    const written = await session
      .client()
      .call<HookWritten>(`${session.environmentPath}/hooks`, { method: 'POST', body, query: session.write })
    await reportWrite(session, written, null, {
      title: `${written.dryRun === true ? 'WOULD ADD' : 'ADDED'} hook ${key} (${written.hook.source}) in ${session.place}`,
      rows: rowsOf(written.hook),
      undo: ['hooks', 'remove', key, '-e', session.settings.environment],
    })
    if (written.dryRun === true) return
    output.line('')
    for (const line of setUp(
      { ...written.hook, address: addressOf(session, written), environment: session.settings.environment },
      written.secret,
    ))
      output.line(line)
    if (written.secret !== undefined) {
      output.line('')
      output.line('the secret is in what stands above; it is not shown again.')
    }
  })
}

function addressOf(session: Session, { hook, secret }: { readonly hook: ShownHook; readonly secret?: string | undefined }): string {
  const url = `${session.settings.url.replace(/\/$/, '')}${hook.url}`
  return hook.auth === 'path' ? `${url}.${secret ?? '<the secret that was shown when it was made>'}` : url
}

function rowsOf(hook: ShownHook): (readonly [string, string])[] {
  const weak = hook.mayAct ? 'the path alone, and it may act' : 'the path alone, which is weak: triggers hold and tell, no more'
  return [
    ['proof', hook.auth === 'path' ? weak : hook.auth],
    ['topic', hook.topicArn ?? ''],
    ['dry run', hook.dryRun ? 'triggers only say what they would do' : ''],
  ]
}

function addShow(parent: Command): void {
  parent
    .command('show')
    .description('One hook, what fires by it, and what to paste into its tool; the secret is not shown again.')
    .argument('<hook>')
    .addHelpText('after', HELP)
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const client = session.client()
      const hook = await client.call<ShownHook>(`${session.environmentPath}${at`/hooks/${key}`}`)
      const { alerts } = await client.call<{ alerts: readonly Alert[] }>(`${session.environmentPath}/alerts`, {
        query: { hook: key, firing: 'true', limit: '20' },
      })
      output.data({ ...hook, alerts })
      output.line(`${output.colors.bold(hook.key)} (${hook.source}) in ${session.place}: ${stateOf(hook)}`)
      for (const [label, text] of rowsOf(hook)) if (text !== '') output.line(`  ${label.padEnd(9)} ${text}`)
      for (const ref of hook.secrets)
        output.line(`  secret    ${ref.id}${ref.hint === '' ? '' : ` (ends with ${ref.hint})`}, since ${momentText(ref.createdAt)}`)
      if (hook.secrets.length === 0 && hook.source !== 'cloudwatch-sns')
        output.line(
          `  secret    none yet: every delivery is refused. Give it with "sluice hooks rotate ${key} -e ${session.settings.environment} --secret-file …"`,
        )
      output.line(`  taken     ${takenOf(hook)}, refused ${refusedOf(hook)}, since the server started`)
      for (const alert of alerts) output.line(`  firing    ${alert.severity}: ${alert.title}, since ${momentText(alert.startsAt)}`)
      output.line('')
      for (const line of setUp({ ...hook, address: addressOf(session, { hook }), environment: session.settings.environment }, undefined))
        output.line(line)
    })
}

function addEdit(parent: Command): void {
  const command = parent
    .command('edit')
    .description('Change what is given, and leave the rest. What proves a delivery needs the role admin.')
    .argument('<hook>')
    .option('--enable', 'take deliveries again')
    .option('--disable', 'refuse every delivery')
    .option('--no-may-act', 'take --may-act back')
    .option('--no-record-only', 'let triggers act again')
    .addHelpText('after', HELP)
  withFields(command).action(async (key: string, options: WriteOptions & { enable?: boolean; disable?: boolean }, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    if (options.enable === true && options.disable === true) throw usage('--enable and --disable exclude each other.', 'Give one of them.')
    const given = (name: string): boolean => self.getOptionValueSource(name) === 'cli'
    const { mayAct, recordOnly, ...rest } = options
    const body = await fieldsOf({
      ...rest,
      ...(given('mayAct') && mayAct !== undefined ? { mayAct } : {}),
      ...(given('recordOnly') && recordOnly !== undefined ? { recordOnly } : {}),
      ...(options.enable === true ? { enabled: true } : options.disable === true ? { enabled: false } : {}),
    })
    if (Object.keys(body).length === 0) throw usage('Nothing to change was given.', 'See "sluice hooks edit --help".')
    const written = await session
      .client()
      .call<HookWritten>(`${session.environmentPath}${at`/hooks/${key}`}`, { method: 'PATCH', body, query: session.write })
    await reportWrite(session, written, null, {
      title:
        written.change === null
          ? `NOTHING TO CHANGE: hook ${key} in ${session.place} is already so`
          : `${written.dryRun === true ? 'WOULD CHANGE' : 'CHANGED'} hook ${key} in ${session.place}`,
      rows: [['state', stateOf(written.hook)], ...rowsOf(written.hook)],
      undo: null,
    })
  })
}

function addRemove(parent: Command): void {
  parent
    .command('remove')
    .description('Remove a hook that no trigger names; what is delivered to it is refused from then on.')
    .argument('<hook>')
    .addHelpText('after', HELP)
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self, { environmentNamed: true })
      const written = await session
        .client()
        .call<Written>(`${session.environmentPath}${at`/hooks/${key}`}`, { method: 'DELETE', query: session.write })
      await reportWrite(session, written, null, {
        title: `${written.dryRun === true ? 'WOULD REMOVE' : 'REMOVED'} hook ${key} in ${session.place}`,
        rows: [],
        undo: null,
        next: 'its path and secrets are gone: another one needs the tool to be set up anew',
      })
    })
}

function addRotate(parent: Command): void {
  parent
    .command('rotate')
    .description('Give a hook another secret beside those it has; end the old ones once the tool uses it.')
    .argument('<hook>')
    .option('--secret-file <path>', "the tool's own secret: a file, - for stdin; one is made unless it is given")
    .option('--end <id>', 'end an old secret instead, by its id; may be repeated', collect, [])
    .addHelpText('after', HELP)
    .action(async (key: string, options: { secretFile?: string; end: readonly string[] }, self: Command) => {
      const session = openSession(self, { environmentNamed: true })
      const { output } = session
      const path = `${session.environmentPath}${at`/hooks/${key}/secrets`}`
      if (options.end.length > 0) {
        if (options.secretFile !== undefined)
          throw usage('--end and --secret-file exclude each other.', 'Rotate first, end the old one after.')
        for (const id of options.end) {
          const written = await session.client().call<HookWritten>(`${path}${at`/${id}`}`, { method: 'DELETE', query: session.write })
          await reportWrite(session, written, null, {
            title: `${written.dryRun === true ? 'WOULD END' : 'ENDED'} secret ${id} of hook ${key} in ${session.place}`,
            rows: [['left', countText(written.hook.secrets.length, 'secret')]],
            undo: null,
          })
        }
        return
      }
      const body = options.secretFile === undefined ? {} : { secret: (await readText(options.secretFile)).trim() }
      const written = await session.client().call<HookWritten>(path, { method: 'POST', body, query: session.write })
      const older = written.hook.secrets.slice(0, -1)
      await reportWrite(session, written, null, {
        title: `${written.dryRun === true ? 'WOULD GIVE' : 'GAVE'} hook ${key} in ${session.place} ${older.length === 0 ? 'its' : 'another'} secret`,
        rows: [['good now', countText(written.hook.secrets.length, 'secret')]],
        undo: null,
        ...(older.length === 0
          ? {}
          : {
              next: `once the tool uses it: sluice hooks rotate ${key} -e ${session.settings.environment} --end ${older.map(ref => ref.id).join(' --end ')}`,
            }),
      })
      if (written.secret === undefined) return
      output.line(written.hook.auth === 'path' ? '  the new address, shown once:' : '  the new secret, shown once:')
      output.line(written.hook.auth === 'path' ? addressOf(session, written) : written.secret)
    })
}

interface Tried {
  readonly verdict: HookVerdict
  readonly reason: string
  readonly proved: boolean
  readonly alerts: readonly {
    readonly status: string
    readonly severity: string
    readonly title: string
    readonly dedupKey: string
    readonly labels: Readonly<Record<string, string>>
  }[]
  readonly looksLike: HookSource | null
}

function addTry(parent: Command): void {
  parent
    .command('try')
    .description('What would become of a delivery; nothing is stored and no trigger acts.')
    .argument('<hook>')
    .requiredOption('-f, --file <path>', 'the body as the tool sends it, - for stdin')
    .option('--header <name: value>', 'a header of it; with any, the proof is looked at too; may be repeated', collect, [])
    .option('--mapping <path>', "a mapping to try in the place of the hook's own")
    .addHelpText('after', HELP)
    .action(async (key: string, options: { file: string; header: readonly string[]; mapping?: string }, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const body = {
        body: await readText(options.file),
        ...(options.header.length === 0 ? {} : { headers: headersOf(options.header) }),
        ...(options.mapping === undefined ? {} : { mapping: (await readObject(options.mapping)) as Json }),
      }
      const tried = await session.client().call<Tried>(`${session.environmentPath}${at`/hooks/${key}/try`}`, { method: 'POST', body })
      output.data(tried)
      output.line(`${output.colors.bold(`WOULD BE ${tried.verdict}`)}${tried.reason === '' ? '' : `: ${tried.reason}`}`)
      if (!tried.proved) output.line('  its proof was not looked at: give the headers with --header')
      if (tried.looksLike !== null) output.line(`  it looks like ${tried.looksLike}, and this hook reads another tool`)
      for (const alert of tried.alerts) {
        output.line(`  ${alert.status}, ${alert.severity}: ${alert.title}`)
        output.line(`    key ${alert.dedupKey}`)
        for (const [name, value] of Object.entries(alert.labels)) output.line(`    ${name} = ${value}`)
      }
      if (tried.verdict !== 'accepted') session.exit(1)
    })
}

function headersOf(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map(text => {
      const colon = text.indexOf(':')
      if (colon < 1) throw usage(`--header ${JSON.stringify(text)} cannot be taken.`, 'Write it as in --header "x-signature: abc".')
      return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()]
    }),
  )
}

function addDeliveries(parent: Command): void {
  parent
    .command('deliveries')
    .description('What was delivered to a hook, refused ones too, newest first; without a hook, to paths that none has.')
    .argument('[hook]')
    .option('--limit <n>', 'how many', '20')
    .option('--payload', 'with the beginning of each body')
    .addHelpText('after', HELP)
    .action(async (key: string | undefined, options: { limit: string; payload?: boolean }, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const path = key === undefined ? '/api/v1/deliveries/unknown' : `${session.environmentPath}${at`/hooks/${key}/deliveries`}`
      const answer = await session.client().call<{ deliveries: readonly HookDelivery[] }>(path, { query: { limit: options.limit } })
      output.data(answer)
      for (const delivery of answer.deliveries) {
        const isTaken = delivery.verdict === 'accepted' || delivery.verdict === 'duplicate' || delivery.verdict === 'late'
        const verdict = isTaken ? delivery.verdict : output.colors.red(delivery.verdict)
        output.line(
          `${momentText(delivery.at)}  ${verdict}  ${delivery.bytes} bytes from ${delivery.remote}${delivery.reason === '' ? '' : `: ${delivery.reason}`}`,
        )
        for (const alert of delivery.alerts)
          output.line(`  ${alert.status} ${alert.title}${alert.outcome === 'new' ? '' : ` (${alert.outcome})`}`)
        if (delivery.skipped > 0) output.line(`  before it ${delivery.skipped} more of the kind, not kept`)
        if (options.payload === true) output.line(delivery.payload)
      }
      output.line(
        `${answer.deliveries.length === 1 ? '1 delivery' : `${answer.deliveries.length} deliveries`}${key === undefined ? ' to no hook' : ` to ${key}`}.`,
      )
    })
}
