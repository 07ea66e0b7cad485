/** Two environments beside each other: what differs, and copying from one to the other. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import { flagSchema } from '../../schemas/flag.ts'
import { keySchema, textSchema } from '../../schemas/key.ts'
import { FLAGS_MAX } from '../../schemas/limits.ts'
import { type Access, hasRole, role } from '../access/policy.ts'
import { environmentLog } from '../environments/find.ts'
import { findFlag } from '../flags/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { leftBy, writeFields, written } from '../http/write.ts'
import type { Services } from '../services.ts'
import { compared, planCopy } from './copy.ts'

const ENVIRONMENT = '/api/v1/projects/:project/environments/:environment'

const difference = z.object({ path: z.string(), here: z.json().nullable(), there: z.json().nullable() })
const comparison = z.object({
  key: keySchema,
  state: z.enum(['same', 'different', 'missing-here', 'missing-there']),
  differences: z.array(difference),
  killed: z.object({ here: z.boolean(), there: z.boolean() }),
})

export function compareRoutes(app: FastifyInstance, services: Services): void {
  const tag = 'compare'

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/compare`,
    policy: role('viewer', 'environment'),
    summary: 'What differs between this environment and another of the project',
    tag,
    query: z.strictObject({ with: keySchema, flag: keySchema.optional() }),
    response: z.object({ flags: z.array(comparison) }),
    handler({ params, query, access }) {
      const here = services.log.state(environmentLog(services, params))
      const there = services.log.state(otherLog(services, params, query.with, access))
      if (query.flag !== undefined && !there.documents.flag.has(query.flag)) findFlag(here, query.flag)
      return { flags: compared(here, there, query.flag) }
    },
  })

  route(app, {
    method: 'POST',
    url: `${ENVIRONMENT}/copy`,
    policy: role('editor', 'environment'),
    summary: 'Copy what flags do from another environment of the project, in one commit',
    description:
      'Copied are enabled, offVariation, prerequisites, targets, rules and fallthrough; kills stay where they are. A flag that is missing here comes whole.',
    tag,
    query: writeQuerySchema,
    body: z.strictObject({ from: keySchema, flags: z.array(keySchema).min(1).max(FLAGS_MAX), comment: textSchema.optional() }),
    response: z.object({ revision: z.number().int(), change: changeSchema.nullable(), flags: z.array(flagSchema) }),
    async handler(call) {
      const log = environmentLog(services, call.params)
      const source = otherLog(services, call.params, call.body.from, call.access)
      const fields = writeFields(call)
      let planned: readonly Flag[] = []
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'flag.copy',
        plan(state) {
          const edits = planCopy(state, services.log.state(source), call.body.flags)
          planned = edits.flatMap(edit => (edit.type === 'flag' && edit.after !== null ? edit.after : []))
          return edits
        },
      })
      return { ...written(commit, fields), flags: planned.map(flag => leftBy(commit, 'flag', flag.key, flag)) }
    },
  })
}

/** The log of the other environment, which the caller must be allowed to look at as well. Errors: `FORBIDDEN`, `ENVIRONMENT_NOT_FOUND`. */
function otherLog(services: Services, params: Readonly<Record<string, string>>, environment: string, access: Access): string {
  if (!hasRole(access, 'viewer', params.project, environment)) {
    throw new SluiceError(
      'FORBIDDEN',
      `Key "${access.name}" does not have the role viewer over "${params.project}/${environment}". Use a key that has it.`,
    )
  }
  return environmentLog(services, { project: params.project, environment })
}
