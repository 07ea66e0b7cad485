/** Everything an evaluator needs for one environment. */
import { z } from 'zod'
import { flagInputSchema, flagSchema } from './flag.ts'
import { FLAGS_MAX, SEGMENTS_MAX } from './limits.ts'
import { segmentInputSchema, segmentSchema } from './segment.ts'

/** As the server keeps and exports it. */
export const rulesetSchema = z
  .strictObject({ flags: z.array(flagSchema).max(FLAGS_MAX), segments: z.array(segmentSchema).max(SEGMENTS_MAX) })
  .meta({ id: 'Ruleset' })
export type Ruleset = z.infer<typeof rulesetSchema>

/** As people import it: an exported document, or one written by hand. */
export const rulesetInputSchema = z
  .strictObject({ flags: z.array(flagInputSchema).max(FLAGS_MAX), segments: z.array(segmentInputSchema).max(SEGMENTS_MAX).optional() })
  .meta({ id: 'RulesetInput' })
export type RulesetInput = z.infer<typeof rulesetInputSchema>
