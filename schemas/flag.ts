/** A flag: what it is (the same in every environment) and what it does (in one), as the one document an SDK receives. */
import { z } from 'zod'
import { attributeSchema, clausesSchema, valuesSchema } from './clause.ts'
import { jsonSchema } from './json.ts'
import { keySchema, nameSchema, textSchema } from './key.ts'
import { killSchema } from './kill.ts'
import {
  CLAUSES_MAX,
  KILLS_MAX,
  METADATA_MAX,
  PREREQUISITES_MAX,
  RULES_MAX,
  SEED_MAX,
  TAGS_MAX,
  TARGETS_MAX,
  VARIATIONS_MAX,
  WEIGHT_TOTAL,
} from './limits.ts'

/** Decides what the values may be and how the flag lives. */
export const FLAG_KINDS = ['release', 'kill-switch', 'config', 'rate-limit', 'safety-valve', 'migration'] as const
export const flagKindSchema = z.enum(FLAG_KINDS)
export type FlagKind = z.infer<typeof flagKindSchema>

export const variationSchema = z
  .strictObject({ key: keySchema, value: jsonSchema, name: nameSchema.optional(), description: textSchema.optional() })
  .meta({ id: 'Variation', description: 'One value the flag can yield.' })
export type Variation = z.infer<typeof variationSchema>

export const seedSchema = z.number().int().min(0).max(SEED_MAX)

export const weightSchema = z.strictObject({ variation: keySchema, weight: z.number().int().min(0).max(WEIGHT_TOTAL) })

export const rolloutSchema = z
  .strictObject({ by: attributeSchema.optional(), seed: seedSchema.optional(), weights: z.array(weightSchema).min(1).max(VARIATIONS_MAX) })
  .meta({ id: 'Rollout', description: `A split by the value of \`by\` (targetingKey unless given); weights add up to ${WEIGHT_TOTAL}.` })
export type Rollout = z.infer<typeof rolloutSchema>

/** An outcome: exactly one of a variation and a rollout. */
export const serveSchema = z
  .union([z.strictObject({ variation: keySchema }), z.strictObject({ rollout: rolloutSchema })])
  .meta({ id: 'Serve' })
export type Serve = z.infer<typeof serveSchema>

export const ruleSchema = z
  .strictObject({
    id: keySchema,
    name: nameSchema.optional(),
    description: textSchema.optional(),
    clauses: clausesSchema,
    serve: serveSchema,
  })
  .meta({ id: 'Rule', description: `An ordered condition (at most ${CLAUSES_MAX} clauses, all must match) with an outcome.` })
export type Rule = z.infer<typeof ruleSchema>

export const targetSchema = z
  .strictObject({ attribute: attributeSchema.optional(), values: valuesSchema, variation: keySchema })
  .meta({ id: 'Target' })
export type Target = z.infer<typeof targetSchema>

export const prerequisiteSchema = z
  .strictObject({ flag: keySchema, variations: z.array(keySchema).min(1).max(VARIATIONS_MAX) })
  .meta({ id: 'Prerequisite' })
export type Prerequisite = z.infer<typeof prerequisiteSchema>

/** What a flag is: shared by every environment of the project. */
export const flagDefinitionShape = {
  kind: flagKindSchema,
  name: nameSchema.optional(),
  description: textSchema.optional(),
  owner: nameSchema.optional(),
  tags: z.array(nameSchema).max(TAGS_MAX).optional(),
  runbook: z.url().max(2_000).optional(),
  /** Whether somebody should remove it one day; by its kind unless given. */
  temporary: z.boolean().optional(),
  /** Whether client keys (browsers) may evaluate it. */
  clientVisible: z.boolean().optional(),
  metadata: z
    .record(keySchema, z.union([z.string().max(1_000), z.number(), z.boolean()]))
    .refine(metadata => Object.keys(metadata).length <= METADATA_MAX, `has more than ${METADATA_MAX} entries`)
    .optional(),
  variations: z.array(variationSchema).min(1).max(VARIATIONS_MAX),
  seed: seedSchema,
}

/** What a flag does: its own in every environment. */
export const flagSettingsShape = {
  enabled: z.boolean(),
  offVariation: keySchema,
  prerequisites: z.array(prerequisiteSchema).max(PREREQUISITES_MAX),
  targets: z.array(targetSchema).max(TARGETS_MAX),
  rules: z.array(ruleSchema).max(RULES_MAX),
  fallthrough: serveSchema,
}

/** The one document: definition, settings, and what the server keeps (`version`, `kills`). */
export const flagSchema = z
  .strictObject({
    key: keySchema,
    ...flagDefinitionShape,
    /** Grows by one whenever this flag changes in this environment. */
    version: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
    ...flagSettingsShape,
    kills: z.array(killSchema).max(KILLS_MAX),
  })
  .meta({ id: 'Flag', description: 'A named decision in one environment.' })
export type Flag = z.infer<typeof flagSchema>

const { enabled, prerequisites, targets, rules, offVariation, fallthrough } = flagSettingsShape

/**
 * A flag as people write it, in `POST /flags` and in an import. Left out: `variations` of a boolean flag are on/off;
 * `offVariation` is `off` when there is one; the fallthrough is `on` when there is one, else the first variation;
 * `enabled` is false, except for a `kill-switch`, which is on until it is killed; a random seed. What cannot be guessed is an error that says so.
 */
export const flagInputSchema = z
  .strictObject({
    key: keySchema,
    ...flagDefinitionShape,
    variations: flagDefinitionShape.variations.optional(),
    seed: seedSchema.optional(),
    enabled: enabled.optional(),
    offVariation: offVariation.optional(),
    prerequisites: prerequisites.optional(),
    targets: targets.optional(),
    rules: rules.optional(),
    fallthrough: fallthrough.optional(),
    /** Accepted so that an exported document can be sent back; the server keeps its own. */
    version: z.number().int().optional(),
    kills: z.array(killSchema).max(KILLS_MAX).optional(),
  })
  .meta({ id: 'FlagInput' })
export type FlagInput = z.infer<typeof flagInputSchema>

/** A partial edit of what a flag does in one environment. */
export const flagPatchSchema = z
  .strictObject({
    enabled: enabled.optional(),
    offVariation: offVariation.optional(),
    prerequisites: prerequisites.optional(),
    targets: targets.optional(),
    rules: rules.optional(),
    fallthrough: fallthrough.optional(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'FlagPatch', description: 'The fields to replace; the others stay.' })
export type FlagPatch = z.infer<typeof flagPatchSchema>

const nullable = <T extends z.ZodType>(schema: T) => schema.nullish()

/** A partial edit of what a flag is, in every environment at once. `null` removes an optional field. */
export const flagDefinitionPatchSchema = z
  .strictObject({
    kind: flagKindSchema.optional(),
    name: nullable(nameSchema),
    description: nullable(textSchema),
    owner: nullable(nameSchema),
    tags: nullable(z.array(nameSchema).max(TAGS_MAX)),
    runbook: nullable(z.url().max(2_000)),
    temporary: nullable(z.boolean()),
    clientVisible: nullable(z.boolean()),
    metadata: nullable(flagDefinitionShape.metadata.unwrap()),
    variations: flagDefinitionShape.variations.optional(),
    comment: textSchema.optional(),
  })
  .meta({ id: 'FlagDefinitionPatch' })
export type FlagDefinitionPatch = z.infer<typeof flagDefinitionPatchSchema>
