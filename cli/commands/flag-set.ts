/** `sluice flag set`: what a flag does in one environment: rollout, fallthrough, targets, prerequisites. */
import type { Command } from 'commander'
import type { Flag, FlagPatch, Prerequisite, Target } from '../../schemas/flag.ts'
import type { Scalar } from '../../schemas/json.ts'
import { collect } from '../collect.ts'
import { readObject } from '../documents.ts'
import { editFlag } from '../edit.ts'
import { usage } from '../failure.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { parseShares, rolloutOf } from '../rollout.ts'
import { openSession } from '../session.ts'
import { parseWhere } from '../where.ts'

interface SetOptions extends WaitOptions {
  readonly rollout?: string
  readonly by?: string
  readonly fallthrough?: string
  readonly offVariation?: string
  readonly target: readonly string[]
  readonly untarget: readonly string[]
  readonly prerequisite: readonly string[]
  readonly dropPrerequisite: readonly string[]
  readonly file?: string
}

const HELP = `
Examples:
  $ sluice flag set new-ledger -e production --rollout on=5% --by /account/id
  $ sluice flag set new-ledger -e production --rollout on=25%         keeps who has it, adds others
  $ sluice flag set new-ledger -e production --fallthrough on         everyone, no rollout
  $ sluice flag set new-ledger -e production --target /account/id=a-17,a-18:off
  $ sluice flag set new-ledger -e production --untarget /account/id=a-17
  $ sluice flag set checkout -e production --prerequisite payments=on
  $ sluice flag set checkout -e production -f checkout.yaml

--rollout gives shares of the fallthrough; what is left goes to the off variation. A context without a value for --by
gets the off variation. Changing --by moves everyone to new places.`

export function addFlagSet(parent: Command): void {
  const command = parent
    .command('set')
    .description('Change what a flag does in an environment; what is not named stays.')
    .argument('<flag>')
    .option('--rollout <shares>', 'serve by shares: on=25%, or a=33.3%,b=66.7%')
    .option('--by <attribute>', 'the attribute the rollout goes by: /account/id (default: as it stands, else targetingKey)')
    .option('--fallthrough <variation>', 'serve one variation to whom nothing else matches')
    .option('--off-variation <variation>', 'what it serves when off or killed')
    .option('--target <attribute=values:variation>', 'give listed values a variation; may be repeated', collect, [])
    .option('--untarget <attribute=values>', 'list values no longer; may be repeated', collect, [])
    .option(
      '--prerequisite <flag=variations>',
      'serve the off variation unless that flag yields one of these; may be repeated',
      collect,
      [],
    )
    .option('--drop-prerequisite <flag>', 'need that flag no longer; may be repeated', collect, [])
    .option('-f, --file <path>', 'a YAML or JSON file with the fields to replace, - for stdin; options come before it')
    .addHelpText('after', HELP)
  withWait(command).action(async (key: string, options: SetOptions, self: Command) => {
    const session = openSession(self)
    await editFlag(session, key, options, await planOf(options))
  })
}

/** Everything that can be wrong with the options is found here, before anything is sent. */
async function planOf(options: SetOptions): Promise<(flag: Flag) => FlagPatch> {
  if (options.rollout !== undefined && options.fallthrough !== undefined)
    throw usage('Both --rollout and --fallthrough were given.', 'Give one of them.')
  const base = options.file === undefined ? {} : ((await readObject(options.file)) as FlagPatch)
  const shares = options.rollout === undefined ? null : parseShares(options.rollout)
  const targets = options.target.map(parseTarget)
  const untargets = options.untarget.map(parseListed)
  const prerequisites = options.prerequisite.map(parsePrerequisite)
  const lists = [targets, untargets, prerequisites, options.dropPrerequisite]
  if (
    options.file === undefined &&
    [options.rollout, options.by, options.fallthrough, options.offVariation].every(each => each === undefined) &&
    lists.every(list => list.length === 0)
  ) {
    throw usage(
      'Nothing to change was given.',
      'Name it with --rollout, --fallthrough, --target or another option of "sluice flag set --help".',
    )
  }
  return flag => {
    const offVariation = options.offVariation ?? base.offVariation ?? flag.offVariation
    const standing = base.fallthrough ?? flag.fallthrough
    if (shares === null && options.by !== undefined && !('rollout' in standing)) {
      throw usage(
        `--by was given, but ${JSON.stringify(flag.key)} has no rollout.`,
        'Give the shares as well, as in --rollout on=25% --by /account/id.',
      )
    }
    return {
      ...base,
      ...(options.offVariation === undefined ? {} : { offVariation }),
      ...(options.fallthrough === undefined ? {} : { fallthrough: { variation: options.fallthrough } }),
      ...(shares === null ? {} : { fallthrough: rolloutOf(shares, { offVariation }, standing, options.by) }),
      ...(shares === null && options.by !== undefined && 'rollout' in standing
        ? { fallthrough: { rollout: { ...standing.rollout, by: options.by } } }
        : {}),
      ...(targets.length + untargets.length === 0 ? {} : { targets: targetsOf(base.targets ?? flag.targets, targets, untargets) }),
      ...(prerequisites.length + options.dropPrerequisite.length === 0
        ? {}
        : { prerequisites: prerequisitesOf(base.prerequisites ?? flag.prerequisites, prerequisites, options.dropPrerequisite) }),
    }
  }
}

interface Listed {
  readonly attribute: string
  readonly values: readonly Scalar[]
}

function parseTarget(text: string): Listed & { variation: string } {
  const split = text.lastIndexOf(':')
  const variation = text.slice(split + 1)
  if (split < 1 || variation === '')
    throw usage(`--target ${text} cannot be taken: it names no variation.`, 'Write it as in --target /account/id=a-17:on.')
  return { ...parseListed(text.slice(0, split)), variation }
}

function parseListed(text: string): Listed {
  const clause = parseWhere(text)
  if (clause.op !== 'in' || clause.negate === true || clause.attribute === undefined) {
    throw usage(
      `A target lists values, and ${JSON.stringify(text)} does not.`,
      'Write it as in --target /account/id=a-17,a-18:on; for anything else add a rule.',
    )
  }
  return { attribute: clause.attribute, values: clause.values }
}

function parsePrerequisite(text: string): Prerequisite {
  const match = /^([^=]+)=(.+)$/.exec(text)
  if (match === null) throw usage(`--prerequisite ${text} cannot be taken.`, 'Write it as in --prerequisite payments=on.')
  return { flag: match[1] ?? '', variations: (match[2] ?? '').split(',').map(each => each.trim()) }
}

/** A value listed anew leaves the place where it stood; a list left empty goes. */
function targetsOf(standing: readonly Target[], added: readonly (Listed & { variation: string })[], removed: readonly Listed[]): Target[] {
  let targets: Target[] = standing.map(target => ({ ...target }))
  for (const { attribute, values } of [...removed, ...added]) {
    targets = targets.map(target =>
      (target.attribute ?? 'targetingKey') === attribute
        ? { ...target, values: target.values.filter(value => !values.includes(value)) }
        : target,
    )
  }
  for (const { attribute, values, variation } of added) {
    const place = targets.find(target => (target.attribute ?? 'targetingKey') === attribute && target.variation === variation)
    if (place === undefined) targets.push({ attribute, values: [...new Set(values)], variation })
    else place.values = [...new Set([...place.values, ...values])]
  }
  return targets.filter(target => target.values.length > 0)
}

function prerequisitesOf(standing: readonly Prerequisite[], added: readonly Prerequisite[], dropped: readonly string[]): Prerequisite[] {
  const left = standing.filter(each => !dropped.includes(each.flag) && !added.some(other => other.flag === each.flag))
  return [...left, ...added]
}
