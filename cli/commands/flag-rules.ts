/** `sluice flag rules`: the rules of a flag in one environment, in their order. */
import type { Command } from 'commander'
import type { Flag, Rule, Serve } from '../../schemas/flag.ts'
import { ruleText, serveText } from '../../schemas/words.ts'
import { at } from '../client.ts'
import { collect } from '../collect.ts'
import { documentYaml, readDocument } from '../documents.ts'
import { editFlag } from '../edit.ts'
import { usage } from '../failure.ts'
import { withWait, type WaitOptions } from '../receipts.ts'
import { parseShares, rolloutOf } from '../rollout.ts'
import { openSession } from '../session.ts'
import { parseWhere } from '../where.ts'

interface AddOptions extends WaitOptions {
  readonly where: readonly string[]
  readonly serve?: string
  readonly rollout?: string
  readonly by?: string
  readonly id?: string
  readonly name?: string
  readonly position?: string
}

const HELP = `
Examples:
  $ sluice flag rules show checkout -e production
  $ sluice flag rules add checkout -e production --where /account/plan=beta --serve on
  $ sluice flag rules add checkout -e production --where country=de --rollout on=10% --by /account/id --position 1
  $ sluice flag rules remove checkout r2 -e production
  $ sluice flag rules show checkout -e production --yaml > rules.yaml
  $ sluice flag rules set checkout -e production -f rules.yaml

Rules are tried in their order; the first whose clauses all match decides.`

export function addFlagRules(parent: Command): void {
  const rules = parent
    .command('rules')
    .summary('the rules of a flag: show, add, remove, set')
    .description('The rules of a flag in an environment.')
    .addHelpText('after', HELP)
  addShow(rules)
  addAdd(rules)
  addRemove(rules)
  addSet(rules)
}

function addShow(parent: Command): void {
  parent
    .command('show')
    .description('The rules, in the order they are tried.')
    .argument('<flag>')
    .option('--yaml', 'as YAML, to edit and give to "rules set"')
    .action(async (key: string, options: { yaml?: boolean }, self: Command) => {
      const session = openSession(self)
      const { output } = session
      const flag = await session.client().call<Flag>(`${session.environmentPath}${at`/flags/${key}`}`)
      if (options.yaml === true && !output.json) return output.raw(documentYaml(flag.rules))
      output.data(flag.rules)
      output.line(`${key} in ${session.place}: ${flag.rules.length === 0 ? 'no rules' : 'the first that matches decides'}`)
      for (const [i, rule] of flag.rules.entries()) {
        output.line(`  ${i + 1}. ${rule.id}${rule.name === undefined ? '' : ` (${rule.name})`}: ${ruleText(rule)}`)
      }
      output.line(`  otherwise → ${serveText(flag.fallthrough)}`)
    })
}

function addAdd(parent: Command): void {
  const command = parent
    .command('add')
    .description('Add a rule, last unless --position says otherwise.')
    .argument('<flag>')
    .option('--where <clause>', 'as of "sluice kill"; may be repeated, then all must match', collect, [])
    .option('--serve <variation>', 'what it serves')
    .option('--rollout <shares>', 'or by shares: on=25%')
    .option('--by <attribute>', 'the attribute the rollout goes by')
    .option('--id <id>', 'its id (default: the next free r1, r2, …)')
    .option('--name <text>', 'a name for people')
    .option('--position <number>', 'its place among the rules, from 1')
    .addHelpText('after', HELP)
  withWait(command).action(async (key: string, options: AddOptions, self: Command) => {
    const session = openSession(self)
    const clauses = options.where.map(parseWhere)
    if (clauses.length === 0)
      throw usage('A rule needs --where.', 'What shall hold for everyone is the fallthrough: "sluice flag set --fallthrough" or --rollout.')
    const position = options.position === undefined ? null : Number(options.position)
    if (position !== null && (!Number.isSafeInteger(position) || position < 1))
      throw usage(`--position ${options.position} is not a place.`, 'The first is 1.')
    const serve = serveOf(options)
    await editFlag(session, key, options, flag => {
      const id = options.id ?? freeId(flag.rules)
      if (flag.rules.some(rule => rule.id === id))
        throw usage(`${JSON.stringify(flag.key)} has a rule ${JSON.stringify(id)} already.`, 'Choose another --id, or leave it out.')
      const rule: Rule = { id, ...(options.name === undefined ? {} : { name: options.name }), clauses, serve: serve(flag) }
      const place = position === null ? flag.rules.length : position - 1
      return { rules: [...flag.rules.slice(0, place), rule, ...flag.rules.slice(place)] }
    })
  })
}

function serveOf(options: AddOptions): (flag: Flag) => Serve {
  const { serve, rollout, by } = options
  if ((serve === undefined) === (rollout === undefined))
    throw usage('A rule serves one variation or a rollout.', 'Give --serve on, or --rollout on=25%.')
  if (serve !== undefined) return () => ({ variation: serve })
  const shares = parseShares(rollout ?? '')
  return flag => rolloutOf(shares, flag, null, by)
}

function freeId(rules: readonly Rule[]): string {
  let i = rules.length + 1
  while (rules.some(rule => rule.id === `r${i}`)) i++
  return `r${i}`
}

function addRemove(parent: Command): void {
  const command = parent
    .command('remove')
    .description('Remove rules by their ids.')
    .argument('<flag>')
    .argument('<rules...>', 'ids, as "rules show" lists them')
    .addHelpText('after', HELP)
  withWait(command).action(async (key: string, ids: string[], options: WaitOptions, self: Command) => {
    await editFlag(openSession(self), key, options, flag => {
      const lost = ids.find(id => !flag.rules.some(rule => rule.id === id))
      if (lost !== undefined)
        throw usage(
          `${JSON.stringify(flag.key)} has no rule ${JSON.stringify(lost)}. It has ${flag.rules.map(rule => rule.id).join(', ') || 'none'}.`,
        )
      return { rules: flag.rules.filter(rule => !ids.includes(rule.id)) }
    })
  })
}

function addSet(parent: Command): void {
  const command = parent
    .command('set')
    .description('Replace all rules by those of a file.')
    .argument('<flag>')
    .requiredOption('-f, --file <path>', 'a YAML or JSON list of rules, - for stdin')
    .addHelpText('after', HELP)
  withWait(command).action(async (key: string, options: WaitOptions & { file: string }, self: Command) => {
    const session = openSession(self)
    const { value } = await readDocument(options.file)
    if (!Array.isArray(value))
      throw usage(`${options.file} holds no list of rules.`, 'Begin with what "sluice flag rules show --yaml" prints.')
    await editFlag(session, key, options, () => ({ rules: value }))
  })
}
