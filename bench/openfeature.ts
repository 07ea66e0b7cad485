/**
 * What does an evaluation cost through OpenFeature's SDK with our provider, beside the bare client, and beside the same SDK
 * with its own provider in memory, which does hardly anything? In processor time, in turns.
 */
import { type EvaluationContext, InMemoryProvider, OpenFeature } from '@openfeature/server-sdk'
import type { Flag } from '../schemas/flag.ts'
import { SluiceProvider } from '../sdk/openfeature/provider.ts'
import { startLocal } from './local.ts'
import { machine, median, print, spread, table } from './report.ts'

const ROUNDS = 21
/** About as long each. */
const BARE_CALLS = 2_000_000
const CALLS = 20_000

const FLAG: Flag = {
  key: 'new-ledger',
  kind: 'release',
  version: 1,
  seed: 1,
  variations: [
    { key: 'on', value: true },
    { key: 'off', value: false },
  ],
  enabled: true,
  offVariation: 'off',
  kills: [],
  prerequisites: [],
  targets: [],
  rules: [{ id: 'beta', clauses: [{ attribute: 'plan', op: 'in', values: ['beta'] }], serve: { variation: 'on' } }],
  fallthrough: { variation: 'off' },
}
const CONTEXT: EvaluationContext = { targetingKey: 'user-1234', plan: 'beta', country: 'NL', age: 30, account: { id: 'a-17', tags: ['x'] } }

const { client } = await startLocal([FLAG])
const provider = new SluiceProvider(client)
await OpenFeature.setProviderAndWait('ours', provider)
const flag = { variants: { on: true, off: false }, defaultVariant: 'on', disabled: false }
const memory = new InMemoryProvider({ [FLAG.key]: { ...flag, contextEvaluator: context => (context.plan === 'beta' ? 'on' : 'off') } })
await OpenFeature.setProviderAndWait('memory', memory)
const ours = OpenFeature.getClient('ours')
const theirs = OpenFeature.getClient('memory')

const asked: Readonly<Record<string, { calls: number; run: (calls: number) => Promise<number> }>> = {
  'the client: flags.value': {
    calls: BARE_CALLS,
    async run(calls) {
      let on = 0
      for (let i = 0; i < calls; i++) if (client.value(FLAG.key, CONTEXT as { plan: string }, false)) on++
      return on
    },
  },
  'the provider alone': awaited(() => provider.resolveBooleanEvaluation(FLAG.key, false, CONTEXT).then(({ value }) => value)),
  'OpenFeature with our provider': awaited(() => ours.getBooleanValue(FLAG.key, false, CONTEXT)),
  'OpenFeature with its provider in memory': awaited(() => theirs.getBooleanValue(FLAG.key, false, CONTEXT)),
}

function awaited(evaluate: () => Promise<boolean>): { calls: number; run: (calls: number) => Promise<number> } {
  return {
    calls: CALLS,
    async run(calls) {
      let on = 0
      for (let i = 0; i < calls; i++) if (await evaluate()) on++
      return on
    },
  }
}

const times = new Map(Object.keys(asked).map(name => [name, [] as number[]]))
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, { calls, run }] of Object.entries(asked)) {
    const start = process.cpuUsage()
    const on = await run(calls)
    const { user, system } = process.cpuUsage(start)
    if (on !== calls) throw new Error(`${name} answered wrongly`)
    // The first rounds warm up.
    if (round > 1) times.get(name)!.push(((user + system) * 1_000) / calls)
  }
}

print(
  `${machine()}. Nanoseconds of processor time per evaluation of a boolean behind one rule: median ± quartiles, ${ROUNDS - 2} rounds.\n`,
)
const base = median(times.get('OpenFeature with its provider in memory')!)
print(table([['', 'ns', '× in memory'], ...[...times].map(([name, all]) => [name, spread(all), (median(all) / base).toFixed(3)])]))
await client.close()
