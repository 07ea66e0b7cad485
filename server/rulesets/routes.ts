/** A whole environment as one document: export, now or at any point of its history, and import in one commit. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { textSchema } from '../../schemas/key.ts'
import { FLAGS_MAX, RULESET_BYTES_MAX, SEGMENTS_MAX } from '../../schemas/limits.ts'
import { rulesetInputSchema, rulesetSchema } from '../../schemas/ruleset.ts'
import { role } from '../access/policy.ts'
import { type Point, pointSchema, readPoint } from '../changes/point.ts'
import { revisionOf } from '../changes/routes.ts'
import { environmentLog } from '../environments/find.ts'
import { refuseLargeSteps } from '../flags/ratestep.ts'
import { randomSeed } from '../flags/defaults.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { checkVersion, writeFields, written } from '../http/write.ts'
import type { PlannedEdit, State } from '../log/types.ts'
import type { Services } from '../services.ts'
import { type Import, planImport } from './import.ts'

const ENVIRONMENT = '/api/v1/projects/:project/environments/:environment'

const keys = z.array(z.string())
const summary = z.object({ created: keys, changed: keys, archived: keys, unchanged: z.number().int() })

export function rulesetRoutes(app: FastifyInstance, services: Services): void {
  const tag = 'rulesets'

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/ruleset`,
    policy: role('viewer', 'environment'),
    summary: 'Export the environment: every flag and segment, sorted by key',
    description: 'As it stands, or as it stood at a revision or a moment. The ETag is the revision.',
    tag,
    query: z.strictObject({ revision: pointSchema.optional(), at: pointSchema.optional() }),
    response: rulesetSchema,
    async handler({ params, query, reply }) {
      const log = environmentLog(services, params)
      const point = exportPoint(query)
      const state = point === null ? services.log.state(log) : await services.log.stateAt(log, await revisionOf(services, log, point))
      reply.header('etag', `"${state.revision}"`).header('sluice-revision', state.revision)
      return documentsOf(state)
    },
  })

  route(app, {
    method: 'PUT',
    url: `${ENVIRONMENT}/ruleset`,
    policy: role('editor', 'environment'),
    summary: 'Import the environment as a whole, in one commit',
    description:
      'What the document does not name is archived. Seeds are kept where none is given, versions are the server’s, standing kills stay. Refused when it would drop a killed flag. If-Match takes the revision that an export answered with.',
    tag,
    query: writeQuerySchema.extend({
      force: z.enum(['true', 'false']).optional().meta({ description: 'Change a rate by more than ten times in one step.' }),
    }),
    body: rulesetInputSchema.extend({ comment: textSchema.optional() }),
    longLists: { flags: FLAGS_MAX, segments: SEGMENTS_MAX },
    bodyLimit: RULESET_BYTES_MAX,
    response: z.object({
      revision: z.number().int(),
      change: changeSchema.nullable(),
      flags: summary,
      segments: summary,
      ignoredKills: z.array(z.object({ flag: z.string(), id: z.string() })),
    }),
    async handler(call) {
      const log = environmentLog(services, call.params)
      const fields = writeFields(call)
      const seeds = new Map<string, number>()
      const seedOf = (key: string): number => {
        const seed = seeds.get(key) ?? randomSeed()
        seeds.set(key, seed)
        return seed
      }
      let planned: Import | undefined
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'ruleset.import',
        isLong: true,
        async plan(state) {
          checkVersion(`Ruleset of "${log}"`, state.revision, call.ifMatch)
          planned = await planImport(state, call.body, seedOf)
          if (call.query.force !== 'true') refuseLargeSteps(state, planned.edits, placeIn(call.body.flags))
          return planned.edits
        },
      })
      return { ...written(commit, fields), flags: planned?.flags, segments: planned?.segments, ignoredKills: planned?.ignoredKills }
    },
  })
}

/** Where a flag stands in the document, for errors. */
function placeIn(flags: readonly { readonly key: string }[]): (edit: PlannedEdit) => string {
  return edit => `flags[${flags.findIndex(({ key }) => key === edit.key)}]`
}

function exportPoint(query: { revision?: string | undefined; at?: string | undefined }): Point | null {
  if (query.revision !== undefined && query.at !== undefined) {
    throw new SluiceError('INVALID_REQUEST', 'The query cannot be taken: it names both a revision and a moment. Leave one out.', {
      details: [{ path: 'at', code: 'ambiguous', message: 'is given beside revision' }],
    })
  }
  if (query.revision !== undefined) return readPoint(query.revision, 'revision')
  return query.at === undefined ? null : readPoint(query.at, 'at')
}

function documentsOf(state: State): z.infer<typeof rulesetSchema> {
  const sorted = <T>(documents: ReadonlyMap<string, T>): T[] =>
    [...documents].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, document]) => document)
  return { flags: sorted(state.documents.flag), segments: sorted(state.documents.segment) }
}
