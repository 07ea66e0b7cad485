/**
 * The shapes as JSON Schema (draft 2020-12), for editors, other languages and whoever checks a document before sending
 * it. Generated from the zod schemas, so that there is no second list to keep; what a schema of JSON cannot say (weights
 * that add up, keys that exist) is checked by the server and named in its answer.
 */
import { z } from 'zod'
import { alertSchema } from './alert.ts'
import { changeSchema } from './change.ts'
import { chatSchema } from './chat.ts'
import { clientDownstreamSchema, clientUpstreamSchema } from './clientstream.ts'
import { clauseSchema } from './clause.ts'
import { contextSchema } from './context.ts'
import { flagDefinitionPatchSchema, flagInputSchema, flagPatchSchema, flagSchema, rolloutSchema } from './flag.ts'
import { holdRequestSchema, holdSchema } from './hold.ts'
import { hookDeliverySchema, hookInputSchema, hookPatchSchema, hookSchema } from './hook.ts'
import { instanceSchema, receiptsSchema } from './instance.ts'
import { killRequestSchema, killSchema } from './kill.ts'
import { planEvidenceSchema, planInputSchema, planSchema, scheduleInputSchema, scheduleSchema } from './plan.ts'
import { environmentSchema, projectSchema } from './project.ts'
import { rulesetInputSchema, rulesetSchema } from './ruleset.ts'
import { segmentInputSchema, segmentPatchSchema, segmentSchema } from './segment.ts'
import { downstreamSchema, upstreamSchema } from './stream.ts'
import { throttleRequestSchema, throttleSchema } from './throttle.ts'
import { triggerInputSchema, triggerSchema } from './trigger.ts'
import { rateValueSchema, stageSchema, valveValueSchema } from './values.ts'

/** Every published shape by its name. Names are permanent, as are the fields they require. */
export const PUBLISHED = {
  Alert: alertSchema,
  Change: changeSchema,
  Chat: chatSchema,
  Clause: clauseSchema,
  ClientDownstream: clientDownstreamSchema,
  ClientUpstream: clientUpstreamSchema,
  Context: contextSchema,
  Downstream: downstreamSchema,
  Environment: environmentSchema,
  Flag: flagSchema,
  FlagDefinitionPatch: flagDefinitionPatchSchema,
  FlagInput: flagInputSchema,
  FlagPatch: flagPatchSchema,
  Hold: holdSchema,
  HoldRequest: holdRequestSchema,
  Hook: hookSchema,
  HookDelivery: hookDeliverySchema,
  HookInput: hookInputSchema,
  HookPatch: hookPatchSchema,
  Instance: instanceSchema,
  Kill: killSchema,
  KillRequest: killRequestSchema,
  Plan: planSchema,
  PlanEvidence: planEvidenceSchema,
  PlanInput: planInputSchema,
  Project: projectSchema,
  RateValue: rateValueSchema,
  Receipts: receiptsSchema,
  Rollout: rolloutSchema,
  Ruleset: rulesetSchema,
  RulesetInput: rulesetInputSchema,
  Schedule: scheduleSchema,
  ScheduleInput: scheduleInputSchema,
  Segment: segmentSchema,
  SegmentInput: segmentInputSchema,
  SegmentPatch: segmentPatchSchema,
  Stage: stageSchema,
  Throttle: throttleSchema,
  ThrottleRequest: throttleRequestSchema,
  Trigger: triggerSchema,
  TriggerInput: triggerInputSchema,
  Upstream: upstreamSchema,
  ValveValue: valveValueSchema,
} as const satisfies Record<string, z.ZodType>

export type PublishedName = keyof typeof PUBLISHED

/** The shape as one JSON Schema document that stands alone: what it refers to is in its own `$defs`. */
export function publishedSchema(name: PublishedName): Record<string, unknown> {
  const { $schema, id: _, ...rest } = z.toJSONSchema(PUBLISHED[name], { target: 'draft-2020-12', io: 'input' })
  return { $schema, title: name, ...rest }
}
