/**
 * Does what a chat command asks, with the permissions of the key that the person is linked to, through the same code as the
 * API; answers in Slack's mrkdwn. Every answer to a write names the flag, the environment, who is affected and how to undo it.
 */
import type { Chat } from '../../schemas/chat.ts'
import type { Actor } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Kill } from '../../schemas/kill.ts'
import { type Access, hasRole } from '../access/policy.ts'
import { moment } from '../clock.ts'
import { environmentLog, environmentsOf } from '../environments/find.ts'
import { findFlag } from '../flags/find.ts'
import { killEdits, type Killing, laidOver, lifted } from '../kills/kill.ts'
import { logOf } from '../log/types.ts'
import { downstreamOf } from '../rulesets/check.ts'
import type { Services } from '../services.ts'
import { type Command, HELP } from './command.ts'
import { clausesText, code, escaped, receiptsText, sinceText } from './words.ts'

/** Slack wants its answer within 3 s: receipts are waited for this long and counted as they stand then. */
const RECEIPTS_MS = 1_500
/** Kills and valves named in one answer. */
const NAMED_MAX = 20

/** Who types. */
export interface Caller {
  readonly chat: Chat
  readonly access: Access
  readonly actor: Actor
}

export interface Reply {
  readonly text: string
  /** Whether the whole channel reads it: what changed something. */
  readonly isPublic: boolean
}

type Parts = Pick<Services, 'log' | 'hub' | 'clock' | 'valves'>

/** Errors: `FORBIDDEN`, `ENVIRONMENT_NOT_FOUND`, `FLAG_NOT_FOUND`, and those of the API for the same request. */
export async function answerCommand(parts: Parts, caller: Caller, command: Command): Promise<Reply> {
  switch (command.name) {
    case 'help':
      return { text: HELP, isPublic: false }
    case 'status':
      return { text: statusText(parts, caller, command.environment), isPublic: false }
    case 'valves':
      return { text: valvesText(parts, caller, command.environment), isPublic: false }
    case 'kill':
      return killed(parts, caller, command)
    case 'lift':
      return liftedText(parts, caller, command)
    case 'throttle':
    case 'release':
      return throttled(parts, caller, command)
  }
}

async function killed(parts: Parts, caller: Caller, command: Extract<Command, { name: 'kill' }>): Promise<Reply> {
  const place = placeOf(parts, caller, command.environment, 'operator')
  const now = parts.clock.now()
  const request = {
    reason: command.reason,
    ...(command.clauses.length === 0 ? {} : { clauses: [...command.clauses] }),
    ...(command.forMs === null ? {} : { until: moment(now + command.forMs) }),
  }
  let killing: Killing | undefined
  const commit = await parts.log.commit({
    log: place.log,
    actor: caller.actor,
    action: 'flag.kill',
    comment: command.reason,
    evenIfStorageFails: true,
    plan(state) {
      killing = laidOver(state, findFlag(state, command.flag), request, { actor: caller.actor.name, now })
      return killEdits([killing])
    },
  })
  const { kill, existing, flag } = killing!
  const where = `${code(flag.key)} in *${escaped(place.environment)}*`
  if (existing) return { text: `${where} is killed so already: ${killText(kill, now)}. Nothing was changed.`, isPublic: false }
  const downstream = downstreamOf(parts.log.state(place.log).documents.flag, [flag.key])
  const receipts = await parts.hub.arrived(place.log, commit.revision, RECEIPTS_MS)
  const lines = [
    `:octagonal_sign: *Killed* ${where} for ${clausesText(kill.clauses)}: it serves ${code(kill.variation)}${kill.until === null ? '' : `, until ${kill.until}`}.`,
    `Why: ${escaped(kill.reason)} (${escaped(caller.actor.name)})`,
    ...(downstream.length === 0 ? [] : [`Goes with it: ${downstream.slice(0, NAMED_MAX).map(code).join(', ')}`]),
    `${receiptsText(receipts)}${commit.volatile ? ' The change could not be stored yet; it is published, and stored when storage returns.' : ''}`,
    `Undo: ${code(`/sluice lift ${flag.key} ${place.environment}`)}`,
  ]
  return { text: lines.join('\n'), isPublic: true }
}

async function liftedText(parts: Parts, caller: Caller, command: { flag: string; environment: string; reason: string }): Promise<Reply> {
  const place = placeOf(parts, caller, command.environment, 'operator')
  let gone: readonly Kill[] = []
  const commit = await parts.log.commit({
    log: place.log,
    actor: caller.actor,
    action: 'flag.lift',
    comment: command.reason === '' ? null : command.reason,
    evenIfStorageFails: true,
    plan(state) {
      const flag = findFlag(state, command.flag)
      gone = flag.kills
      return [{ type: 'flag', key: flag.key, after: lifted(flag, () => true) }]
    },
  })
  const where = `${code(command.flag)} in *${escaped(place.environment)}*`
  if (gone.length === 0) return { text: `No kill stands on ${where}. Nothing was changed.`, isPublic: false }
  const receipts = await parts.hub.arrived(place.log, commit.revision, RECEIPTS_MS)
  const lines = [
    `:white_check_mark: *Lifted* ${where}: what stood before is in force again (${escaped(caller.actor.name)}).`,
    ...gone
      .slice(0, NAMED_MAX)
      .map(kill => `It was killed for ${clausesText(kill.clauses)}: ${escaped(kill.reason)} (${escaped(kill.actor)})`),
    receiptsText(receipts),
  ]
  return { text: lines.join('\n'), isPublic: true }
}

async function throttled(
  parts: Parts,
  caller: Caller,
  command: Extract<Command, { name: 'throttle' | 'lift' | 'release' }>,
): Promise<Reply> {
  const place = placeOf(parts, caller, command.environment, 'operator')
  const by = { actor: caller.actor, comment: 'reason' in command ? command.reason : '' }
  const where = `${code(command.flag)} in *${escaped(place.environment)}*`
  if (command.name !== 'throttle') {
    const commit = await parts.valves.release(place.log, command.flag, by)
    if (commit.change === null) return { text: `${where} was not held. Nothing was changed.`, isPublic: false }
    const receipts = await parts.hub.arrived(place.log, commit.revision, RECEIPTS_MS)
    return { text: `:white_check_mark: ${where} moves by its own rules again.\n${receiptsText(receipts)}`, isPublic: true }
  }
  const commit = await parts.valves.throttle(place.log, command.flag, command.percent, by)
  if (commit.change === null) return { text: `${where} lets ${command.percent} % through already. Nothing was changed.`, isPublic: false }
  const receipts = await parts.hub.arrived(place.log, commit.revision, RECEIPTS_MS)
  const undo = command.percent === 0 ? 'lift' : 'release'
  const lines = [
    `:vertical_traffic_light: ${where} now lets *${command.percent} %* of calls through; nothing automatic raises that.`,
    `Why: ${escaped(by.comment)} (${escaped(caller.actor.name)})`,
    receiptsText(receipts),
    `Undo: ${code(`/sluice ${undo} ${command.flag} ${place.environment}`)}`,
  ]
  return { text: lines.join('\n'), isPublic: true }
}

function statusText(parts: Parts, caller: Caller, named: string | null): string {
  const now = parts.clock.now()
  return placesOf(parts, caller, named)
    .map(({ log, environment }) => {
      const flags = [...parts.log.state(log).documents.flag.values()]
      const kills = flags.flatMap(flag => flag.kills.map(kill => `• ${code(flag.key)} killed for ${killText(kill, now)}`))
      const valves = flags.flatMap(flag => {
        const line = flag.kind === 'safety-valve' && flag.kills.length === 0 ? valveLine(parts, log, flag, now) : null
        return line === null || line.isUsual ? [] : [line.text]
      })
      const lines = [...kills, ...valves]
      const instances = parts.hub.instances(log).length
      const head = `*${escaped(environment)}*, ${instances} ${instances === 1 ? 'instance' : 'instances'} connected`
      return lines.length === 0 ? `${head}: everything is as usual.` : [`${head}:`, ...bounded(lines)].join('\n')
    })
    .join('\n')
}

function valvesText(parts: Parts, caller: Caller, named: string | null): string {
  const now = parts.clock.now()
  return placesOf(parts, caller, named)
    .map(({ log, environment }) => {
      const valves = [...parts.log.state(log).documents.flag.values()].filter(({ kind }) => kind === 'safety-valve')
      if (valves.length === 0) return `*${escaped(environment)}*: no safety valves.`
      return [`*${escaped(environment)}*`, ...bounded(valves.map(flag => valveLine(parts, log, flag, now).text))].join('\n')
    })
    .join('\n')
}

function valveLine(parts: Parts, log: string, flag: Flag, now: number): { readonly text: string; readonly isUsual: boolean } {
  const [kill] = flag.kills
  if (kill !== undefined) return { text: `• ${code(flag.key)} *cut* for ${killText(kill, now)}`, isUsual: false }
  if (!flag.enabled) return { text: `• ${code(flag.key)} *off*: serves ${code(flag.offVariation)}`, isUsual: false }
  const record = parts.valves.record(log, flag.key)
  const state = record?.state ?? 'flowing'
  const more = record === null ? '' : `, lets ${Math.round(record.admit * 100)} % through, ${sinceText(record.since, now)}`
  return { text: `• ${code(flag.key)} *${state}*${more}`, isUsual: state === 'flowing' }
}

function killText(kill: Kill, now: number): string {
  const until = kill.until === null ? '' : `, until ${kill.until}`
  return `${clausesText(kill.clauses)}: ${escaped(kill.reason)} (${escaped(kill.actor)}, ${sinceText(kill.at, now)}${until})`
}

function bounded(lines: readonly string[]): string[] {
  if (lines.length <= NAMED_MAX) return [...lines]
  return [...lines.slice(0, NAMED_MAX), `… and ${lines.length - NAMED_MAX} more`]
}

interface Place {
  readonly log: string
  readonly environment: string
}

/** The environment meant: a name of the chat's own, its key, or the one key that begins so. */
function placeOf(parts: Parts, { chat, access }: Caller, named: string, role: 'viewer' | 'operator'): Place {
  const keys = environmentsOf(parts, chat.project).map(({ environment }) => environment)
  const beginning = keys.filter(key => key.startsWith(named))
  const environment = Object.hasOwn(chat.environments, named)
    ? chat.environments[named]!
    : keys.includes(named)
      ? named
      : beginning.length === 1
        ? beginning[0]!
        : named
  const mayLook = hasRole(access, role, chat.project, environment)
  if (!mayLook) {
    throw new SluiceError(
      'FORBIDDEN',
      `You act with key "${access.name}", which does not have the role ${role} over "${logOf(chat.project, environment)}". Ask an admin for one that has.`,
    )
  }
  return { log: environmentLog(parts, { project: chat.project, environment }), environment }
}

/** The one that is named, else all that the caller may see. */
function placesOf(parts: Parts, caller: Caller, named: string | null): Place[] {
  if (named !== null) return [placeOf(parts, caller, named, 'viewer')]
  const places = environmentsOf(parts, caller.chat.project)
    .filter(({ environment }) => hasRole(caller.access, 'viewer', caller.chat.project, environment))
    .map(({ environment }) => ({ log: logOf(caller.chat.project, environment), environment }))
  if (places.length > 0) return places
  throw new SluiceError('FORBIDDEN', `You act with key "${caller.access.name}", which sees no environment of "${caller.chat.project}".`)
}
