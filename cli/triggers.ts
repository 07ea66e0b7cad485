/** Triggers as people type them and read them: `when` and `do` as options, and in words. */
import type { Command } from 'commander'
import type { Trigger, TriggerDo, TriggerWhen } from '../schemas/trigger.ts'
import { collect } from './collect.ts'
import { usage } from './failure.ts'
import { momentText, parseDuration } from './moment.ts'
import { parseWhere } from './where.ts'

export interface TriggerOptions {
  readonly hook?: readonly string[]
  readonly label?: readonly string[]
  readonly severity?: string
  readonly status?: string
  readonly for?: string
  readonly atLeast?: string
  readonly within?: string
  readonly kill?: readonly string[]
  readonly killTag?: string
  readonly where?: readonly string[]
  readonly variation?: string
  readonly expires?: string
  readonly set?: string
  readonly lower?: string
  readonly throttle?: string
  readonly hold?: string
  readonly notify?: boolean
  readonly coolDown?: string
  readonly maxPerHour?: string
  readonly restore?: boolean
  readonly rehearse?: boolean
  readonly description?: string
  readonly file?: string
}

/** What `when` and `do` are, and what goes beside them. */
export function withTrigger(command: Command): Command {
  return command
    .option('--hook <key>', 'when: alerts of this hook; may be repeated (default: any)', collect)
    .option('--label <name=value,…>', 'when: a label is one of these, or with != present and none of them; may be repeated', collect)
    .option('--severity <severity>', 'when: at least critical, error, warning or info')
    .option('--status <status>', 'when: firing (default) or resolved')
    .option('--for <duration>', 'when: only once it has been firing for so long')
    .option('--at-least <count>', 'when: only once so many different alerts fire')
    .option('--within <duration>', 'when: that began within so long of one another')
    .option('--kill <flag>', 'do: kill; may be repeated', collect)
    .option('--kill-tag <tag>', 'do: kill every flag with this tag')
    .option('--where <clause>', 'with --kill: only contexts that match, as with "sluice kill"; may be repeated', collect)
    .option('--variation <key>', 'with --kill: the variation to serve (default: the off variation)')
    .option('--expires <duration>', 'with --kill: the kill ends by itself after so long')
    .option('--set <flag=variation>', 'do: serve one variation to all who come to the fallthrough')
    .option('--lower <flag:variation=50,10,0>', 'do: lower the share of a variation, a step at each fire')
    .option('--throttle <valve=50,10,0>', 'do: let so many percent through, a step at each fire')
    .option('--hold <flag>', 'do: hold the rollout')
    .option('--notify', 'do: only tell')
    .option('--cool-down <duration>', 'after a fire nothing for so long (default: 5m)')
    .option('--max-per-hour <count>', 'fires within an hour, at most (default: 6)')
    .option('--restore', 'when all its alerts are resolved, put back what it did')
    .option('--no-restore', 'when they are resolved, do nothing (default)')
    .option('--rehearse', 'only say what it would do')
    .option('--no-rehearse', 'do it (default)')
    .option('--description <text>', 'what it is for')
    .option('-f, --file <path>', 'a YAML or JSON file with the trigger, - for stdin; options go over it')
}

/** The fields of a trigger that options give; `before` is what stood, for an edit. Error: `USAGE`. */
export function triggerFields(
  options: TriggerOptions,
  before: { readonly when?: TriggerWhen; readonly do?: TriggerDo },
): Record<string, unknown> {
  const when = whenOf(options)
  const action = doOf(options)
  const given = {
    description: options.description,
    when: when === null ? before.when : { ...before.when, ...when },
    do: action ?? before.do,
    coolDownMs: options.coolDown === undefined ? undefined : parseDuration(options.coolDown, '--cool-down'),
    maxFiresPerHour: options.maxPerHour === undefined ? undefined : countOf(options.maxPerHour, '--max-per-hour'),
    onResolve: options.restore === undefined ? undefined : options.restore ? 'restore' : 'nothing',
    dryRun: options.rehearse,
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function whenOf(options: TriggerOptions): Record<string, unknown> | null {
  const given = {
    hooks: options.hook,
    labels: options.label?.map(labelOf),
    severity: options.severity,
    status: options.status,
    forMs: options.for === undefined ? undefined : parseDuration(options.for, '--for'),
    atLeast: options.atLeast === undefined ? undefined : countOf(options.atLeast, '--at-least'),
    withinMs: options.within === undefined ? undefined : parseDuration(options.within, '--within'),
  }
  const fields = Object.entries(given).filter(([, value]) => value !== undefined)
  return fields.length === 0 ? null : Object.fromEntries(fields)
}

/** `service=checkout,search`, `env!=staging`. */
function labelOf(text: string): { label: string; values: string[]; negate?: true } {
  const match = /^([^=!]+)(!?=)(.+)$/.exec(text)
  const [, label = '', sign, values = ''] = match ?? []
  if (match === null) throw usage(`--label ${text} cannot be taken.`, 'Write it as in --label service=checkout, or --label env!=staging.')
  return { label, values: values.split(','), ...(sign === '!=' ? { negate: true } : {}) }
}

const ACTIONS = ['kill', 'killTag', 'set', 'lower', 'throttle', 'hold', 'notify'] as const

function doOf(options: TriggerOptions): TriggerDo | null {
  const given = ACTIONS.filter(name => options[name] !== undefined)
  const name = given.at(0)
  if (given.length > 1) throw usage(`A trigger does one thing, and ${given.length} were given.`, 'Make a trigger for each.')
  const belongsToKill = options.where !== undefined || options.variation !== undefined || options.expires !== undefined
  if (belongsToKill && name !== 'kill' && name !== 'killTag')
    throw usage('--where, --variation and --expires go with --kill or --kill-tag.', 'Say what to kill.')
  switch (name) {
    case undefined:
      return null
    case 'kill':
    case 'killTag':
      return {
        action: 'kill',
        ...(options.kill === undefined ? {} : { flags: [...options.kill] }),
        ...(options.killTag === undefined ? {} : { tag: options.killTag }),
        ...(options.variation === undefined ? {} : { variation: options.variation }),
        ...(options.where === undefined ? {} : { clauses: options.where.map(parseWhere) }),
        ...(options.expires === undefined ? {} : { expiresAfterMs: parseDuration(options.expires, '--expires') }),
      }
    case 'set': {
      const [, flag = '', variation = ''] = matched(options.set ?? '', /^([^=]+)=(.+)$/, '--set search=small')
      return { action: 'set-variation', flag, variation }
    }
    case 'lower': {
      const [, flag = '', variation = '', percents = ''] = matched(
        options.lower ?? '',
        /^([^:=]+):([^=]+)=(.+)$/,
        '--lower new-ledger:on=50,10,0',
      )
      return { action: 'set-percentage', flag, variation, percents: percentsOf(percents, '--lower') }
    }
    case 'throttle': {
      const [, flag = '', percents = ''] = matched(options.throttle ?? '', /^([^=]+)=(.+)$/, '--throttle payments-vendor=50,10,0')
      return { action: 'throttle-valve', flag, percents: percentsOf(percents, '--throttle') }
    }
    case 'hold':
      return { action: 'hold-rollout', flag: options.hold ?? '' }
    case 'notify':
      return { action: 'notify' }
  }
}

function matched(text: string, form: RegExp, example: string): RegExpExecArray {
  const match = form.exec(text)
  if (match === null) throw usage(`${JSON.stringify(text)} cannot be taken.`, `Write it as in ${example}.`)
  return match
}

function percentsOf(text: string, option: string): number[] {
  return text.split(',').map(part => {
    const percent = Number(part.replace('%', ''))
    if (part.trim() === '' || Number.isNaN(percent))
      throw usage(`${option}: ${JSON.stringify(part)} is no percentage.`, 'Give steps as in 50,10,0.')
    return percent
  })
}

function countOf(text: string, option: string): number {
  if (!/^\d{1,6}$/.test(text)) throw usage(`${option} ${text} is no whole number.`)
  return Number(text)
}

/** What a banner says: `tripped by trigger checkout-5xx, alert "High 5xx rate" from am, since …`. */
export function trippedText({ trigger, alert, hook, at }: { trigger: string; alert: string; hook: string; at: string }): string {
  return `tripped by trigger ${trigger}, alert ${JSON.stringify(alert)} from ${hook}, since ${momentText(at)}`
}

/** A trigger as the server answers it. */
export interface ShownTrigger extends Trigger {
  readonly standing: readonly string[]
  readonly undo: string | null
  readonly activity: {
    readonly alerts: number
    readonly outcomes: Readonly<Record<string, number>>
    readonly last: { readonly at: string; readonly outcome: string; readonly text: string } | null
  }
  readonly problems: readonly { readonly path: string; readonly code: string; readonly message: string }[]
}
