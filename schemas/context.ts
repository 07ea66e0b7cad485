/** Who or what is asking: OpenFeature's evaluation context. */
import { z } from 'zod'
import { type Json, jsonSchema, unfit } from './json.ts'
import { ARRAY_MAX, ATTRIBUTES_MAX, VALUE_LENGTH_MAX } from './limits.ts'

/** `targetingKey` plus any JSON attributes. */
export interface Context {
  readonly targetingKey?: string
  readonly [attribute: string]: Json | undefined
}

/** A context as it arrives over HTTP: bounded in attributes, depth, text and array length. */
export const contextSchema = z
  .looseObject({ targetingKey: z.string().max(VALUE_LENGTH_MAX).optional() })
  .catchall(jsonSchema)
  .superRefine((context, refinement) => {
    const problem = unfit(context)
    if (problem !== null) refinement.addIssue({ code: 'custom', path: problem.path === '' ? [] : [problem.path], message: problem.message })
    if (Object.keys(context).length > ATTRIBUTES_MAX) {
      refinement.addIssue({
        code: 'custom',
        path: [],
        message: `has more than ${ATTRIBUTES_MAX} attributes. Send only those that rules look at`,
      })
    }
    for (const [name, value] of Object.entries(context)) {
      if (typeof value === 'string' && value.length > VALUE_LENGTH_MAX) {
        refinement.addIssue({ code: 'custom', path: [name], message: `is longer than ${VALUE_LENGTH_MAX} characters` })
      }
      if (Array.isArray(value) && value.length > ARRAY_MAX) {
        refinement.addIssue({ code: 'custom', path: [name], message: `has more than ${ARRAY_MAX} elements` })
      }
    }
  })
  .meta({ id: 'Context', description: 'Who or what is asking: targetingKey plus any JSON attributes.' })
