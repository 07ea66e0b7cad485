/** A point in a log as people name it: a revision, or a moment. */
import { z } from 'zod'
import { SluiceError } from '../../schemas/errors.ts'
import { momentSchema } from '../../schemas/key.ts'

export type Point = { readonly kind: 'revision'; readonly revision: number } | { readonly kind: 'moment'; readonly at: number }

/** In a query: parsed by `readPoint`, so that the error can say what it is for. */
export const pointSchema = z.string().min(1).max(64).meta({ description: 'A revision number, or a moment as in 2026-11-21T03:12:00Z.' })

/** Error: `INVALID_REQUEST`, naming the field. */
export function readPoint(text: string, field: string): Point {
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return { kind: 'revision', revision: Number(text) }
  // A query turns the plus of an offset into a space; nothing else puts one there.
  const written = text.replace(' ', '+')
  if (momentSchema.safeParse(written).success) return { kind: 'moment', at: Date.parse(written) }
  throw new SluiceError(
    'INVALID_REQUEST',
    `The query cannot be taken: ${field} is ${JSON.stringify(text)}, expected a revision number or a moment as in 2026-11-21T03:12:00Z.`,
    {
      details: [{ path: field, code: 'invalid_point', message: 'must be a revision number, or a moment as in 2026-11-21T03:12:00Z' }],
    },
  )
}

/** The revision of a path. Error: `INVALID_REQUEST`. */
export function readRevision(text: string | undefined): number {
  if (text !== undefined && /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
  throw new SluiceError(
    'INVALID_REQUEST',
    `The path holds ${JSON.stringify(text)} where a revision is expected. Give its number, as in changes/41.`,
    {
      details: [{ path: 'revision', code: 'invalid_revision', message: 'must be a number' }],
    },
  )
}
