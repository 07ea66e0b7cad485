/** The keys people give to projects, environments, flags, variations, segments and rules. */
import { z } from 'zod'
import { KEY_PATTERN, KEYS_REFUSED, NAME_LENGTH_MAX, TEXT_LENGTH_MAX } from './limits.ts'

/** `[A-Za-z0-9][A-Za-z0-9._-]{0,127}`, and no name that every JavaScript object inherits. */
export const keySchema = z
  .string()
  .regex(KEY_PATTERN, 'must be 1 to 128 of A-Z a-z 0-9 . _ - and start with a letter or digit')
  .refine(key => !KEYS_REFUSED.includes(key), 'is reserved. Choose another key')
  .meta({ description: '1 to 128 of A-Z a-z 0-9 . _ - starting with a letter or digit.' })

const wellFormed = (text: string): boolean => text.isWellFormed()

/** A short text for people: a name, an owner, a tag. */
export const nameSchema = z.string().min(1).max(NAME_LENGTH_MAX).refine(wellFormed, 'holds half of a surrogate pair')
/** A longer text for people: a description, a reason, a comment. */
export const textSchema = z.string().max(TEXT_LENGTH_MAX).refine(wellFormed, 'holds half of a surrogate pair')
/** A moment: RFC 3339 with an offset, as in `2026-11-21T03:12:00Z`. */
export const momentSchema = z.iso.datetime({ offset: true, message: 'must be a moment as in 2026-11-21T03:12:00Z' })
