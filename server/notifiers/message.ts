/**
 * What people are told of a change or a notice: one text for every way out. It says what was done where, who is
 * affected, what happens next, and how to undo it. Pure.
 */
import type { Action, Change } from '../../schemas/change.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Kill } from '../../schemas/kill.ts'
import type { Notifier, NoticeTopic } from '../../schemas/notifier.ts'
import type { Trigger } from '../../schemas/trigger.ts'
import type { ValveCause, ValveRecord } from '../../schemas/valve.ts'
import { ACTION_WORDS } from '../../schemas/words.ts'
import type { Notice } from '../services.ts'
import { affectedText, commandText, countText, cutText, listText, momentText, percentText, serveText } from './words.ts'

const TITLE_LENGTH_MAX = 300
const LINE_LENGTH_MAX = 600
/** Flags named in full; a change of an import touches thousands. */
const FLAGS_MAX = 50
/** Ids of kills that an undo command names before it is left to the reader. */
const IDS_MAX = 20
/** Flags of one change that tools which keep track of incidents are told of. */
export const INCIDENTS_MAX = 100

export type Severity = Notice['severity']

export interface Message {
  /** The action of the change, or `notice.` and the topic. */
  readonly type: string
  readonly at: string
  readonly project: string
  readonly environment: string
  /** Null for what is no change. */
  readonly revision: number | null
  readonly actor: string | null
  readonly why: string | null
  readonly severity: Severity
  /** One line: what, where. */
  readonly title: string
  /** Who is affected, and what happens next. */
  readonly lines: readonly string[]
  /** The command that undoes it. */
  readonly undo: string | null
  /** At most 50. */
  readonly flags: readonly string[]
  /** What begins or ends with it, for tools that keep track. At most 100. */
  readonly incidents: readonly Incident[]
  /** Whether it is worth saying how far it has arrived. */
  readonly isArriving: boolean
}

export interface Incident {
  readonly dedupKey: string
  readonly flag: string | null
  readonly isResolved: boolean
  readonly summary: string
  readonly severity: Severity
}

/** A message, and what decides who hears it. */
export interface Heard {
  readonly message: Message
  readonly topics: readonly NoticeTopic[]
  /** Of the flags it is about; null when it is about none. */
  readonly tags: readonly string[] | null
}

const DEFAULT_TOPICS: readonly NoticeTopic[] = ['kills', 'valves', 'rollouts', 'limits', 'triggers', 'trouble']

export function isHeardBy({ topics, tags }: Pick<Heard, 'topics' | 'tags'>, notifier: Pick<Notifier, 'topics' | 'tags'>): boolean {
  const wanted = notifier.topics ?? DEFAULT_TOPICS
  if (!topics.some(topic => wanted.includes(topic))) return false
  return notifier.tags === undefined || tags === null || tags.some(tag => notifier.tags?.includes(tag))
}

type Place = Pick<Message, 'project' | 'environment'>

/** @param log `project/environment` @param flagOf the flags of the environment, for edits that only name one */
export function messageOf(log: string, change: Change, flagOf: (key: string) => Flag | undefined): Heard {
  const place = placeOf(log)
  const touched = touchedBy(change)
  const told = tell(change, touched, place)
  const flags = touched.flags.length > 0 ? touched.flags.map(each => each.key) : touched.about
  const tags = flags.flatMap(key => touched.flags.find(each => each.key === key)?.flag.tags ?? flagOf(key)?.tags ?? [])
  return {
    topics: topicsOf(change.action, touched),
    tags: flags.length === 0 ? null : tags,
    message: {
      type: change.action,
      at: change.at,
      ...place,
      revision: change.revision,
      actor: change.actor.name,
      why: change.comment === null || change.comment === '' ? null : cutText(change.comment, LINE_LENGTH_MAX),
      severity: told.severity,
      title: cutText(told.title, TITLE_LENGTH_MAX),
      lines: told.lines.map(line => cutText(line, LINE_LENGTH_MAX)),
      undo: told.undo === null ? null : commandText([...told.undo, ...repeated(place)]),
      flags: flags.slice(0, FLAGS_MAX),
      incidents: incidentsOf(touched, place).slice(0, INCIDENTS_MAX),
      isArriving: touched.flags.length > 0,
    },
  }
}

export function messageOfNotice(notice: Notice, at: string, flagOf: (key: string) => Flag | undefined): Heard {
  const { log, topic, severity, flag = null, dedupKey, isResolved = false } = notice
  const title = cutText(notice.title, TITLE_LENGTH_MAX)
  return {
    topics: [topic],
    tags: flag === null ? null : (flagOf(flag)?.tags ?? []),
    message: {
      type: `notice.${topic}`,
      at,
      ...placeOf(log),
      revision: null,
      actor: null,
      why: null,
      severity,
      title,
      lines: notice.text === '' ? [] : [cutText(notice.text, LINE_LENGTH_MAX)],
      undo: null,
      flags: flag === null ? [] : [flag],
      incidents:
        dedupKey === undefined || (severity === 'info' && !isResolved)
          ? []
          : [{ dedupKey: `sluice/${log}/${dedupKey}`, flag, isResolved, summary: title, severity }],
      isArriving: false,
    },
  }
}

function placeOf(log: string): Place {
  const [project = '', environment = ''] = log.split('/')
  return { project, environment }
}

/** The environment as people name it: the first project goes without saying. */
function whereText({ project, environment }: Place): string {
  return project === 'default' ? environment : `${project}/${environment}`
}

function repeated({ project, environment }: Place): string[] {
  return [...(project === 'default' ? [] : ['-p', project]), '-e', environment]
}

interface TouchedFlag {
  readonly key: string
  /** As it stands afterwards; a removed one as it stood. */
  readonly flag: Flag
  readonly before: Flag | null
  readonly after: Flag | null
  readonly laid: readonly Kill[]
  readonly taken: readonly Kill[]
}

interface Touched {
  readonly flags: readonly TouchedFlag[]
  readonly valves: readonly ValveRecord[]
  readonly trigger: Trigger | null
  readonly notifier: Notifier | null
  /** Flags that are only named: those of plans, schedules and valves. */
  readonly about: readonly string[]
}

function touchedBy(change: Change): Touched {
  const flags: TouchedFlag[] = []
  const valves: ValveRecord[] = []
  const about: string[] = []
  let trigger: Trigger | null = null
  let notifier: Notifier | null = null
  for (const edit of change.edits) {
    const [before, after] = [edit.before as unknown, edit.after as unknown]
    if (edit.type === 'flag') flags.push(touchedFlag(edit.key, before as Flag | null, after as Flag | null))
    else if (edit.type === 'valve' && after !== null) valves.push(after as ValveRecord)
    else if (edit.type === 'trigger') trigger = (after ?? before) as Trigger
    else if (edit.type === 'notifier') notifier = (after ?? before) as Notifier
    if (edit.type === 'valve' || edit.type === 'plan') about.push(edit.key)
    if (edit.type === 'schedule') about.push(((after ?? before) as { readonly flag: string }).flag)
  }
  return { flags, valves, trigger, notifier, about: [...new Set(about)] }
}

function touchedFlag(key: string, before: Flag | null, after: Flag | null): TouchedFlag {
  const [earlier, later] = [before?.kills ?? [], after?.kills ?? []]
  const without = (kills: readonly Kill[], others: readonly Kill[]) => kills.filter(kill => !others.some(({ id }) => id === kill.id))
  return { key, flag: (after ?? before)!, before, after, laid: without(later, earlier), taken: without(earlier, later) }
}

function topicsOf(action: Action, { flags }: Touched): NoticeTopic[] {
  const own = topicOf(action)
  return flags.some(({ laid, taken }) => laid.length + taken.length > 0) && own !== 'kills' ? [own, 'kills'] : [own]
}

function topicOf(action: Action): NoticeTopic {
  switch (action) {
    case 'flag.kill':
    case 'flag.lift':
    case 'flag.expire':
      return 'kills'
    case 'flag.limit':
      return 'limits'
    case 'trigger.fire':
    case 'trigger.restore':
      return 'triggers'
    case 'notifier.pause':
    case 'notifier.resume':
      return 'trouble'
    default:
  }
  const [what] = action.split('.')
  if (what === 'valve') return 'valves'
  if (what === 'rollout' || what === 'schedule') return 'rollouts'
  return what === 'flag' || what === 'segment' || what === 'ruleset' || what === 'change' ? 'flags' : 'access'
}

interface Told {
  readonly title: string
  readonly lines: readonly string[]
  readonly severity: Severity
  /** The words of the command, without the place. */
  readonly undo: readonly string[] | null
}

function tell(change: Change, touched: Touched, place: Place): Told {
  const where = whereText(place)
  if (change.action === 'trigger.fire' && touched.trigger !== null) return toldFire(change, touched, touched.trigger, where)
  const laid = touched.flags.filter(each => each.laid.length > 0)
  if (laid.length > 0) return toldKill(laid, where)
  if (change.action === 'flag.lift' || change.action === 'flag.expire') return toldLift(change, touched.flags, where)
  const [valve] = touched.valves
  if (change.action === 'valve.move' && valve !== undefined) return toldValve(valve, where)
  if (change.action === 'notifier.pause' && touched.notifier !== null) return toldPause(touched.notifier, where)
  return toldChange(change, touched, where)
}

function toldKill(flags: readonly TouchedFlag[], where: string): Told {
  const kills = flags.flatMap(each => each.laid.map(kill => ({ key: each.key, flag: each.flag, kill })))
  const [first] = kills
  const alike = kills.every(
    ({ kill }) => JSON.stringify(kill.clauses) === JSON.stringify(first?.kill.clauses) && kill.until === first?.kill.until,
  )
  const severity = kills.some(({ kill }) => kill.clauses.length === 0) ? 'critical' : 'error'
  const lines =
    alike && first !== undefined
      ? [
          `${flags.length === 1 ? `Serves ${variationText(first.flag, first.kill.variation)} to` : 'For'} ${affectedText(first.kill.clauses)}${first.kill.clauses.length === 0 ? '' : '; everyone else is served as before'}`,
          untilText(first.kill),
        ]
      : kills.slice(0, 10).map(({ key, kill }) => `${key}: ${kill.variation} to ${affectedText(kill.clauses)}. ${untilText(kill)}`)
  if (flags.length > 3) lines.unshift(`Flags: ${listText(flags.map(each => each.key))}`)
  return { title: `KILLED ${namesText(flags)} in ${where}`, lines, severity, undo: liftWords(kills) }
}

function liftWords(kills: readonly { readonly key: string; readonly kill: Kill }[]): string[] | null {
  const flags = new Set(kills.map(({ key }) => key))
  const [flag] = flags
  if (flag === undefined || kills.length > IDS_MAX) return null
  return ['sluice', 'lift', ...(flags.size === 1 ? [flag] : []), ...kills.flatMap(({ kill }) => ['--id', kill.id])]
}

function untilText(kill: Kill): string {
  return kill.until === null ? 'It stands until somebody lifts it' : `It ends by itself at ${momentText(kill.until)}`
}

function toldLift(change: Change, flags: readonly TouchedFlag[], where: string): Told {
  const gone = flags.flatMap(each => each.taken)
  const [first] = gone
  const still = flags.filter(each => (each.after?.kills.length ?? 0) > 0)
  const verb = `${change.action === 'flag.expire' ? 'ENDED BY ITSELF:' : 'LIFTED'} the ${gone.length === 1 ? 'kill' : 'kills'} of`
  const lines = [
    `Was for ${listText([...new Set(gone.map(kill => affectedText(kill.clauses)))])}${first === undefined ? '' : `, because of ${JSON.stringify(cutText(first.reason, 200))}`}`,
    still.length === 0 ? 'What stood below decides again' : `Still killed for some: ${listText(still.map(each => each.key))}`,
  ]
  const [flag] = flags
  const isSimple = flags.length === 1 && gone.length === 1 && first !== undefined && first.clauses.length === 0
  const undo = isSimple && flag !== undefined ? ['sluice', 'kill', flag.key, '-m', cutText(first.reason, 200)] : null
  return { title: `${verb} ${namesText(flags)} in ${where}`, lines, severity: 'info', undo }
}

const CAUSES: Readonly<Record<ValveCause, string>> = {
  setting: 'as it was set',
  failures: 'by itself, as too many calls failed',
  slow: 'by itself, as too many calls were slow',
  overload: 'by itself, as what is behind it refuses more than it takes',
  waited: 'by itself, as its waiting time is over',
  probes: 'by itself, as the probes went well',
  'probe-failed': 'by itself, as a probe failed',
  ramp: 'by itself, step by step',
  fleet: 'for the whole fleet, as enough instances agree',
  restored: 'as it stood before a restart',
}

function toldValve({ key, state, admit, cause, numbers }: ValveRecord, where: string): Told {
  const { calls, failures, slow, rejected, windowMs, inState, instances } = numbers
  const lets = state === 'throttled' || state === 'probing' ? `, lets ${percentText(admit)} through` : ''
  const lines = [
    `It moved ${CAUSES[cause]}`,
    `${failures} of ${countText(calls, 'call')} failed, ${slow} were slow and ${rejected} were turned away in ${windowMs / 1_000} s; ${inState} of ${countText(instances, 'instance')} stand so`,
  ]
  const severity = state === 'cut' ? 'error' : state === 'throttled' ? 'warning' : 'info'
  return { title: `Valve ${key} in ${where} is ${state}${lets}`, lines, severity, undo: null }
}

function toldFire(change: Change, touched: Touched, trigger: Trigger, where: string): Told {
  const kills = touched.flags.flatMap(each => each.laid.map(kill => ({ key: each.key, kill })))
  const below =
    kills.length > 0
      ? toldKill(
          touched.flags.filter(each => each.laid.length > 0),
          where,
        )
      : null
  const { tripped } = trigger
  return {
    title: `Trigger ${trigger.key} fired in ${where}: ${tripped?.text ?? touchedText(change)}`,
    lines: [...(tripped === null ? [] : [`Alert: ${tripped.title}`]), ...(below?.lines ?? flagLines(touched))],
    severity: below?.severity ?? 'warning',
    undo: below === null ? revertWords(change, touched) : below.undo,
  }
}

function toldPause(notifier: Notifier, where: string): Told {
  return {
    title: `Notifier ${notifier.key} is paused in ${where}`,
    lines: [...(notifier.paused === null ? [] : [`Why: ${notifier.paused.why}`]), 'What it has to send waits until it is resumed'],
    severity: 'warning',
    undo: ['sluice', 'notifiers', 'resume', notifier.key],
  }
}

function toldChange(change: Change, touched: Touched, where: string): Told {
  const { action } = change
  const severity = action === 'rollout.revert' ? 'error' : action === 'rollout.hold' ? 'warning' : 'info'
  const words = ACTION_WORDS[action]
  const reverted = change.reverts === null ? '' : ` revision ${change.reverts} of`
  const title = `${words.charAt(0).toUpperCase()}${words.slice(1)}${reverted} ${touchedText(change)} in ${where}`
  return { title, lines: flagLines(touched), severity, undo: undoOf(change, touched) }
}

function undoOf(change: Change, touched: Touched): string[] | null {
  const [flag] = touched.about
  switch (change.action) {
    case 'rollout.start':
    case 'rollout.advance':
    case 'rollout.resume':
      return flag === undefined ? null : ['sluice', 'rollout', 'hold', flag]
    case 'rollout.hold':
      return flag === undefined ? null : ['sluice', 'rollout', 'resume', flag]
    case 'key.create':
      return ['sluice', 'keys', 'revoke', change.edits[0]?.key ?? '']
    case 'notifier.resume':
      return touched.notifier === null ? null : ['sluice', 'notifiers', 'pause', touched.notifier.key]
    default:
      return change.action.startsWith('rollout.') ? null : revertWords(change, touched)
  }
}

/** Only what is of flags and segments can be reverted. */
function revertWords(change: Change, touched: Touched): string[] | null {
  const isRevertible = touched.flags.length > 0 || change.edits.some(edit => edit.type === 'segment')
  return isRevertible ? ['sluice', 'revert', String(change.revision)] : null
}

/** What of a single flag is different, in words where that is a matter of a line. */
function flagLines({ flags }: Touched): string[] {
  const [only] = flags
  if (flags.length > 3) return [`Flags: ${listText(flags.map(each => each.key))}`]
  if (flags.length !== 1 || only === undefined || only.before === null || only.after === null) return []
  const { before, after } = only
  const lines: string[] = []
  if (before.enabled !== after.enabled)
    lines.push(after.enabled ? 'Is on: its rules decide' : `Is off: serves ${variationText(after, after.offVariation)} to everyone`)
  const [earlier, later] = [serveText(before.fallthrough), serveText(after.fallthrough)]
  if (earlier !== later) lines.push(`Whom no rule matches: ${earlier} → ${later}`)
  const parts = (['rules', 'targets', 'prerequisites', 'variations'] as const).filter(
    part => JSON.stringify(before[part]) !== JSON.stringify(after[part]),
  )
  if (parts.length > 0) lines.push(`Changed: ${listText(parts)}`)
  return lines
}

function variationText(flag: Pick<Flag, 'variations'>, key: string): string {
  const variation = flag.variations.find(each => each.key === key)
  return variation === undefined ? key : `${key} (${cutText(JSON.stringify(variation.value), 80)})`
}

function namesText(flags: readonly { readonly key: string }[]): string {
  return flags.length > 3 ? countText(flags.length, 'flag') : listText(flags.map(each => each.key))
}

function touchedText({ edits }: Change): string {
  return edits.length > 3 ? countText(edits.length, 'document') : listText(edits.map(nameOf))
}

/** What people call it: the key, but the name of an access key. */
function nameOf({ type, key, before, after }: Change['edits'][number]): string {
  const document = (after ?? before) as { readonly name?: unknown } | null
  return type === 'key' && typeof document?.name === 'string' ? `${JSON.stringify(document.name)} (${key})` : key
}

/** A kill begins one and the last lift ends it; a valve that is cut begins one, and it ends when the valve flows. */
function incidentsOf({ flags, valves }: Touched, place: Place): Incident[] {
  const where = whereText(place)
  const key = (flag: string, what: string): string => `sluice/${place.project}/${place.environment}/${flag}/${what}`
  const incidents: Incident[] = []
  for (const each of flags) {
    const standing = each.after?.kills ?? []
    if (each.laid.length > 0) {
      const isWhole = standing.some(kill => kill.clauses.length === 0)
      const summary = `KILLED ${each.key} in ${where} for ${isWhole ? 'everyone' : affectedText(each.laid[0]?.clauses ?? [])}`
      incidents.push({
        dedupKey: key(each.key, 'kill'),
        flag: each.key,
        isResolved: false,
        summary,
        severity: isWhole ? 'critical' : 'error',
      })
    } else if (each.taken.length > 0 && standing.length === 0) {
      const summary = `No kill stands on ${each.key} in ${where}`
      incidents.push({ dedupKey: key(each.key, 'kill'), flag: each.key, isResolved: true, summary, severity: 'info' })
    }
  }
  for (const { key: flag, state } of valves) {
    if (state !== 'cut' && state !== 'flowing') continue
    const summary = `Valve ${flag} in ${where} is ${state}`
    incidents.push({
      dedupKey: key(flag, 'valve'),
      flag,
      isResolved: state === 'flowing',
      summary,
      severity: state === 'cut' ? 'error' : 'info',
    })
  }
  return incidents
}
