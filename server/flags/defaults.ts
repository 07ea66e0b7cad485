/** From a flag as people write it to the whole document: what is left out is filled in, what cannot be guessed is named. */
import { randomInt } from 'node:crypto'
import type { ErrorDetail } from '../../schemas/errors.ts'
import type { Flag, FlagDefinitionPatch, FlagInput, FlagPatch, Serve, Variation } from '../../schemas/flag.ts'
import { SEED_MAX } from '../../schemas/limits.ts'
import { STAGES, VALVE_PRESETS } from '../../schemas/values.ts'
import { valveOf } from '../../sdk/evaluator/valve.ts'
import { arranged } from './arrange.ts'

/** A seed for bucketing: random, so that no two flags move the same people by accident. */
export function randomSeed(): number {
  return randomInt(SEED_MAX + 1)
}

export type Completed =
  { readonly flag: Flag; readonly problems: readonly [] } | { readonly flag: null; readonly problems: readonly ErrorDetail[] }

const NO_CUT: ErrorDetail = {
  path: 'variations',
  code: 'missing',
  message:
    'none cuts, and a safety valve that is off or killed must let nothing through. Add { "key": "cut", "value": { "mode": "cut" } }, or leave variations out for the usual ones.',
}

/**
 * Left out: `variations` of a `release` or `kill-switch` flag are on/off, those of a `migration` its stages, those of a
 * `safety-valve` the presets; `offVariation` is `off` when there is one, or the only variation, and for a valve the first that
 * cuts; the fallthrough is `on` (for a valve `auto`) when there is one, else the first variation; `enabled` is false, except for
 * a `kill-switch` and a `safety-valve`, which are on until they are killed; no rules, targets, prerequisites.
 * @param seed used unless the input brings its own
 * @returns the document without kills, at version 1 (both are the server's to set), or every problem found
 */
export function completeFlag(input: FlagInput, seed: number): Completed {
  const variations = input.variations ?? usualVariations(input)
  if (variations === null) {
    const message = `are missing, and for a flag of kind ${input.kind} they cannot be guessed. Give at least one: [{ "key": "…", "value": … }].`
    return { flag: null, problems: [{ path: 'variations', code: 'missing', message }] }
  }
  const isValve = input.kind === 'safety-valve'
  const offVariation = input.offVariation ?? (isValve ? firstCut(variations) : usualOffVariation(variations))
  if (offVariation === null) {
    if (isValve) return { flag: null, problems: [NO_CUT] }
    const names = variations.map(variation => `"${variation.key}"`).join(', ')
    const message = `is missing, and no variation is called "off". Name the one to serve when the flag is off: one of ${names}.`
    return { flag: null, problems: [{ path: 'offVariation', code: 'missing', message }] }
  }
  const flag: Flag = {
    ...input,
    variations,
    seed: input.seed ?? seed,
    version: 1,
    enabled: input.enabled ?? (isValve || input.kind === 'kill-switch'),
    offVariation,
    prerequisites: input.prerequisites ?? [],
    targets: input.targets ?? [],
    rules: input.rules ?? [],
    fallthrough: input.fallthrough ?? usualFallthrough(variations, isValve ? 'auto' : 'on', offVariation),
    kills: [],
  }
  return { flag: arranged(flag), problems: [] }
}

function usualVariations(input: FlagInput): Variation[] | null {
  if (input.kind === 'release' || input.kind === 'kill-switch') {
    return [
      { key: 'on', value: true },
      { key: 'off', value: false },
    ]
  }
  if (input.kind === 'safety-valve') return Object.entries(VALVE_PRESETS).map(([key, value]) => ({ key, value }))
  if (input.kind === 'migration') return STAGES.map(stage => ({ key: stage, value: stage }))
  return null
}

function usualOffVariation(variations: readonly Variation[]): string | null {
  if (variations.some(variation => variation.key === 'off')) return 'off'
  const [only, second] = variations
  return only !== undefined && second === undefined ? only.key : null
}

function firstCut(variations: readonly Variation[]): string | null {
  return variations.find(({ value }) => valveOf(value)?.mode === 'cut')?.key ?? null
}

function usualFallthrough(variations: readonly Variation[], name: string, offVariation: string): Serve {
  const usual = variations.find(variation => variation.key === name) ?? variations[0]
  return { variation: usual?.key ?? offVariation }
}

/** The flag with some of its settings replaced. */
export function patchSettings(flag: Flag, patch: FlagPatch): Flag {
  const result: Record<string, unknown> = { ...flag }
  for (const [field, value] of Object.entries(patch)) if (field !== 'comment' && value !== undefined) result[field] = value
  return arranged(result as unknown as Flag)
}

/** The flag with some of its definition replaced; `null` removes an optional field. */
export function patchDefinition(flag: Flag, patch: FlagDefinitionPatch): Flag {
  const result: Record<string, unknown> = { ...flag }
  for (const [field, value] of Object.entries(patch)) {
    if (field === 'comment') continue
    if (value === null) delete result[field]
    else if (value !== undefined) result[field] = value
  }
  return arranged(result as unknown as Flag)
}
