/** `sluice keys`: list, create and revoke the keys that let programs and people in. */
import { type Command, Option } from 'commander'
import type { Grant, KeyKind, Role } from '../../schemas/accesskey.ts'
import type { ListedKey } from '../answers.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { usage } from '../failure.ts'
import { momentAhead, momentText } from '../moment.ts'
import { table } from '../output.ts'
import { openSession, type Session } from '../session.ts'

const KINDS: readonly KeyKind[] = ['server', 'client', 'admin', 'hook']
const ROLES: readonly Role[] = ['viewer', 'operator', 'editor', 'admin']

interface CreateOptions {
  readonly kind: KeyKind
  readonly name: string
  readonly grant: readonly string[]
  readonly expires?: string
}

const HELP = `
Examples:
  $ sluice keys
  $ sluice keys create --kind server --name shop -e production
  $ sluice keys create --kind admin --name "night shift" --grant operator:default/production --expires 90d
  $ sluice keys create --kind admin --name dana --grant editor:default --grant admin:default/development
  $ sluice keys revoke 7Hq2

A grant is a role (viewer, operator, editor, admin), over everything or role:project or role:project/environment. The
new key is shown once, alone on stdout's last line: it cannot be read again.`

export function addKeys(program: Command): void {
  const keys = program
    .command('keys')
    .summary('keys: list, create, revoke')
    .description('Keys: server (SDKs of one environment), client (browsers), admin (people and tools, with roles), hook.')
    .addHelpText('after', HELP)
  keys
    .command('list', { isDefault: true })
    .description('List the keys; secrets are not kept, so none are shown.')
    .action(async (_options: object, self: Command) => list(openSession(self)))
  addCreate(keys)
  addRevoke(keys)
}

async function list(session: Session): Promise<void> {
  const { output } = session
  const answer = await session.client().call<{ keys: readonly ListedKey[] }>('/api/v1/keys')
  output.data(answer)
  const rows = answer.keys.map(key => [
    key.id,
    key.kind,
    key.name,
    reachText(key),
    whenText(key.createdAt, 'at start'),
    whenText(key.expiresAt, 'never'),
  ])
  for (const line of table([['ID', 'KIND', 'NAME', 'REACHES', 'CREATED', 'EXPIRES'], ...rows])) output.line(line)
}

function whenText(moment: string | null | undefined, otherwise: string): string {
  return moment === undefined || moment === null ? otherwise : momentText(moment)
}

/** What a key may do where: `operator in default/production`. */
export function reachText(key: { kind: KeyKind; grants?: readonly Grant[]; project?: string | null; environment?: string | null }): string {
  if (key.kind !== 'admin') return `${key.project ?? '?'}/${key.environment ?? '?'}`
  return (key.grants ?? [])
    .map(
      grant =>
        `${grant.role} ${grant.project === undefined ? 'everywhere' : `in ${grant.project}${grant.environment === undefined ? '' : `/${grant.environment}`}`}`,
    )
    .join(', ')
}

function addCreate(parent: Command): void {
  parent
    .command('create')
    .description('Create a key and show it, once.')
    .addOption(new Option('--kind <kind>', 'what it is for').choices(KINDS).makeOptionMandatory())
    .requiredOption('--name <text>', 'who or what will use it')
    .option('--grant <role[:project[/environment]]>', 'for an admin key: what it may do where; may be repeated', collect, [])
    .option('--expires <when>', 'when it ends: 90d, or a moment')
    .addHelpText('after', HELP)
    .action(async (options: CreateOptions, self: Command) => {
      const isAdmin = options.kind === 'admin'
      const session = openSession(self, { environmentNamed: !isAdmin })
      const { output, settings } = session
      if (isAdmin && options.grant.length === 0)
        throw usage('An admin key needs a grant.', 'Give it as in --grant operator:default/production, or --grant admin for everything.')
      if (!isAdmin && options.grant.length > 0)
        throw usage(`A ${options.kind} key takes no grant.`, 'It is for one environment: name it with -e.')
      const body = {
        kind: options.kind,
        name: options.name,
        ...(isAdmin ? { grants: options.grant.map(parseGrant) } : { project: settings.project, environment: settings.environment }),
        ...(options.expires === undefined ? {} : { expiresAt: momentAhead(options.expires, '--expires', Date.now()) }),
      }
      const answer = await session
        .client()
        .call<{ key: ListedKey; token?: string; dryRun?: boolean }>('/api/v1/keys', { method: 'POST', body, query: session.write })
      output.data(answer)
      const title = answer.dryRun === true ? 'WOULD CREATE' : 'CREATED'
      output.line(
        `${output.colors.bold(`${title} ${options.kind} key ${JSON.stringify(options.name)}`)}: ${reachText({ ...answer.key, kind: options.kind })}`,
      )
      if (answer.dryRun === true || answer.token === undefined) return
      output.line(`  undo: sluice keys revoke ${answer.key.id}`)
      output.line('  keep it now, it is not shown again:')
      output.line(answer.token)
    })
}

function parseGrant(text: string): Grant {
  const match = /^([a-z]+)(?::([^/]+)(?:\/(.+))?)?$/.exec(text)
  const role = ROLES.find(known => known === match?.[1])
  if (match === null || role === undefined)
    throw usage(`--grant ${text} cannot be taken.`, `Write it as in --grant operator:default/production; roles are ${ROLES.join(', ')}.`)
  return { role, ...(match[2] === undefined ? {} : { project: match[2] }), ...(match[3] === undefined ? {} : { environment: match[3] }) }
}

function addRevoke(parent: Command): void {
  parent
    .command('revoke')
    .description('End a key; who uses it is refused from now on, and its streams are closed.')
    .argument('<id>', 'as "sluice keys" lists it; not the key itself')
    .addHelpText('after', HELP)
    .action(async (id: string, _options: object, self: Command) => {
      const session = openSession(self)
      const { output } = session
      // A whole key belongs neither into a shell's history nor into a path that servers log.
      if (id.startsWith('slc_'))
        throw usage(
          'That is a key, not the id of one.',
          'Give the part after its kind, or the id that "sluice keys" lists. If others may have seen it, revoke it.',
        )
      const answer = await session.client().call<{ dryRun?: boolean }>(at`/api/v1/keys/${id}`, { method: 'DELETE', query: session.write })
      output.data(answer)
      output.line(
        `${output.colors.bold(`${answer.dryRun === true ? 'WOULD REVOKE' : 'REVOKED'} key ${id}`)}: who uses it is refused from now on. This cannot be undone; create another with "sluice keys create".`,
      )
    })
}
