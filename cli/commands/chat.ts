/** `sluice chat`: which Slack workspaces may give commands, and as whom each person there acts. */
import type { Command } from 'commander'
import type { Chat } from '../../schemas/chat.ts'
import { askSecret } from '../ask.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { usage } from '../failure.ts'
import { table } from '../output.ts'
import { openSession, type Session } from '../session.ts'

const HELP = `
Examples:
  $ sluice chat add ops --secret - --short prod=production < signing-secret.txt
  $ sluice chat link ops --user U024BE7LH --as dana --key 7Hq2
  $ sluice chat
  $ sluice chat edit ops --secret - --drop-others < new-signing-secret.txt
  $ sluice chat unlink ops --user U024BE7LH

The slash command of the Slack app calls https://<this server>/chat/slack/<chat>. Who is not linked may do nothing; who
is has the permissions of the admin key that the link names, and the log says who it was.`

interface AddOptions {
  readonly secret?: string
  readonly short: readonly string[]
  readonly dropOthers?: boolean
}

interface Answer {
  readonly chat: Chat | null
  readonly dryRun?: boolean
}

export function addChat(program: Command): void {
  const chat = program
    .command('chat')
    .summary('chat: list, add, edit, link, unlink, remove')
    .description('Slack workspaces that may give commands, and as whom each person there acts.')
    .addHelpText('after', HELP)
  chat
    .command('list', { isDefault: true })
    .description('List the chats with the people who are linked.')
    .action(async (_options: object, self: Command) => list(openSession(self)))
  chat
    .command('add')
    .description('Let a Slack workspace give commands about the project.')
    .argument('<chat>', 'a name of your choice: part of the URL that Slack calls')
    .option('--secret <secret>', "the signing secret of the Slack app; - reads it from stdin (default: it's asked for)")
    .option('--short <name=environment>', 'a short name for an environment; may be repeated', collect, [])
    .addHelpText('after', HELP)
    .action(async (key: string, options: AddOptions, self: Command) => {
      const session = openSession(self)
      const secret = await askSecret('--secret', 'The signing secret', options.secret)
      const body = { key, secret, project: session.settings.project, environments: environmentsOf(options.short) }
      const answer = await session.client().call<Answer>('/api/v1/chats', { method: 'POST', body, query: session.write })
      tell(session, answer, `chat ${key}`, 'CREATED', 'WOULD CREATE')
      if (answer.dryRun === true) return
      session.output.line(`  in Slack: a slash command /sluice that calls ${session.settings.url}/chat/slack/${key}`)
      session.output.line(`  then link people: sluice chat link ${key} --user <Slack user id> --as <name> --key <id of an admin key>`)
      session.output.line(`  undo: sluice chat remove ${key}`)
    })
  chat
    .command('edit')
    .description('Add a signing secret (good beside the others), or change the short names.')
    .argument('<chat>')
    .option('--secret <secret>', 'one more signing secret; - reads it from stdin')
    .option('--drop-others', 'the former secrets end')
    .option('--short <name=environment>', 'a short name for an environment; may be repeated; replaces all former ones', collect, [])
    .addHelpText('after', HELP)
    .action(async (key: string, options: AddOptions, self: Command) => {
      const session = openSession(self)
      const body = {
        ...(options.secret === undefined ? {} : { secret: await askSecret('--secret', 'The signing secret', options.secret) }),
        ...(options.dropOthers === true ? { dropOthers: true } : {}),
        ...(options.short.length === 0 ? {} : { environments: environmentsOf(options.short) }),
      }
      if (Object.keys(body).length === 0) throw usage('Nothing to change was given.', 'Give --secret, --short or --drop-others.')
      const answer = await session.client().call<Answer>(at`/api/v1/chats/${key}`, { method: 'PATCH', body, query: session.write })
      tell(session, answer, `chat ${key}`, 'CHANGED', 'WOULD CHANGE')
    })
  chat
    .command('link')
    .description('Let a person of the chat act with the permissions of an admin key.')
    .argument('<chat>')
    .requiredOption('--user <id>', 'their Slack user id; /sluice tells them theirs')
    .requiredOption('--as <name>', 'how the log names them')
    .requiredOption('--key <id>', 'the id of an admin key, as "sluice keys" lists it; not the key itself')
    .addHelpText('after', HELP)
    .action(async (key: string, options: { user: string; as: string; key: string }, self: Command) => {
      const session = openSession(self)
      if (options.key.startsWith('slc_')) throw usage('That is a key, not the id of one.', 'Give the id that "sluice keys" lists.')
      const body = { keyId: options.key, name: options.as }
      const path = at`/api/v1/chats/${key}/links/${options.user}`
      const answer = await session.client().call<Answer>(path, { method: 'PUT', body, query: session.write })
      tell(session, answer, `${options.as} (${options.user}) to key ${options.key}`, 'LINKED', 'WOULD LINK')
      if (answer.dryRun !== true) session.output.line(`  undo: sluice chat unlink ${key} --user ${options.user}`)
    })
  chat
    .command('unlink')
    .description('Take a person of the chat their permissions away.')
    .argument('<chat>')
    .requiredOption('--user <id>', 'their Slack user id')
    .action(async (key: string, options: { user: string }, self: Command) => {
      const session = openSession(self)
      const path = at`/api/v1/chats/${key}/links/${options.user}`
      const answer = await session.client().call<Answer>(path, { method: 'DELETE', query: session.write })
      tell(session, answer, options.user, 'UNLINKED', 'WOULD UNLINK')
    })
  chat
    .command('remove')
    .description('Take the workspace its commands away.')
    .argument('<chat>')
    .action(async (key: string, _options: object, self: Command) => {
      const session = openSession(self)
      const answer = await session.client().call<Answer>(at`/api/v1/chats/${key}`, { method: 'DELETE', query: session.write })
      tell(session, answer, `chat ${key}`, 'REMOVED', 'WOULD REMOVE')
    })
}

async function list(session: Session): Promise<void> {
  const { output } = session
  const answer = await session.client().call<{ chats: readonly Chat[] }>('/api/v1/chats')
  output.data(answer)
  if (answer.chats.length === 0) {
    output.line('No chats yet. Next: sluice chat add ops --secret - < signing-secret.txt')
    return
  }
  const rows = answer.chats.flatMap(chat => {
    const short = Object.entries(chat.environments).map(([name, environment]) => `${name}=${environment}`)
    const people = Object.entries(chat.links)
    const first = [chat.key, chat.project, short.join(' ') || '-']
    if (people.length === 0) return [[...first, '-', 'nobody yet', '-']]
    return people.map(([user, { name, keyId }], i) => [...(i === 0 ? first : ['', '', '']), user, name, keyId])
  })
  for (const line of table([['CHAT', 'PROJECT', 'SHORT NAMES', 'USER', 'NAME', 'KEY'], ...rows])) output.line(line)
}

function tell({ output }: Session, answer: Answer, what: string, done: string, would: string): void {
  output.data(answer)
  output.line(`${output.colors.bold(answer.dryRun === true ? would : done)} ${what}`)
}

function environmentsOf(short: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    short.map(text => {
      const at = text.indexOf('=')
      if (at < 1 || at === text.length - 1) throw usage(`--short ${text} cannot be taken.`, 'Write it as in --short prod=production.')
      return [text.slice(0, at), text.slice(at + 1)]
    }),
  )
}
