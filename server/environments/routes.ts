/** Environments: separate settings for the same flags. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { ENVIRONMENTS_MAX } from '../../schemas/limits.ts'
import { type Environment, environmentInputSchema, environmentSchema, placePatchSchema } from '../../schemas/project.ts'
import { kinds, role } from '../access/policy.ts'
import { checkSees, seesEnvironment } from '../access/visible.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { checkVersion, leftBy, writeFields, written } from '../http/write.ts'
import { logOf, type PlannedEdit, SERVER_LOG } from '../log/types.ts'
import { refuseBuiltInPlace } from '../limits/builtin.ts'
import { withoutHashes } from '../keys/redact.ts'
import { patchPlace } from '../projects/patch.ts'
import type { Services } from '../services.ts'
import { environmentsOf, findEnvironment, findProject } from './find.ts'
import { firstDocuments } from './firstdocuments.ts'

const P = '/api/v1/projects/:project'
const writtenShape = { revision: z.number().int(), change: changeSchema.nullable(), dryRun: z.literal(true).optional() }
const answerSchema = z.object({ ...writtenShape, environment: environmentSchema })

export function environmentRoutes(app: FastifyInstance, services: Services): void {
  const { log } = services

  route(app, {
    method: 'GET',
    url: `${P}/environments`,
    policy: kinds('admin'),
    tag: 'environments',
    summary: 'The environments of a project that the key gives access to',
    response: z.object({ environments: z.array(environmentSchema.extend({ revision: z.number().int() })) }),
    handler: ({ params, access }) => {
      const project = params.project ?? ''
      checkSees(access, project)
      findProject(services, project)
      const environments = environmentsOf(services, project).filter(({ environment }) => seesEnvironment(access, project, environment))
      return { environments: environments.map(item => ({ ...item, revision: log.state(item.key).revision })) }
    },
  })

  route(app, {
    method: 'POST',
    url: `${P}/environments`,
    policy: role('admin', 'project'),
    tag: 'environments',
    summary: 'Create an environment',
    description:
      'It gets every flag of the project, off and without rules; with `copyFrom` flags and segments as they stand there, without kills.',
    query: writeQuerySchema,
    body: environmentInputSchema,
    response: answerSchema,
    status: 201,
    handler: async call => {
      const project = call.params.project ?? ''
      refuseBuiltInPlace(project)
      const { key: environment, name, description, copyFrom } = call.body
      const key = logOf(project, environment)
      const document: Environment = {
        key,
        project,
        environment,
        name: name ?? environment,
        ...(description === undefined ? {} : { description }),
        version: 1,
      }
      const fields = writeFields(call)
      const [commit] = await log.commitAll([
        {
          log: SERVER_LOG,
          action: 'environment.create',
          ...fields,
          plan: ({ documents }) => {
            findProject(services, project)
            if (documents.environment.has(key)) {
              throw new SluiceError(
                'ALREADY_EXISTS',
                `There is an environment "${environment}" in project "${project}" already. Choose another key.`,
              )
            }
            if (environmentsOf(services, project).length >= ENVIRONMENTS_MAX) {
              throw new SluiceError(
                'LIMIT_EXCEEDED',
                `Project "${project}" has ${ENVIRONMENTS_MAX} environments, the most it can. Delete one.`,
              )
            }
            return [{ type: 'environment', key, after: document }]
          },
        },
        { log: key, action: 'environment.create', ...fields, plan: state => firstDocuments(services, project, copyFrom, state) },
      ])
      if (commit === undefined) throw new Error('a commit of two logs answered none')
      return { ...written(commit, fields), environment: leftBy(commit, 'environment', key, document) }
    },
  })

  route(app, {
    method: 'GET',
    url: `${P}/environments/:environment`,
    policy: role('viewer', 'environment'),
    tag: 'environments',
    summary: 'One environment, with its revision',
    response: environmentSchema.extend({ revision: z.number().int() }),
    handler: ({ params, reply }) => {
      const environment = findEnvironment(services, params.project ?? '', params.environment ?? '')
      reply.header('etag', `"${environment.version}"`)
      return { ...environment, revision: log.state(environment.key).revision }
    },
  })

  route(app, {
    method: 'PATCH',
    url: `${P}/environments/:environment`,
    policy: role('admin', 'environment'),
    tag: 'environments',
    summary: 'Edit the name or description of an environment',
    query: writeQuerySchema,
    body: placePatchSchema,
    response: answerSchema,
    handler: async call => {
      const { project = '', environment = '' } = call.params
      const before = findEnvironment(services, project, environment)
      const fields = writeFields(call)
      const commit = await log.commit({
        log: SERVER_LOG,
        action: 'environment.edit',
        ...fields,
        plan: () => {
          const document = findEnvironment(services, project, environment)
          checkVersion(`Environment "${document.key}"`, document.version, call.ifMatch)
          return [{ type: 'environment', key: document.key, after: patchPlace(document, call.body) }]
        },
      })
      return { ...written(commit, fields), environment: leftBy(commit, 'environment', before.key, before) }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${P}/environments/:environment`,
    policy: role('admin', 'project'),
    tag: 'environments',
    summary: 'Delete an environment, with the keys for it',
    description: 'Refused while kills stand or SDK instances are connected, unless `force=true`. Its log is kept.',
    query: writeQuerySchema.extend({ force: z.enum(['true', 'false']).optional() }),
    response: z.object({ ...writtenShape, revokedKeys: z.array(z.string()) }),
    handler: async call => {
      const { project = '', environment = '' } = call.params
      refuseBuiltInPlace(project)
      const fields = writeFields(call)
      let revokedKeys: string[] = []
      const commit = await log.commit({
        log: SERVER_LOG,
        action: 'environment.delete',
        ...fields,
        plan: ({ documents }) => {
          const document = findEnvironment(services, project, environment)
          checkVersion(`Environment "${document.key}"`, document.version, call.ifMatch)
          if (call.query.force !== 'true') checkUnused(services, document.key)
          const keys = [...documents.key.values()].filter(key => key.project === project && key.environment === environment)
          revokedKeys = keys.map(key => key.key)
          return [
            { type: 'environment', key: document.key, after: null },
            ...revokedKeys.map((key): PlannedEdit => ({ type: 'key', key, after: null })),
          ]
        },
      })
      const answer = written(commit, fields)
      return { ...answer, change: answer.change === null ? null : withoutHashes(answer.change), revokedKeys }
    },
  })
}

/** Error: `ENVIRONMENT_IN_USE`. */
function checkUnused({ log, hub }: Services, name: string): void {
  const killed = [...log.state(name).documents.flag.values()].filter(flag => flag.kills.length > 0).map(flag => flag.key)
  if (killed.length > 0) {
    throw new SluiceError(
      'ENVIRONMENT_IN_USE',
      `In "${name}" kills stand over ${killed.slice(0, 10).join(', ')}. Lift them first, or say force=true.`,
    )
  }
  const instances = hub.instances(name).length
  if (instances > 0) {
    throw new SluiceError(
      'ENVIRONMENT_IN_USE',
      `${instances} SDK instances are connected to "${name}". Stop them first, or say force=true.`,
    )
  }
}
