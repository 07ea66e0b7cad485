/** History: what changed, who did it and why; how far it arrived; and taking it back. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { type Change, ACTIONS, changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { receiptsSchema } from '../../schemas/instance.ts'
import { keySchema, textSchema } from '../../schemas/key.ts'
import { NAME_LENGTH_MAX } from '../../schemas/limits.ts'
import { role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { writeFields, written } from '../http/write.ts'
import type { ChangesQuery, State } from '../log/types.ts'
import { bytesOf } from '../rulesets/draft.ts'
import type { Services } from '../services.ts'
import { contentDifferences } from './content.ts'
import { page, PAGE_BYTES_MAX, PAGE_MAX } from './page.ts'
import { type Point, pointSchema, readPoint, readRevision } from './point.ts'
import { planRevert } from './revert.ts'
import { closing, until, WAIT_MAX_MS } from './wait.ts'

const ENVIRONMENT = '/api/v1/projects/:project/environments/:environment'
/** Most entries of the chain that are recomputed for one request that asks for some at a time. */
const VERIFIED_MAX = 10_000
/** Entries of a page unless asked otherwise. */
const PAGE_USUAL = 50

const waitMs = z.coerce.number().int().min(0).max(WAIT_MAX_MS)
const revision = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const pageAnswer = z.object({ revision: z.number().int(), changes: z.array(changeSchema), more: z.boolean() })
/** The page that people read says where the next one begins. */
const listAnswer = pageAnswer.extend({ next: z.number().int().nullable() })
/** An action, or all that begin alike: `flag` for `flag.kill`, `flag.edit` and the others. */
const ACTION_NAMES = [...new Set(ACTIONS.map(action => action.split('.')[0]!)), ...ACTIONS]
const difference = z.object({ path: z.string(), before: z.json().nullable(), after: z.json().nullable() })

export function changeRoutes(app: FastifyInstance, services: Services): void {
  const tag = 'changes'
  const closed = closing(app)

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/changes`,
    policy: role('viewer', 'environment'),
    summary: 'The change log, newest first',
    description:
      'since and until are revisions (since exclusive, until inclusive) or moments (both inclusive). The next page is asked for with `next` ' +
      'as its until, or with order=oldest as its since. With actor or action a page may hold few entries, or none, although there are more.',
    tag,
    query: z.strictObject({
      since: pointSchema.optional(),
      until: pointSchema.optional(),
      flag: keySchema.optional(),
      segment: keySchema.optional(),
      actor: z.string().min(1).max(NAME_LENGTH_MAX).optional().meta({ description: 'The id of who did it, or part of the name.' }),
      action: z.enum(ACTION_NAMES).optional().meta({ description: 'As in flag.kill, or flag for all that begin so.' }),
      limit: z.coerce.number().int().min(1).max(PAGE_MAX).optional(),
      order: z.enum(['newest', 'oldest']).optional(),
    }),
    response: listAnswer,
    async handler({ params, query }) {
      const log = environmentLog(services, params)
      const since = query.since === undefined ? null : readPoint(query.since, 'since')
      const upTo = query.until === undefined ? null : readPoint(query.until, 'until')
      const asked: ChangesQuery = {
        ...(since?.kind === 'revision' ? { afterRevision: since.revision } : {}),
        ...(since?.kind === 'moment' ? { since: since.at } : {}),
        ...(upTo?.kind === 'revision' ? { toRevision: upTo.revision } : {}),
        ...(upTo?.kind === 'moment' ? { until: upTo.at } : {}),
        flag: query.flag,
        segment: query.segment,
        limit: query.limit ?? PAGE_USUAL,
        order: query.order ?? 'newest',
      }
      return { revision: services.log.state(log).revision, ...(await page(services.log, log, asked, wantedBy(query))) }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/changes/wait`,
    policy: role('viewer', 'environment'),
    summary: 'Wait until there are entries after a revision, and answer them, oldest first',
    description: 'Answers with no entries when waitMs has passed or the server closes: ask again with the same revision.',
    tag,
    query: z.strictObject({ after: revision, waitMs: waitMs.optional() }),
    response: pageAnswer,
    async handler({ params, query, request, reply }) {
      const log = environmentLog(services, params)
      const next = async (): Promise<{ changes: readonly Change[]; more: boolean }> => {
        const { changes, more } = await page(services.log, log, { afterRevision: query.after, limit: PAGE_USUAL, order: 'oldest' })
        return { changes, more }
      }
      // Listening begins before looking, so that nothing falls between.
      const published: Change[] = []
      let wake = (): void => {}
      const unsubscribe = services.log.subscribe(event => {
        if (event.log !== log || event.change.revision <= query.after) return
        if (published.length < PAGE_USUAL) published.push(event.change)
        wake()
      })
      try {
        let found = await next()
        if (found.changes.length === 0 && published.length === 0) {
          await until(services.clock, query.waitMs ?? WAIT_MAX_MS, closed, { request, reply }, done => {
            wake = done
            return () => {}
          })
        }
        if (found.changes.length === 0 && !closed.aborted) found = await next()
        // An entry that is not stored yet is known from its publishing alone.
        if (found.changes.length === 0) found = { changes: published, more: false }
        return { revision: services.log.state(log).revision, ...found }
      } finally {
        unsubscribe()
      }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/changes/:revision`,
    policy: role('viewer', 'environment'),
    summary: 'One entry of the change log',
    tag,
    response: changeSchema,
    async handler({ params }) {
      return services.log.change(environmentLog(services, params), readRevision(params.revision))
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/changes/:revision/receipts`,
    policy: role('viewer', 'environment'),
    summary: 'Has a revision arrived? How many connected instances have confirmed it, and who is missing',
    tag,
    query: z.strictObject({ waitMs: waitMs.optional() }),
    response: receiptsSchema,
    async handler({ params, query, request, reply }) {
      const log = environmentLog(services, params)
      const asked = readRevision(params.revision)
      const newest = services.log.state(log).revision
      if (asked > newest) {
        throw new SluiceError('CHANGE_NOT_FOUND', `"${log}" has no revision ${asked} yet; the newest is ${newest}. Give one up to that.`)
      }
      const ms = query.waitMs ?? 0
      if (ms === 0) return services.hub.receipts(log, asked)
      await until(services.clock, ms, closed, { request, reply }, done => {
        // However the waiting ends, what is known then is the answer.
        void services.hub.arrived(log, asked, ms).then(done, done)
        return () => {}
      })
      return services.hub.receipts(log, asked)
    },
  })

  route(app, {
    method: 'POST',
    url: `${ENVIRONMENT}/changes/:revision/revert`,
    policy: role('editor', 'environment'),
    summary: 'Take one change back: what it touched stands again as before it, by a new entry',
    description: 'Kills are not touched: those that stand now stay, none comes back.',
    tag,
    query: writeQuerySchema.extend({
      force: z
        .enum(['true', 'false'])
        .optional()
        .meta({ description: 'Revert although a document was changed since; what was changed is lost.' }),
    }),
    body: z.strictObject({ comment: textSchema.optional() }),
    response: z.object({ revision: z.number().int(), change: changeSchema.nullable() }),
    async handler(call) {
      const log = environmentLog(services, call.params)
      const fields = writeFields(call)
      const change = await services.log.change(log, readRevision(call.params.revision))
      const later = await laterEdits(services, log, change)
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'change.revert',
        reverts: change.revision,
        plan: state => planRevert(state, change, later, call.query.force === 'true'),
      })
      return written(commit, fields)
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/diff`,
    policy: role('viewer', 'environment'),
    summary: 'What differs between two revisions or moments',
    description: 'from is the one before the newest and to the newest, unless given.',
    tag,
    query: z.strictObject({ from: pointSchema.optional(), to: pointSchema.optional(), flag: keySchema.optional() }),
    response: z.object({
      from: z.number().int(),
      to: z.number().int(),
      documents: z.array(z.object({ type: z.enum(['flag', 'segment']), key: keySchema, differences: z.array(difference) })),
      more: z.boolean(),
    }),
    async handler({ params, query }) {
      const log = environmentLog(services, params)
      const to = query.to === undefined ? services.log.state(log).revision : await revisionOf(services, log, readPoint(query.to, 'to'))
      const from = query.from === undefined ? Math.max(0, to - 1) : await revisionOf(services, log, readPoint(query.from, 'from'))
      const before = await services.log.stateAt(log, from)
      const after = await services.log.stateAt(log, to)
      return { from, to, ...documentsBetween(before, after, query.flag) }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/verify`,
    policy: role('viewer', 'environment'),
    summary: 'Recompute the log’s hash chain and say whether it holds',
    description:
      'With `most` that many entries at a time: `reached` says how far it came, and goes into the next request as `after` and `hash`, ' +
      'until it is the newest revision.',
    tag,
    query: z.strictObject({
      after: revision.optional(),
      hash: z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .optional()
        .meta({ description: 'Of the entry `after`, as it was answered.' }),
      most: z.coerce.number().int().min(1).max(VERIFIED_MAX).optional(),
    }),
    response: z.object({
      log: z.string(),
      revision: z.number().int(),
      hash: z.string(),
      brokenAt: z.number().int().nullable(),
      reached: z.object({ revision: z.number().int(), hash: z.string() }),
    }),
    handler({ params, query: { after, hash, most } }) {
      if ((after === undefined) !== (hash === undefined)) {
        throw new SluiceError('INVALID_REQUEST', 'The query cannot be taken: after and hash belong together. Give both of `reached`.', {
          details: [{ path: after === undefined ? 'after' : 'hash', code: 'missing', message: 'is missing beside the other' }],
        })
      }
      const from = after === undefined || hash === undefined ? undefined : { revision: after, hash }
      return services.log.verify(environmentLog(services, params), { from, most })
    },
  })
}

/** What the filters on actor and action let pass; undefined for everything. */
function wantedBy({
  actor,
  action,
}: {
  actor?: string | undefined
  action?: string | undefined
}): ((change: Change) => boolean) | undefined {
  if (actor === undefined && action === undefined) return undefined
  const name = actor?.toLowerCase()
  return change =>
    (action === undefined || change.action === action || change.action.startsWith(`${action}.`)) &&
    (name === undefined || change.actor.id === actor || change.actor.name.toLowerCase().includes(name))
}

/** The revision a point names. */
export async function revisionOf(services: Pick<Services, 'log'>, log: string, point: Point): Promise<number> {
  return point.kind === 'revision' ? point.revision : services.log.revisionAt(log, point.at)
}

/** The newest few entries after a change that edited the same documents; kills and lifts are no edits. */
async function laterEdits(services: Services, log: string, change: Change): Promise<Change[]> {
  const later = new Map<number, Change>()
  for (const edit of change.edits.slice(0, 20)) {
    const found = await services.log.changes(log, {
      afterRevision: change.revision,
      ...(edit.type === 'flag' ? { flag: edit.key } : { segment: edit.key }),
      limit: 20,
      order: 'newest',
    })
    for (const entry of found) if (!['flag.kill', 'flag.lift', 'flag.expire'].includes(entry.action)) later.set(entry.revision, entry)
  }
  return [...later.values()].sort((a, b) => a.revision - b.revision)
}

type DocumentDifferences = { type: 'flag' | 'segment'; key: string; differences: ReturnType<typeof contentDifferences> }

function documentsBetween(before: State, after: State, only: string | undefined): { documents: DocumentDifferences[]; more: boolean } {
  const documents: DocumentDifferences[] = []
  let bytes = 0
  for (const type of ['flag', 'segment'] as const) {
    if (only !== undefined && type === 'segment') continue
    const keys = new Set([...before.documents[type].keys(), ...after.documents[type].keys()])
    for (const key of [...keys].sort()) {
      if (only !== undefined && key !== only) continue
      const found = contentDifferences(before.documents[type].get(key) ?? null, after.documents[type].get(key) ?? null, ['version'])
      if (found.length === 0) continue
      bytes += bytesOf(found)
      if (documents.length > 0 && bytes > PAGE_BYTES_MAX) return { documents, more: true }
      documents.push({ type, key, differences: found })
    }
  }
  return { documents, more: false }
}
