/** `sluice notifiers`: who hears of changes: list, add, show, edit, remove, test, pause, resume, deliveries. */
import { type Command, Option } from 'commander'
import type { NoticeTopic, Notifier, NotifierDelivery, NotifierKind, SentMessage } from '../../schemas/notifier.ts'
import type { Written } from '../answers.ts'
import { askSecret } from '../ask.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { EXIT, usage } from '../failure.ts'
import { momentText } from '../moment.ts'
import { table } from '../output.ts'
import { reportWrite } from '../report.ts'
import { openSession, type Session } from '../session.ts'
import { countText } from '../words.ts'

/** As `schemas/notifier.ts` lists them; written again because that file brings zod, which a command line need not wait for. */
const KINDS: readonly NotifierKind[] = ['webhook', 'slack', 'pagerduty-alerts', 'pagerduty-changes', 'statuspage']
const TOPICS: readonly NoticeTopic[] = ['kills', 'valves', 'rollouts', 'limits', 'triggers', 'flags', 'access', 'trouble']

/** The one secret that a person has of each kind. */
const SECRETS: Readonly<Record<NotifierKind, readonly [name: string, what: string]>> = {
  webhook: ['signing', 'The signing secret (whsec_…)'],
  slack: ['url', 'The URL of the incoming webhook'],
  'pagerduty-alerts': ['routingKey', 'The integration key'],
  'pagerduty-changes': ['routingKey', 'The integration key'],
  statuspage: ['apiKey', 'The API key'],
}

const HELP = `
Examples:
  $ sluice notifiers -e production
  $ sluice notifiers add ops --kind slack -e production            asks for the URL of the incoming webhook
  $ sluice notifiers add pager --kind pagerduty-alerts --topic kills --topic valves -e production
  $ sluice notifiers add audit --kind webhook --to https://audit.example.com/in --topic flags --topic kills -e production
  $ sluice notifiers add page --kind statuspage --page kctbh9vrtdwd --component 8kbf7d35c070=checkout,cart -e production
  $ sluice notifiers test ops -e production
  $ sluice notifiers deliveries ops -e production
  $ sluice notifiers resume ops -e production

Topics: ${TOPICS.join(', ')}; all but flags and access unless named.`

interface Shown extends Notifier {
  readonly delivery: NotifierDelivery
}

interface NotifierWritten extends Written {
  readonly notifier: Notifier
  readonly secret?: string
}

interface FieldOptions {
  readonly to?: string
  readonly description?: string
  readonly topic: readonly NoticeTopic[]
  readonly tag: readonly string[]
  readonly page?: string
  readonly component: readonly string[]
  readonly secret?: string
}

export function addNotifiers(program: Command): void {
  const notifiers = program
    .command('notifiers')
    .summary('who hears of changes: Slack, PagerDuty, Statuspage, webhooks')
    .description('Notifiers of an environment: who hears of changes, and of what.')
    .addHelpText('after', HELP)
  notifiers
    .command('list', { isDefault: true })
    .description('List the notifiers of an environment, and how they fare.')
    .action(async (_options: object, self: Command) => list(openSession(self)))
  addAdd(notifiers)
  addShow(notifiers)
  addEdit(notifiers)
  addRemove(notifiers)
  addTest(notifiers)
  addPause(notifiers, 'pause')
  addPause(notifiers, 'resume')
  addDeliveries(notifiers)
}

async function list(session: Session): Promise<void> {
  const { output, place } = session
  const answer = await session.client().call<{ notifiers: readonly Shown[] }>(`${session.environmentPath}/notifiers`)
  output.data(answer)
  const rows = answer.notifiers.map(each => [
    each.key,
    each.kind,
    stateText(each),
    String(each.delivery.waiting),
    (each.topics ?? ['usual']).join(','),
    each.tags?.join(',') ?? 'any',
  ])
  if (rows.length > 0) for (const line of table([['NOTIFIER', 'KIND', 'STATE', 'WAITING', 'TOPICS', 'TAGS'], ...rows])) output.line(line)
  output.line(`${countText(rows.length, 'notifier')} in ${place}.`)
}

function stateText({ enabled, paused, delivery }: Shown): string {
  if (paused !== null) return 'paused'
  if (!enabled) return 'disabled'
  return delivery.failures > 0 ? `failing (${delivery.failures})` : 'well'
}

/** What `add` and `edit` have in common. */
function withFields(command: Command): Command {
  return command
    .option('--to <url>', 'where a webhook is sent to')
    .option('--description <text>', 'what it is for')
    .addOption(new Option('--topic <topic>', 'what it hears of; may be repeated').choices(TOPICS).argParser(topic).default([]))
    .option('--tag <tag>', 'only flags with this tag; may be repeated', collect, [])
    .option('--page <id>', 'of Statuspage')
    .option('--component <id=flag,…>', 'of Statuspage: which component stands for which flags; may be repeated', collect, [])
    .option('--secret <text>', 'the URL of Slack, the key of PagerDuty or Statuspage, the signing secret; - reads it from stdin')
    .addHelpText('after', HELP)
}

function topic(text: string, list: readonly NoticeTopic[] = []): NoticeTopic[] {
  const known = TOPICS.find(each => each === text)
  if (known === undefined) throw usage(`--topic ${text} is not known.`, `Topics are ${TOPICS.join(', ')}.`)
  return [...list, known]
}

function fieldsOf(options: FieldOptions): Record<string, unknown> {
  const components = options.component.map(text => {
    const [component = '', flags = ''] = text.split('=')
    if (component === '' || flags === '')
      throw usage(`--component ${text} cannot be taken.`, 'Write it as in --component 8kbf7d35c070=checkout,cart.')
    return { component, flags: flags.split(',').map(flag => flag.trim()) }
  })
  if (components.length > 0 && options.page === undefined) throw usage('--component needs the page.', 'Name it with --page.')
  return {
    ...(options.to === undefined ? {} : { url: options.to }),
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.topic.length === 0 ? {} : { topics: options.topic }),
    ...(options.tag.length === 0 ? {} : { tags: options.tag }),
    ...(components.length === 0 ? {} : { statuspage: { page: options.page, components } }),
  }
}

function addAdd(parent: Command): void {
  const command = parent
    .command('add')
    .description('Add a notifier. A webhook gets a signing secret, which is shown once; others ask for theirs.')
    .argument('<notifier>', 'a key of your choice')
    .addOption(new Option('--kind <kind>', 'what it is').choices(KINDS).makeOptionMandatory())
  withFields(command).action(async (key: string, options: FieldOptions & { kind: NotifierKind }, self: Command) => {
    const session = openSession(self, { environmentNamed: true })
    const fields = fieldsOf(options)
    const [name, what] = SECRETS[options.kind]
    const isMade = options.kind === 'webhook' && options.secret === undefined
    const secrets = isMade ? {} : { secrets: { [name]: await askSecret('--secret', what, options.secret) } }
    const written = await session.client().call<NotifierWritten>(`${session.environmentPath}/notifiers`, {
      method: 'POST',
      body: { key, kind: options.kind, ...fields, ...secrets },
      query: session.write,
    })
    await report(session, written, `${written.dryRun === true ? 'WOULD ADD' : 'ADDED'} notifier ${key} in ${session.place}`, [
      'notifiers',
      'remove',
      key,
    ])
  })
}

function addShow(parent: Command): void {
  parent
    .command('show')
    .description('One notifier, and how it fares.')
    .argument('<notifier>')
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const shown = await session.client().call<Shown>(`${session.environmentPath}${at`/notifiers/${key}`}`)
      output.data(shown)
      const { delivery } = shown
      output.line(`${output.colors.bold(key)} in ${session.place}: ${shown.kind}, ${stateText(shown)}`)
      const rows: [string, string][] = [
        ['for', shown.description ?? ''],
        ['to', shown.url ?? ''],
        ['topics', shown.topics?.join(', ') ?? 'all but flags and access'],
        ['tags', shown.tags?.join(', ') ?? 'any'],
        [
          'secrets',
          Object.entries(shown.secrets)
            .map(([name, { hint }]) => `${name} …${hint}`)
            .join(', '),
        ],
        ['paused', shown.paused === null ? '' : `since ${momentText(shown.paused.at)}: ${shown.paused.why}`],
        ['problem', delivery.problem ?? ''],
        ['waiting', `${delivery.waiting}${delivery.nextTryAt === null ? '' : `, next try ${momentText(delivery.nextTryAt)}`}`],
        ['left out', delivery.leftOut === 0 ? '' : countText(delivery.leftOut, 'message')],
      ]
      for (const [label, text] of rows) if (text !== '') output.line(`  ${output.colors.dim(label.padEnd(9))} ${text}`)
      for (const { component, flags } of shown.statuspage?.components ?? []) output.line(`  component ${component}: ${flags.join(', ')}`)
    })
}

function addEdit(parent: Command): void {
  const command = parent
    .command('edit')
    .description('Edit a notifier: what is given is replaced, the rest stays.')
    .argument('<notifier>')
    .option('--enable', 'hear of changes again')
    .option('--disable', 'hear of nothing, and keep what waits')
    .option('--rotate', 'of a webhook: make a new signing secret, shown once; the one before signs as well')
    .option('--forget-previous', 'of a webhook: the one before signs no longer')
  withFields(command).action(
    async (
      key: string,
      options: FieldOptions & { enable?: boolean; disable?: boolean; rotate?: boolean; forgetPrevious?: boolean },
      self: Command,
    ) => {
      const session = openSession(self, { environmentNamed: true })
      const path = `${session.environmentPath}${at`/notifiers/${key}`}`
      const secrets: Record<string, string | null> = options.forgetPrevious === true ? { signingPrevious: null } : {}
      if (options.secret !== undefined) {
        const { kind } = await session.client().call<Shown>(path)
        const [name, what] = SECRETS[kind]
        secrets[name] = await askSecret('--secret', what, options.secret)
      }
      const body = {
        ...fieldsOf(options),
        ...(options.enable === true ? { enabled: true } : options.disable === true ? { enabled: false } : {}),
        ...(options.rotate === true ? { rotate: true } : {}),
        ...(Object.keys(secrets).length === 0 ? {} : { secrets }),
      }
      if (Object.keys(body).length === 0) throw usage('Nothing was given to be changed.', 'See "sluice notifiers edit --help".')
      const written = await session.client().call<NotifierWritten>(path, { method: 'PATCH', body, query: session.write })
      const done = written.dryRun === true ? 'WOULD CHANGE' : written.change === null ? 'NOTHING TO CHANGE:' : 'CHANGED'
      await report(session, written, `${done} notifier ${key} in ${session.place}`, null)
    },
  )
}

async function report(session: Session, written: NotifierWritten, title: string, undo: string[] | null): Promise<void> {
  await reportWrite(session, written, null, {
    title,
    rows: [],
    undo: undo === null ? null : [...undo, '-e', session.settings.environment],
    ...(written.secret === undefined
      ? { next: `see that it works: sluice notifiers test ${written.notifier.key} -e ${session.settings.environment}` }
      : {}),
  })
  if (written.secret === undefined) return
  session.output.line('  the signing secret for who receives it; keep it now, it is not shown again:')
  session.output.line(written.secret)
}

function addRemove(parent: Command): void {
  parent
    .command('remove')
    .description('Remove a notifier, its secrets, and what it still had to send.')
    .argument('<notifier>')
    .addHelpText('after', HELP)
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self, { environmentNamed: true })
      const path = `${session.environmentPath}${at`/notifiers/${key}`}`
      const written = await session.client().call<Written>(path, { method: 'DELETE', query: session.write })
      await reportWrite(session, written, null, {
        title: `${written.dryRun === true ? 'WOULD REMOVE' : 'REMOVED'} notifier ${key} in ${session.place}`,
        rows: [],
        undo: null,
        next: 'add it again with its secrets, should it be missed',
      })
    })
}

function addTest(parent: Command): void {
  parent
    .command('test')
    .description('Send a message now that says it is a test, and say what came of it.')
    .argument('<notifier>')
    .addHelpText('after', HELP)
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const path = `${session.environmentPath}${at`/notifiers/${key}/test`}`
      const answer = await session.client().call<{ ok: boolean; text: string; ms: number }>(path, { method: 'POST', waitMs: 20_000 })
      output.data(answer)
      output.line(
        `${answer.ok ? output.colors.green('WORKS') : output.colors.red('FAILED')}: ${key} in ${session.place}: ${answer.text.replace(/\.$/, '')}, after ${answer.ms} ms`,
      )
      if (!answer.ok) session.exit(EXIT.refused)
    })
}

function addPause(parent: Command, action: 'pause' | 'resume'): void {
  parent
    .command(action)
    .description(
      action === 'pause' ? 'Pause a notifier: what it has to send waits.' : 'Resume a notifier: what waits is sent, the oldest first.',
    )
    .argument('<notifier>')
    .addHelpText('after', HELP)
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self, { environmentNamed: true })
      const path = `${session.environmentPath}${at`/notifiers/${key}`}/${action}`
      const written = await session.client().call<NotifierWritten>(path, { method: 'POST', query: session.write })
      const done =
        written.change === null
          ? `ALREADY ${action.toUpperCase()}D`
          : `${written.dryRun === true ? 'WOULD HAVE ' : ''}${action.toUpperCase()}D`
      await reportWrite(session, written, null, {
        title: `${done} notifier ${key} in ${session.place}`,
        rows: [],
        undo: ['notifiers', action === 'pause' ? 'resume' : 'pause', key, '-e', session.settings.environment],
      })
    })
}

function addDeliveries(parent: Command): void {
  parent
    .command('deliveries')
    .description('What a notifier sent and has to send, newest first.')
    .argument('<notifier>')
    .option('--limit <count>', 'how many', '20')
    .addHelpText('after', HELP)
    .action(async (key: string, options: { limit: string }, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const path = `${session.environmentPath}${at`/notifiers/${key}/deliveries`}`
      const answer = await session.client().call<{ deliveries: readonly SentMessage[] }>(path, { query: { limit: options.limit } })
      output.data(answer)
      const rows = answer.deliveries.map(each => [
        momentText(each.at),
        each.state,
        String(each.tries),
        each.nextAt === null || each.tries === 0 ? '' : momentText(each.nextAt),
        each.lastText ?? '',
        each.title,
      ])
      if (rows.length === 0) return output.line(`${key} has sent nothing yet, and nothing waits.`)
      for (const line of table([['AT', 'STATE', 'FAILED', 'NEXT TRY', 'LAST ANSWER', 'MESSAGE'], ...rows])) output.line(line)
    })
}
