/**
 * The instances of an environment, as its ledger knows them: connected, or silent. A silent one may live on its safe
 * share, which is set aside for it; whether it crashed or is merely cut off nobody can tell.
 */
import type { GrantRow } from '../../schemas/lease.ts'

/** An instance whose link broke is taken for gone after so long, or as soon as a new one comes in its place. */
const SILENT_MAX_MS = 600_000
/** After a restart, instances that the others spoke of are expected for so long. */
export const EXPECTED_MS = 60_000

export class Instance {
  readonly name: string
  /** Which connection it is on; null for none. */
  link: number | null = null
  /** What it is to hear with the next round. */
  rows: GrantRow[] = []
  /** It was not told yet how many instances there are. */
  isNew = true
  heardAt: number
  answeredAt: number
  /** Of the rate: set aside while it is silent; 0 while it is not. */
  aside = 0
  silentSince = 0
  /** Of silences that ended: set aside, as a share of the rate × ms, and how long they were. */
  #aside = 0
  #silentMs = 0

  constructor(name: string, now: number) {
    this.name = name
    this.heardAt = now
    this.answeredAt = now
  }

  asideMs(now: number): number {
    return this.#aside + this.aside * (now - this.silentSince)
  }

  silentMs(now: number): number {
    return this.#silentMs + (this.aside > 0 ? now - this.silentSince : 0)
  }

  endSilence(now: number): void {
    if (this.aside === 0) return
    this.#aside += this.aside * (now - this.silentSince)
    this.#silentMs += now - this.silentSince
    this.aside = 0
  }
}

export class Fleet {
  readonly #instances = new Map<string, Instance>()
  #links = 0
  #aside = 0
  /** Set aside up to `#at`, as a share of the rate × ms. */
  #asideMs = 0
  #at: number
  #expected = 0
  readonly #expectedUntil: number

  constructor(now: number, learningUntil: number) {
    this.#at = now
    this.#expectedUntil = learningUntil + EXPECTED_MS
  }

  get(name: string): Instance | undefined {
    return this.#instances.get(name)
  }

  all(): Iterable<Instance> {
    return this.#instances.values()
  }

  /** @returns the instance, and the one that it seems to have come in the place of */
  join(name: string, now: number): { instance: Instance; replaced: Instance | null } {
    this.#advance(now)
    let instance = this.#instances.get(name)
    let replaced: Instance | null = null
    if (instance === undefined) {
      instance = new Instance(name, now)
      replaced = this.#longestSilent()
      this.#instances.set(name, instance)
    }
    instance.endSilence(now)
    instance.link = ++this.#links
    instance.rows = []
    instance.isNew = true
    instance.heardAt = now
    if (replaced !== null) this.#instances.delete(replaced.name)
    this.#sum()
    return { instance, replaced }
  }

  fallSilent(instance: Instance, now: number): void {
    if (instance.aside > 0) return
    this.#advance(now)
    instance.aside = 1 / this.count(now)
    instance.silentSince = now
    this.#sum()
  }

  speakAgain(instance: Instance, now: number): void {
    if (instance.aside === 0) return
    this.#advance(now)
    instance.endSilence(now)
    this.#sum()
  }

  remove(instance: Instance, now: number): void {
    this.#advance(now)
    this.#instances.delete(instance.name)
    this.#sum()
  }

  /** Those that have been silent for too long to be waited for. */
  lost(now: number): readonly Instance[] {
    return [...this.#instances.values()].filter(({ link, silentSince }) => link === null && now - silentSince >= SILENT_MAX_MS)
  }

  /** An instance says how many there were before this server started. */
  expect(instances: number, now: number): void {
    if (now < this.#expectedUntil) this.#expected = Math.max(this.#expected, instances)
  }

  /** Instances that may be using the limits, at least 1. */
  count(now: number): number {
    return Math.max(1, this.#instances.size, now < this.#expectedUntil ? this.#expected : 0)
  }

  silent(): number {
    let silent = 0
    for (const { aside } of this.#instances.values()) if (aside > 0) silent++
    return silent
  }

  /** What is set aside for silent instances since the start, as a share of the rate × ms. Never more than all of it. */
  asideMs(now: number): number {
    this.#advance(now)
    return this.#asideMs
  }

  #advance(now: number): void {
    if (now <= this.#at) return
    const until = Math.min(now, this.#expectedUntil)
    this.#asideMs += Math.min(1, this.#aside) * (now - this.#at)
    if (until > this.#at && this.#expected > this.#instances.size) {
      const missing = (this.#expected - this.#instances.size) / this.#expected
      this.#asideMs += Math.min(missing, 1 - Math.min(1, this.#aside)) * (until - this.#at)
    }
    this.#at = now
  }

  #sum(): void {
    this.#aside = 0
    for (const { aside } of this.#instances.values()) this.#aside += aside
  }

  #longestSilent(): Instance | null {
    let longest: Instance | null = null
    for (const one of this.#instances.values())
      if (one.link === null && (longest === null || one.silentSince < longest.silentSince)) longest = one
    return longest
  }
}
