/** Reads the value of a `rate-limit` flag: what SDKs and the server must understand alike. Lenient, and never throws. */
import { type Attribute, attributeOf, TARGETING_KEY } from './attribute.ts'

const UNITS_MS: Readonly<Record<string, number>> = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 }
const PARTITION_MODES = ['safe-share', 'last-share', 'open', 'closed'] as const
/** Without `burst` a counter holds what the rate brings in so long. */
const DEPTH_MS = 250

/** What an SDK does while the server is out of reach. */
export type PartitionMode = (typeof PARTITION_MODES)[number]

/** A rate as decisions use it. */
export interface Rate {
  /** Nothing is limited, only summed up; then the rate and the depth are infinite. */
  readonly isUnlimited: boolean
  /** As written: so many units per `perMs`. 0 cuts. */
  readonly rate: number
  readonly perMs: number
  readonly ratePerMs: number
  /** The most tokens a counter can hold, at least 1. */
  readonly depth: number
  readonly unit: string
  /** What a request costs that does not say, above 0. */
  readonly cost: number
  /** Most at once per key, in this process; null for any number. */
  readonly concurrency: number | null
  /** It only watches: counts whom it would have denied. */
  readonly isShadow: boolean
  readonly onPartition: PartitionMode
  /** What is counted apart; empty for one counter for everybody. */
  readonly keyBy: readonly Attribute[]
}

/** @returns null for what is no rate */
export function rateOf(value: unknown): Rate | null {
  if (typeof value !== 'object' || value === null) return null
  const { rate, per, burst, unit, cost, concurrency, mode, onPartition, keyBy, unlimited } = value as Record<string, unknown>
  const isUnlimited = unlimited === true
  const perMs = isUnlimited ? 1_000 : typeof per === 'string' && Object.hasOwn(UNITS_MS, per) ? UNITS_MS[per]! : null
  if (perMs === null || (!isUnlimited && !isAmount(rate))) return null
  const amount = isUnlimited ? Infinity : (rate as number)
  const ratePerMs = amount / perMs
  const by = attributesOf(keyBy)
  if (by === null) return null
  return {
    isUnlimited,
    rate: amount,
    perMs,
    ratePerMs,
    depth: isUnlimited ? Infinity : isAmount(burst) ? Math.max(1, Math.floor(burst)) : Math.max(1, Math.ceil(ratePerMs * DEPTH_MS)),
    unit: typeof unit === 'string' && unit !== '' ? unit : 'request',
    cost: isAmount(cost) && cost > 0 ? cost : 1,
    concurrency: isAmount(concurrency) && concurrency >= 1 ? Math.floor(concurrency) : null,
    isShadow: mode === 'shadow',
    onPartition: PARTITION_MODES.find(known => known === onPartition) ?? 'safe-share',
    keyBy: by,
  }
}

function attributesOf(keyBy: unknown): readonly Attribute[] | null {
  if (keyBy === undefined) return [attributeOf(TARGETING_KEY)!]
  if (!Array.isArray(keyBy)) return null
  const attributes = keyBy.map(name => (typeof name === 'string' ? attributeOf(name) : null))
  return attributes.includes(null) ? null : (attributes as readonly Attribute[])
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}
