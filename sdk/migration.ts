/**
 * Runs the old and the new side of a migration as the flag's stage says. The leading side's answer is the caller's, whatever
 * becomes of the other: that one runs beside, is compared, and is only ever reported.
 */
import { isDeepStrictEqual } from 'node:util'
import { Beside, type Call, type Ended, ended } from './beside.ts'
import type { Clock } from './clock.ts'
import type { Outcome } from './evaluator/evaluation.ts'
import { contain, isThenable, messageOf } from './failure.ts'
import type { Listeners } from './listeners.ts'
import { duration } from './options.ts'
import { keyOf, type Outcomes } from './outcomes.ts'
import type { Context, Logger, Migration, MigrationOptions, MigrationStatus, Mismatch, Reported, Side, Stage } from './types.ts'

/** Most calls of the other side at once, and the time they have, unless told otherwise. */
const CONCURRENCY = 100
const TIMEOUT_MS = 10_000
/** Most events `mismatch` per flag in a slice of ten seconds. */
export const MISMATCHES_MAX = 10
/** Most different problems of one migration that are logged. */
const PROBLEMS_MAX = 20

/** Whose answer counts, and who runs beside. */
interface Roles {
  readonly lead: Side
  readonly other: Side | null
}

const OLD: Roles = { lead: 'old', other: null }
const OLD_THEN_NEW: Roles = { lead: 'old', other: 'new' }
const NEW_THEN_OLD: Roles = { lead: 'new', other: 'old' }
const NEW: Roles = { lead: 'new', other: null }

/** The whole of what a stage means. */
export const ROLES: Readonly<Record<Stage, { readonly read: Roles; readonly write: Roles }>> = {
  off: { read: OLD, write: OLD },
  'dual-write': { read: OLD, write: OLD_THEN_NEW },
  shadow: { read: OLD_THEN_NEW, write: OLD_THEN_NEW },
  live: { read: NEW_THEN_OLD, write: NEW_THEN_OLD },
  'ramp-down': { read: NEW, write: NEW_THEN_OLD },
  complete: { read: NEW, write: NEW },
}

/** What a migration needs of its client. */
export interface MigrationHost {
  readonly clock: Clock
  /** Answers a number in [0, 1). */
  readonly random: () => number
  readonly outcomes: Outcomes
  readonly listeners: Listeners
  readonly logger: Required<Logger>
  /** What the flag gives, counted as an evaluation. */
  decide(flag: string, context: Context): Outcome
}

/** The migrations of one client. */
export class Migrations {
  readonly #host: MigrationHost
  /** What runs beside, to the end of its check. */
  #beside = 0
  #idle: (() => void)[] = []
  /** By flag: events of this slice, and mismatches that were not told. */
  readonly #told = new Map<string, { events: number; missed: number }>()

  constructor(host: MigrationHost) {
    this.#host = host
  }

  migrate<ReadArgs extends unknown[], Read, WriteArgs extends unknown[], Written>(
    flag: string,
    options: MigrationOptions<ReadArgs, Read, WriteArgs, Written> | undefined,
  ): Migration<ReadArgs, Read, WriteArgs, Written> {
    return new Running(
      this.#host,
      flag,
      options,
      run => void this.#follow(run),
      mismatch => this.#tell(mismatch),
    )
  }

  /** Events count anew. */
  endSlice(): void {
    for (const told of this.#told.values()) told.events = 0
  }

  /** Resolves once nothing runs beside any more. */
  idle(): Promise<void> {
    return this.#beside === 0 ? Promise.resolve() : new Promise(resolve => this.#idle.push(resolve))
  }

  async #follow(run: () => Promise<void>): Promise<void> {
    this.#beside++
    try {
      await run()
    } catch (error) {
      this.#host.logger.error(`A migration's check could not be made: ${messageOf(error)}. Callers have their answers`)
    }
    if (--this.#beside > 0) return
    for (const resolve of this.#idle) resolve()
    this.#idle = []
  }

  #tell(mismatch: Omit<Mismatch, 'missed'>): void {
    const { listeners } = this.#host
    if (!listeners.isHeard('mismatch')) return
    let told = this.#told.get(mismatch.flag)
    if (told === undefined) this.#told.set(mismatch.flag, (told = { events: 0, missed: 0 }))
    if (told.events >= MISMATCHES_MAX) {
      told.missed++
      return
    }
    told.events++
    const { missed } = told
    told.missed = 0
    listeners.emit('mismatch', { ...mismatch, missed })
  }
}

/** Where one call stands: decided once, at its beginning, so that a change of the stage meets no call half-way. */
interface Standing {
  readonly outcome: Outcome
  readonly context: Context
  readonly stage: Stage
}

class Running<ReadArgs extends unknown[], Read, WriteArgs extends unknown[], Written> implements Migration<
  ReadArgs,
  Read,
  WriteArgs,
  Written
> {
  readonly #host: MigrationHost
  readonly #flag: string
  readonly #options: MigrationOptions<ReadArgs, Read, WriteArgs, Written>
  readonly #fallback: Stage
  readonly #compareShare: number
  readonly #beside: Beside
  /** Runs it in nobody's way. */
  readonly #follow: (run: () => Promise<void>) => void
  readonly #tell: (mismatch: Omit<Mismatch, 'missed'>) => void
  readonly #problems = new Set<string>()

  constructor(
    host: MigrationHost,
    flag: string,
    options: MigrationOptions<ReadArgs, Read, WriteArgs, Written> = {},
    follow: (run: () => Promise<void>) => void,
    tell: (mismatch: Omit<Mismatch, 'missed'>) => void,
  ) {
    this.#host = host
    this.#flag = flag
    this.#options = options
    this.#follow = follow
    this.#tell = tell
    this.#fallback = stageOf(options.fallback) ?? 'off'
    this.#compareShare = typeof options.compareShare === 'number' ? options.compareShare : 1
    const { concurrency } = options
    const max = typeof concurrency === 'number' && concurrency >= 1 ? Math.floor(concurrency) : CONCURRENCY
    this.#beside = new Beside(host.clock, max, duration(options.timeoutMs, TIMEOUT_MS))
  }

  async read(context: Context, ...args: ReadArgs): Promise<Read> {
    const standing = this.#stand(context)
    const { lead, other } = ROLES[standing.stage].read
    const leading = ended(sideOf('read', this.#options.read, lead, args), this.#host.clock)
    const beside = other === null ? null : this.#beside.now(sideOf('read', this.#options.read, other, args))
    const first = await leading
    this.#ended(standing, lead, first)
    if (other !== null && beside !== null) {
      // Before the caller has it, who may change it.
      const shown = this.#isCompared() ? this.#shown(first) : null
      this.#follow(async () => this.#readBeside(standing, lead, other, await beside, shown))
    }
    return answerOf(first)
  }

  async write(context: Context, ...args: WriteArgs): Promise<Written> {
    const standing = this.#stand(context)
    const { lead, other } = ROLES[standing.stage].write
    const first = await ended(sideOf('write', this.#options.write, lead, args), this.#host.clock)
    this.#ended(standing, lead, first)
    // What the leading side did not take, the other must not have.
    if (first.ok && other !== null) {
      const key = keyOf(standing.outcome.by, context)
      this.#follow(async () => {
        const second = await this.#beside.inTurn(key, sideOf('write', this.#options.write, other, args))
        this.#report(standing, other, second)
        this.#checked(standing, 'write', second.ok, second.ok ? 'differs' : second.why)
      })
    }
    return answerOf(first)
  }

  stage(context: Context): Stage {
    return this.#stand(context).stage
  }

  status(): MigrationStatus {
    return this.#beside.status
  }

  #stand(context: Context): Standing {
    const outcome = this.#host.decide(this.#flag, context)
    const stage = stageOf(outcome.value)
    if (stage === null) {
      const { error, message } = outcome.evaluation
      const what =
        error === undefined ? `its value ${messageOf(JSON.stringify(outcome.value)).slice(0, 100)} is no stage.` : (message ?? error)
      this.#problem(`${what} Taking the stage ${this.#fallback}`)
    }
    return { outcome, context, stage: stage ?? this.#fallback }
  }

  async #readBeside(standing: Standing, lead: Side, other: Side, second: Ended<Read>, shown: Shown<Read> | null): Promise<void> {
    // Never called, it says nothing of the side.
    if (!second.ok && second.why === 'dropped') return
    this.#report(standing, other, second)
    if (shown === null) return
    const otherShown = this.#shown(second)
    if (otherShown === null) return
    // Comparing may take its time: in a turn of its own.
    await new Promise(setImmediate)
    const isSame = lead === 'old' ? this.#isSame(shown, otherShown) : this.#isSame(otherShown, shown)
    if (isSame !== null) this.#checked(standing, 'read', isSame, second.ok ? 'differs' : second.why)
  }

  /** Of the leading side: its own outcome, and that of the call as its caller sees it. */
  #ended(standing: Standing, side: Side, how: Ended<unknown>): void {
    this.#report(standing, side, how)
    this.#report(standing, '', how)
  }

  #report({ outcome, context }: Standing, side: Side | '', how: Ended<unknown>): void {
    const { slowMs } = this.#options
    const ok = how.ok || (how.why === 'failed' && !this.#isFailure(how.error))
    const timed = 'ms' in how ? { ms: how.ms, slow: typeof slowMs === 'number' && how.ms >= slowMs } : {}
    const reported: Reported = { ok, ...timed }
    this.#host.outcomes.add(outcome, context, side, reported)
  }

  #checked({ outcome, context, stage }: Standing, operation: Mismatch['operation'], isSame: boolean, why: Mismatch['why']): void {
    this.#host.outcomes.add(outcome, context, 'mismatch', { ok: isSame })
    if (isSame) return
    const key = this.#options.keys === true ? keyOf(outcome.by, context) : null
    const { variation } = outcome.evaluation
    this.#tell({ flag: this.#flag, variation, stage, operation, why, ...(key === null ? {} : { key }) })
  }

  #isCompared(): boolean {
    return this.#compareShare >= 1 || this.#host.random() < this.#compareShare
  }

  /** What is compared of an answer; null when that cannot be said. */
  #shown(how: Ended<Read>): Shown<Read> | null {
    const { snapshot } = this.#options
    if (!how.ok || snapshot === undefined) return how
    try {
      return { ok: true, value: snapshot(how.value) }
    } catch (error) {
      this.#problem(`snapshot failed (${messageOf(error)}): such answers are not compared`)
      return null
    }
  }

  /** Both failed: neither is worse than the other. Null when it cannot be said. */
  #isSame(old: Shown<Read>, its: Shown<Read>): boolean | null {
    if (!old.ok || !its.ok) return old.ok === its.ok
    const compare = this.#options.compare ?? isDeepStrictEqual
    try {
      const verdict: unknown = compare(old.value, its.value)
      if (!isThenable(verdict)) return verdict === true
      Promise.resolve(verdict).catch(() => undefined)
      throw new TypeError('it answered a promise, expected true or false')
    } catch (error) {
      this.#problem(`compare failed (${messageOf(error)}): such answers are not compared`)
      return null
    }
  }

  #isFailure(error: unknown): boolean {
    let isFailure = true
    contain(
      () => void (isFailure = this.#options.isFailure?.(error) !== false),
      thrown => this.#problem(`isFailure failed (${messageOf(thrown)}): such errors count as failures`),
    )
    return isFailure
  }

  #problem(text: string): void {
    if (this.#problems.size >= PROBLEMS_MAX || this.#problems.has(text)) return
    this.#problems.add(text)
    this.#host.logger.error(`The migration "${this.#flag}": ${text}. Said once`)
  }
}

/** What is compared of an answer, or that there is none. */
type Shown<T> = { readonly ok: true; readonly value: T } | { readonly ok: false }

function stageOf(value: unknown): Stage | null {
  return typeof value === 'string' && Object.hasOwn(ROLES, value) ? (value as Stage) : null
}

/** @throws when called, where the migration was not given such a side */
function sideOf<Args extends unknown[], T>(
  operation: 'read' | 'write',
  sides: readonly [(...args: Args) => T | PromiseLike<T>, (...args: Args) => T | PromiseLike<T>] | undefined,
  side: Side,
  args: Args,
): Call<T> {
  return () => {
    const call: unknown = sides?.[side === 'old' ? 0 : 1]
    if (typeof call !== 'function') throw new TypeError(`migrate was given no ${side} ${operation}. Give ${operation}: [old, new].`)
    return (call as (...args: Args) => T | PromiseLike<T>)(...args)
  }
}

function answerOf<T>(how: Ended<T>): T {
  if (how.ok) return how.value
  throw how.why === 'failed' ? how.error : new Error(how.why)
}
