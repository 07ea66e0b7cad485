/** One test within a rule, kill or segment: `attribute op values`, values OR-ed, optionally negated. */
import { z } from 'zod'
import { scalarSchema } from './json.ts'
import { ATTRIBUTE_LENGTH_MAX, CLAUSES_MAX, VALUE_LENGTH_MAX, VALUES_MAX } from './limits.ts'
import { OPERATORS } from './operator.ts'

/** A plain attribute name, or a JSON Pointer (RFC 6901) when it starts with `/`. */
export const attributeSchema = z
  .string()
  .min(1)
  .max(ATTRIBUTE_LENGTH_MAX)
  .refine(
    name => !name.startsWith('/') || /^([^~]|~[01])*$/.test(name),
    'is not a JSON Pointer: "~" must be written "~0", "/" within a name "~1"',
  )
  .meta({ description: 'A plain attribute name, or a JSON Pointer when it starts with "/".' })

/** The listed values of a clause, target or segment. */
export const valuesSchema = z
  .array(
    scalarSchema.refine(
      value => typeof value !== 'string' || value.length <= VALUE_LENGTH_MAX,
      `is longer than ${VALUE_LENGTH_MAX} characters`,
    ),
  )
  .max(VALUES_MAX)

/** Shape only: whether an operator can use its operands is decided by the evaluator's `checkClause`, the same code that reads them. */
export const clauseSchema = z
  .strictObject({
    attribute: attributeSchema.optional(),
    op: z.enum(OPERATORS),
    values: valuesSchema,
    negate: z.boolean().optional(),
    ignoreCase: z.boolean().optional(),
  })
  .meta({
    id: 'Clause',
    description: 'attribute op values: matches if any value does; negate flips the verdict of an attribute that is present.',
  })
export type Clause = z.infer<typeof clauseSchema>

export const clausesSchema = z.array(clauseSchema).max(CLAUSES_MAX)
