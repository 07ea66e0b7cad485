/** Projects: what owns flags and environments. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import { PROJECTS_MAX } from '../../schemas/limits.ts'
import { placePatchSchema, type Project, projectInputSchema, projectSchema } from '../../schemas/project.ts'
import { kinds, role } from '../access/policy.ts'
import { checkSees, seesProject } from '../access/visible.ts'
import { environmentsOf, findProject } from '../environments/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { checkVersion, leftBy, writeFields, written } from '../http/write.ts'
import { BUILT_IN_PROJECT, SERVER_LOG } from '../log/types.ts'
import type { Services } from '../services.ts'
import { refuseBuiltInPlace } from '../limits/builtin.ts'
import { patchPlace } from './patch.ts'

const writtenShape = { revision: z.number().int(), change: changeSchema.nullable(), dryRun: z.literal(true).optional() }
const answerSchema = z.object({ ...writtenShape, project: projectSchema })

export function projectRoutes(app: FastifyInstance, services: Services): void {
  const { log } = services

  route(app, {
    method: 'GET',
    url: '/api/v1/projects',
    policy: kinds('admin'),
    tag: 'projects',
    summary: 'The projects that the key gives access to',
    response: z.object({ projects: z.array(projectSchema.extend({ environments: z.array(z.string()), builtIn: z.boolean() })) }),
    handler: ({ access }) => ({
      projects: [...log.state(SERVER_LOG).documents.project.values()]
        .filter(project => seesProject(access, project.key))
        .map(project => ({
          ...project,
          environments: environmentsOf(services, project.key).map(item => item.environment),
          builtIn: project.key === BUILT_IN_PROJECT,
        })),
    }),
  })

  route(app, {
    method: 'POST',
    url: '/api/v1/projects',
    policy: role('admin', 'server'),
    tag: 'projects',
    summary: 'Create a project, without environments',
    query: writeQuerySchema,
    body: projectInputSchema,
    response: answerSchema,
    status: 201,
    handler: async call => {
      const { key, name, description } = call.body
      if (key === BUILT_IN_PROJECT) {
        const detail = { path: 'key', code: 'reserved', message: 'is reserved for the server itself. Choose another' }
        throw new SluiceError('INVALID_REQUEST', `The body cannot be taken: key ${detail.message}.`, { details: [detail] })
      }
      const project: Project = { key, name: name ?? key, ...(description === undefined ? {} : { description }), version: 1 }
      const fields = writeFields(call)
      const commit = await log.commit({
        log: SERVER_LOG,
        action: 'project.create',
        ...fields,
        plan: ({ documents }) => {
          if (documents.project.has(key))
            throw new SluiceError('ALREADY_EXISTS', `There is a project "${key}" already. Choose another key.`)
          if (documents.project.size >= PROJECTS_MAX) {
            throw new SluiceError('LIMIT_EXCEEDED', `There are ${PROJECTS_MAX} projects, the most a server takes. Delete one.`)
          }
          return [{ type: 'project', key, after: project }]
        },
      })
      return { ...written(commit, fields), project: leftBy(commit, 'project', key, project) }
    },
  })

  route(app, {
    method: 'GET',
    url: '/api/v1/projects/:project',
    policy: kinds('admin'),
    tag: 'projects',
    summary: 'One project',
    response: projectSchema,
    handler: ({ params, access, reply }) => {
      checkSees(access, params.project ?? '')
      const project = findProject(services, params.project ?? '')
      reply.header('etag', `"${project.version}"`)
      return project
    },
  })

  route(app, {
    method: 'PATCH',
    url: '/api/v1/projects/:project',
    policy: role('admin', 'project'),
    tag: 'projects',
    summary: 'Edit the name or description of a project',
    query: writeQuerySchema,
    body: placePatchSchema,
    response: answerSchema,
    handler: async call => {
      const key = call.params.project ?? ''
      const before = findProject(services, key)
      const fields = writeFields(call)
      const commit = await log.commit({
        log: SERVER_LOG,
        action: 'project.edit',
        ...fields,
        plan: () => {
          const project = findProject(services, key)
          checkVersion(`Project "${key}"`, project.version, call.ifMatch)
          return [{ type: 'project', key, after: patchPlace(project, call.body) }]
        },
      })
      return { ...written(commit, fields), project: leftBy(commit, 'project', key, before) }
    },
  })

  route(app, {
    method: 'DELETE',
    url: '/api/v1/projects/:project',
    policy: role('admin', 'server'),
    tag: 'projects',
    summary: 'Delete a project that has no environments',
    query: writeQuerySchema,
    response: z.object(writtenShape),
    handler: async call => {
      const key = call.params.project ?? ''
      refuseBuiltInPlace(key)
      const fields = writeFields(call)
      const commit = await log.commit({
        log: SERVER_LOG,
        action: 'project.delete',
        ...fields,
        plan: () => {
          const project = findProject(services, key)
          checkVersion(`Project "${key}"`, project.version, call.ifMatch)
          const environments = environmentsOf(services, key).map(item => item.environment)
          if (environments.length > 0) {
            throw new SluiceError(
              'ENVIRONMENT_IN_USE',
              `Project "${key}" has the environments ${environments.join(', ')}. Delete them first.`,
            )
          }
          return [{ type: 'project', key, after: null }]
        },
      })
      return written(commit, fields)
    },
  })
}
