/** Steps that are well tried. */
import type { PlanInput, PlanPreset, PlanStepInput } from '../../schemas/plan.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

interface Preset {
  readonly steps: readonly PlanStepInput[]
  readonly bakeMs: number
}

export const PRESETS: Readonly<Record<PlanPreset, Preset>> = {
  /** Half an hour to everyone: for what is easily undone. */
  fast: {
    steps: [
      { percent: 1, holdMs: 5 * MINUTE_MS },
      { percent: 5, holdMs: 10 * MINUTE_MS },
      { percent: 25, holdMs: 15 * MINUTE_MS },
      { percent: 100 },
    ],
    bakeMs: 15 * MINUTE_MS,
  },
  /** A working day to everyone, and a night of watching. */
  standard: {
    steps: [
      { percent: 1, holdMs: 15 * MINUTE_MS },
      { percent: 5, holdMs: 30 * MINUTE_MS },
      { percent: 10, holdMs: HOUR_MS },
      { percent: 25, holdMs: 2 * HOUR_MS },
      { percent: 50, holdMs: 4 * HOUR_MS },
      { percent: 100 },
    ],
    bakeMs: 12 * HOUR_MS,
  },
  /** Days; at 98 % it stays, with 2 % to compare with, until a person lets it go on. */
  migration: {
    steps: [
      { percent: 1, holdMs: HOUR_MS },
      { percent: 5, holdMs: 4 * HOUR_MS },
      { percent: 10, holdMs: 8 * HOUR_MS },
      { percent: 25, holdMs: 24 * HOUR_MS },
      { percent: 50, holdMs: 24 * HOUR_MS },
      { percent: 75, holdMs: 24 * HOUR_MS },
      { percent: 98, holdMs: 24 * HOUR_MS, gate: 'approval' },
      { percent: 100 },
    ],
    bakeMs: 0,
  },
}

/** The input with its preset's steps, time and guards in place; what people gave beside it stands. */
export function expanded(input: PlanInput): PlanInput & { steps: readonly PlanStepInput[] } {
  if (input.preset === undefined) return { ...input, steps: input.steps ?? [] }
  const { steps, bakeMs } = PRESETS[input.preset]
  return {
    ...input,
    steps: [...steps],
    bakeMs: input.bakeMs ?? bakeMs,
    guards: input.guards ?? [{ type: 'errorShare' }],
  }
}
