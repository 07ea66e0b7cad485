/**
 * Shops that move from an old ledger to a new one by a migration flag, a hundred calls a second over twenty thousand accounts, and the
 * plan that moves them. What the stories of rollouts share.
 */
import type { Change } from '../../schemas/change.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Plan } from '../../schemas/plan.ts'
import type { Migration, Stage as MigrationStage } from '../../sdk/index.ts'
import { randomFrom } from '../random.ts'
import { contextOf, type Shop } from './shop.ts'
import type { Stage } from './stage.ts'

export const FLAG = 'ledger'
const SHOPS = 2
const ACCOUNTS = 20_000
const SECOND_MS = 1_000
const CALLS_PER_SECOND = 100
/** Shops report as often: what they report is heard before more is done. */
const TURN_MS = 5_000
const WRITES = 0.3
/** How often a call fails while all is well, whichever ledger answers. */
export const USUAL = 0.01
const ROLLOUT = `/environments/production/rollouts/${FLAG}`

const accounts = Array.from({ length: ACCOUNTS }, (_, i) => `account-${i}`)

interface Answer {
  readonly by: 'old' | 'new'
  readonly entries: number
}

export interface Ledger {
  /** The share of its calls that fail. */
  failing: number
  /** What it was given, by account. */
  readonly entries: Map<string, Set<number>>
  read(account: string): Answer
  write(account: string, entry: number): Answer
}

/** How calls ended, by the stage of their account. */
export interface Arm {
  calls: number
  failed: number
  readonly accounts: Set<string>
}

export interface Ledgers {
  readonly old: Ledger
  readonly new: Ledger
  readonly shops: readonly Shop[]
  /** Of the calls since `begin`. */
  readonly arms: { readonly live: Arm; readonly shadow: Arm }
  /** From here on calls are counted anew. */
  begin(): void
  /** Trade goes on for so long. */
  trade(ms: number): Promise<void>
  /** Until the plan is so, looking after every ten seconds of trade; answers how many there were. */
  tradeUntil(is: (plan: Plan) => boolean, mostMs: number): Promise<number>
  /** The accounts that the new ledger leads for; the shops agree on them. */
  live(): Set<string>
  plan(): Promise<Plan>
  /** The entries about the rollout, the oldest first. */
  changes(): Promise<readonly Change[]>
  /** The flag as it stands, but for the number of its version. */
  standing(): Promise<Flag>
}

/** Everybody writes to both and reads both, the old one leads: the flag stands at `shadow`. */
export async function openLedgers(stage: Stage, seed: number): Promise<Ledgers> {
  // A seed of its own, so that every run places the same accounts.
  await stage.flag({ key: FLAG, kind: 'migration', seed: 2_984_379_123 })
  await stage.api('PATCH', `/environments/production/flags/${FLAG}`, {
    enabled: true,
    offVariation: 'shadow',
    fallthrough: { variation: 'shadow' },
  })
  const random = randomFrom(seed)
  const [old, its] = [openLedger('old', random), openLedger('new', random)]
  const shops = await stage.shops(SHOPS)
  const tills = shops.map(({ flags }) =>
    flags.migrate(FLAG, {
      read: [old.read, its.read],
      write: [old.write, its.write],
      compare: (a, b) => a.entries === b.entries,
    }),
  )
  await stage.until(shops, shop => stageOf(shop, 'account-0') === 'shadow', 'everybody is at shadow')
  const none = (): Arm => ({ calls: 0, failed: 0, accounts: new Set() })
  let arms = { live: none(), shadow: none() }
  let entry = 0

  async function call(till: Migration<[string], Answer, [string, number], Answer>, account: string): Promise<void> {
    const context = contextOf({ account })
    // Asked for in the same turn as the call asks for it.
    const at = till.stage(context)
    if (at !== 'live' && at !== 'shadow') throw new Error(`${account} is at ${at}, which is no part of the story`)
    const arm = arms[at]
    arm.calls++
    arm.accounts.add(account)
    const isWrite = random() < WRITES
    try {
      const { by } = await (isWrite ? till.write(context, account, ++entry) : till.read(context, account))
      if (by !== (at === 'live' ? 'new' : 'old')) throw new WrongLedger(`${account} is at ${at}, and was answered by the ${by} ledger`)
    } catch (error) {
      if (error instanceof WrongLedger) throw error
      arm.failed++
    }
  }

  const world: Ledgers = {
    old,
    new: its,
    shops,
    get arms() {
      return arms
    },
    begin() {
      arms = { live: none(), shadow: none() }
    },
    async trade(ms) {
      for (let left = ms; left > 0; left -= TURN_MS) {
        const calls = Array.from({ length: (CALLS_PER_SECOND * TURN_MS) / SECOND_MS }, (_, i) =>
          call(tills[i % tills.length]!, accounts[Math.floor(random() * ACCOUNTS)]!),
        )
        await Promise.all(calls)
        await stage.pass(TURN_MS)
      }
    },
    async tradeUntil(is, mostMs) {
      let slices = 0
      for (let plan = await world.plan(); !is(plan); plan = await world.plan()) {
        if (slices * 10 * SECOND_MS >= mostMs)
          throw new Error(`after ${mostMs / SECOND_MS} s the plan is ${plan.state} at step ${plan.step}: ${plan.held?.text ?? ''}`)
        await world.trade(10 * SECOND_MS)
        slices++
      }
      await arrived(stage, shops)
      return slices
    },
    live() {
      const [first, ...others] = shops.map(shop => new Set(accounts.filter(account => stageOf(shop, account) === 'live')))
      if (first === undefined) throw new Error('there is no shop')
      for (const other of others) stage.equal(other.size, first.size, 'the shops agree on who has the new ledger')
      return first
    },
    plan: async () => ((await stage.api('GET', ROLLOUT)) as { plan: Plan }).plan,
    async changes() {
      const { changes } = (await stage.api('GET', '/environments/production/changes?order=oldest&limit=500')) as { changes: Change[] }
      return changes.filter(({ action }) => action.startsWith('rollout.'))
    },
    standing: async () => ({ ...(await stage.read(FLAG)), version: 0 }),
  }
  return world
}

class WrongLedger extends Error {}

function openLedger(by: Answer['by'], random: () => number): Ledger {
  const fail = (): void => {
    if (random() < ledger.failing) throw new Error(`the ${by} ledger does not answer`)
  }
  const ledger: Ledger = {
    failing: USUAL,
    entries: new Map(),
    read(account) {
      fail()
      return { by, entries: ledger.entries.get(account)?.size ?? 0 }
    },
    write(account, entry) {
      fail()
      const entries = ledger.entries.get(account) ?? new Set()
      ledger.entries.set(account, entries.add(entry))
      return { by, entries: entries.size }
    },
  }
  return ledger
}

function stageOf({ flags }: Shop, account: string): MigrationStage {
  return flags.value(FLAG, contextOf({ account }), 'off') as MigrationStage
}

/** Until the shops have what stands now. */
async function arrived(stage: Stage, shops: readonly Shop[]): Promise<void> {
  const { revision } = (await stage.api('GET', ROLLOUT)) as { revision: number }
  await stage.until(shops, ({ flags }) => (flags.status().revision ?? 0) >= revision, `revision ${revision} has arrived`)
}

/** Whether so many failures are about as many as chance makes of a share: five standard deviations, so that only a real fault is more. */
export function isUsual({ calls, failed }: Arm, share: number): boolean {
  return failed <= calls * share + 5 * Math.sqrt(calls * share * (1 - share)) + 1
}

/** The steps that a plan has taken, as the log tells them: the moment, and which. */
export function stepsTaken(changes: readonly Change[]): { readonly at: number; readonly step: number }[] {
  return changes
    .filter(({ action }) => action === 'rollout.start' || action === 'rollout.advance' || action === 'rollout.resume')
    .flatMap(({ at, edits }) => {
      const plan = edits.find(({ type }) => type === 'plan')?.after as unknown as Plan | undefined
      return plan?.step === undefined || plan.step === null ? [] : [{ at: Date.parse(at), step: plan.step + 1 }]
    })
}
