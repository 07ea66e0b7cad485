/** Flags: made once for every environment of a project, set and archived in each. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import { FLAG_KINDS, type Flag, flagDefinitionPatchSchema, flagInputSchema, flagPatchSchema, flagSchema } from '../../schemas/flag.ts'
import { keySchema, momentSchema, nameSchema, textSchema } from '../../schemas/key.ts'
import { DOCUMENT_BYTES_MAX } from '../../schemas/limits.ts'
import { type Usage, usageSchema } from '../../schemas/usage.ts'
import { role } from '../access/policy.ts'
import { moment } from '../clock.ts'
import { environmentLog } from '../environments/find.ts'
import { route, writeQuerySchema } from '../http/route.ts'
import { checkVersion, leftBy, writeFields, written } from '../http/write.ts'
import { logOf, type State } from '../log/types.ts'
import { checkEdits } from '../rulesets/check.ts'
import type { Services } from '../services.ts'
import { NEVER_USED } from '../telemetry/usage.ts'
import { planArchive } from './archive.ts'
import { arranged, DEFINITION_FIELDS, picked } from './arrange.ts'
import { completeFlag, patchDefinition, patchSettings, randomSeed } from './defaults.ts'
import { commitEverywhere, projectEnvironments } from './everywhere.ts'
import { findFlag } from './find.ts'
import { rateWarnings, refuseLargeSteps } from './ratestep.ts'
import { valveWarnings } from './valve.ts'

const PROJECT = '/api/v1/projects/:project'
const ENVIRONMENT = `${PROJECT}/environments/:environment`
/** A flag at its largest, and room for the comment around it. */
export const FLAG_BODY_BYTES_MAX = DOCUMENT_BYTES_MAX + 64 * 1024

const createSchema = flagInputSchema.extend({ comment: textSchema.optional() })
const cloneSchema = z.strictObject({ key: keySchema, name: nameSchema.optional(), comment: textSchema.optional() })
const forceQuerySchema = writeQuerySchema.extend({
  force: z.enum(['true', 'false']).optional().meta({ description: 'Archive although it was evaluated lately.' }),
})
const stepQuerySchema = writeQuerySchema.extend({
  force: z.enum(['true', 'false']).optional().meta({ description: 'Change a rate by more than ten times in one step.' }),
})
const listQuerySchema = z.strictObject({
  tag: z.string().max(200).optional(),
  kind: z.enum(FLAG_KINDS).optional(),
  q: z.string().max(200).optional().meta({ description: 'A text within key, name, description, owner or a tag, whatever its case.' }),
  state: z.enum(['on', 'off', 'killed']).optional(),
  unusedDays: z.coerce
    .number()
    .int()
    .min(1)
    .max(3_660)
    .optional()
    .meta({ description: 'Flags that nobody evaluated for so many days, and that no other flag has as prerequisite.' }),
})

const warningSchema = z.object({ path: z.string(), code: z.string(), message: z.string() })
const flagAnswer = z.object({ revision: z.number().int(), change: changeSchema.nullable(), flag: flagSchema })
const everywhereAnswer = z.object({
  revisions: z.record(z.string(), z.number().int()),
  changes: z.record(z.string(), changeSchema.nullable()),
  flag: flagSchema,
  /** What was taken and may still be a slip, as a rate of 0; left out when there is none. */
  warnings: z.array(warningSchema).optional(),
})

export function flagRoutes(app: FastifyInstance, services: Services): void {
  inProject(app, services)
  inEnvironment(app, services)
}

function inProject(app: FastifyInstance, services: Services): void {
  const tag = 'flags'

  route(app, {
    method: 'GET',
    url: `${PROJECT}/flags`,
    policy: role('viewer', 'project'),
    summary: 'Every flag of the project, with its state in each environment',
    tag,
    response: z.object({ flags: z.array(z.looseObject({ key: keySchema })) }),
    handler({ params }) {
      const flags = new Map<string, { definition: Record<string, unknown>; environments: Record<string, unknown> }>()
      for (const { project, environment } of projectEnvironments(services, params.project ?? '')) {
        for (const flag of services.log.state(logOf(project, environment)).documents.flag.values()) {
          const entry = flags.get(flag.key) ?? { definition: picked(flag, DEFINITION_FIELDS), environments: {} }
          const killedForAll = flag.kills.some(kill => kill.clauses.length === 0)
          entry.environments[environment] = { enabled: flag.enabled, version: flag.version, killed: flag.kills.length > 0, killedForAll }
          flags.set(flag.key, entry)
        }
      }
      const keys = [...flags.keys()].sort()
      return { flags: keys.map(key => ({ key, ...flags.get(key)?.definition, environments: flags.get(key)?.environments })) }
    },
  })

  route(app, {
    method: 'GET',
    url: `${PROJECT}/flags/:flag`,
    policy: role('viewer', 'project'),
    summary: 'One flag: its definition, and the whole document of each environment with how it is used there',
    tag,
    description: 'The ETag is the sum of the versions: If-Match takes it when the definition is edited.',
    response: z.looseObject({
      key: keySchema,
      environments: z.record(z.string(), flagSchema),
      usage: z.record(z.string(), usageSchema),
    }),
    async handler({ params, reply }) {
      const standing = standingFlags(services, params)
      reply.header('etag', `"${sumOfVersions(standing)}"`)
      const environments: Record<string, Flag> = {}
      for (const { environment, flag } of standing) environments[environment] = flag
      const usage: Record<string, Usage> = {}
      for (const { log, environment, flag } of standing) usage[environment] = await services.usage.flag(log, flag.key)
      return { key: params.flag, ...picked(standing[0].flag, DEFINITION_FIELDS), environments, usage }
    },
  })

  route(app, {
    method: 'POST',
    url: `${PROJECT}/flags`,
    policy: role('editor', 'project'),
    summary: 'Make a flag, in every environment of the project',
    tag,
    query: writeQuerySchema,
    body: createSchema,
    bodyLimit: FLAG_BODY_BYTES_MAX,
    response: everywhereAnswer,
    status: 201,
    async handler(call) {
      const { comment: _comment, ...input } = call.body
      const fields = writeFields(call)
      const environments = projectEnvironments(services, call.params.project ?? '')
      if (environments.length === 0) {
        throw new SluiceError(
          'ENVIRONMENT_NOT_FOUND',
          `Project "${call.params.project}" has no environment for the flag to live in. Make one first.`,
        )
      }
      const completed = completeFlag(input, randomSeed())
      if (completed.flag === null) {
        throw new SluiceError(
          'INVALID_FLAG',
          `Flag "${input.key}" in project "${call.params.project}": ${completed.problems[0]?.path} ${completed.problems[0]?.message}`,
          {
            details: completed.problems,
          },
        )
      }
      const { flag } = completed
      const { revisions, changes, commits } = await commitEverywhere(services, environments, fields, 'flag.create', state => {
        refuseTaken(services, environments, flag.key)
        return checkEdits(state, [{ type: 'flag', key: flag.key, after: flag }])
      })
      const [first] = commits
      if (fields.dryRun) call.reply.code(200)
      return {
        revisions,
        changes,
        flag: first === undefined ? flag : leftBy(first, 'flag', flag.key, flag),
        ...warned(flag),
        ...(fields.dryRun ? { dryRun: true } : {}),
      }
    },
  })

  route(app, {
    method: 'PATCH',
    url: `${PROJECT}/flags/:flag`,
    policy: role('editor', 'project'),
    summary: 'Edit what a flag is, in every environment at once',
    tag,
    query: stepQuerySchema,
    body: flagDefinitionPatchSchema,
    bodyLimit: FLAG_BODY_BYTES_MAX,
    response: everywhereAnswer,
    async handler(call) {
      const fields = writeFields(call)
      const key = call.params.flag ?? ''
      const standing = standingFlags(services, call.params)
      const environments = projectEnvironments(services, call.params.project ?? '')
      const { revisions, changes, commits } = await commitEverywhere(services, environments, fields, 'flag.edit', state => {
        checkEverywhere(services, call)
        const flag = state.documents.flag.get(key)
        if (flag === undefined) return []
        const edits = checkEdits(state, [{ type: 'flag', key, after: patchDefinition(flag, call.body) }])
        if (call.query.force !== 'true') refuseLargeSteps(state, edits)
        return edits
      })
      const at = environments.findIndex(({ environment }) => environment === standing[0].environment)
      const commit = commits[at]
      const flag = commit === undefined ? standing[0].flag : leftBy(commit, 'flag', key, standing[0].flag)
      return {
        revisions,
        changes,
        flag,
        ...(call.body.variations === undefined ? {} : warned(flag)),
        ...(fields.dryRun ? { dryRun: true } : {}),
      }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${PROJECT}/flags/:flag`,
    policy: role('editor', 'project'),
    summary: 'Archive a flag in every environment; the log keeps it',
    tag,
    query: forceQuerySchema,
    response: z.object({ revisions: z.record(z.string(), z.number().int()), changes: z.record(z.string(), changeSchema.nullable()) }),
    async handler(call) {
      const fields = writeFields(call)
      const key = call.params.flag ?? ''
      const usage = new Map<string, Usage>()
      for (const { log } of standingFlags(services, call.params)) usage.set(log, await services.usage.flag(log, key))
      const environments = projectEnvironments(services, call.params.project ?? '')
      const { revisions, changes } = await commitEverywhere(services, environments, fields, 'flag.archive', state => {
        checkEverywhere(services, call)
        const flag = state.documents.flag.get(key)
        if (flag === undefined) return []
        return planArchive(state, flag, usage.get(state.log) ?? NEVER_USED, services.clock.now(), call.query.force === 'true')
      })
      return { revisions, changes, ...(fields.dryRun ? { dryRun: true } : {}) }
    },
  })

  route(app, {
    method: 'POST',
    url: `${PROJECT}/flags/:flag/clone`,
    policy: role('editor', 'project'),
    summary: 'Make a flag like another one, with its settings, a seed of its own and no kills',
    tag,
    query: writeQuerySchema,
    body: cloneSchema,
    response: everywhereAnswer,
    status: 201,
    async handler(call) {
      const fields = writeFields(call)
      const key = call.params.flag ?? ''
      const standing = standingFlags(services, call.params)
      const environments = projectEnvironments(services, call.params.project ?? '')
      const seed = randomSeed()
      const clone = (flag: Flag): Flag =>
        arranged({ ...flag, key: call.body.key, name: call.body.name ?? flag.name, seed, version: 1, kills: [] })
      const { revisions, changes, commits } = await commitEverywhere(services, environments, fields, 'flag.clone', state => {
        refuseTaken(services, environments, call.body.key)
        const flag = state.documents.flag.get(key)
        if (flag === undefined) return []
        return checkEdits(state, [{ type: 'flag', key: call.body.key, after: clone(flag) }])
      })
      const commit = commits[environments.findIndex(({ environment }) => environment === standing[0].environment)]
      const planned = clone(standing[0].flag)
      if (fields.dryRun) call.reply.code(200)
      return {
        revisions,
        changes,
        flag: commit === undefined ? planned : leftBy(commit, 'flag', call.body.key, planned),
        ...(fields.dryRun ? { dryRun: true } : {}),
      }
    },
  })
}

function inEnvironment(app: FastifyInstance, services: Services): void {
  const tag = 'flags'

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/flags`,
    policy: role('viewer', 'environment'),
    summary: 'The flags of an environment',
    tag,
    query: listQuerySchema,
    response: z.object({
      revision: z.number().int(),
      flags: z.array(flagSchema),
      /** With `unusedDays`: when each was evaluated last, null for never, and since when evaluations are counted here. */
      lastSeen: z.record(z.string(), momentSchema.nullable()).optional(),
      countedSince: momentSchema.nullable().optional(),
    }),
    handler({ params, query }) {
      const state = services.log.state(environmentLog(services, params))
      const flags = [...state.documents.flag.values()].filter(flag => isListed(flag, query)).sort(byKey)
      if (query.unusedDays === undefined) return { revision: state.revision, flags }
      return { revision: state.revision, ...unused(services, state, flags, query.unusedDays) }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/flags/:flag`,
    policy: role('viewer', 'environment'),
    summary: 'One flag in one environment',
    tag,
    response: flagSchema,
    handler({ params, reply }) {
      const state = services.log.state(environmentLog(services, params))
      const flag = findFlag(state, params.flag ?? '')
      reply.header('etag', `"${flag.version}"`).header('sluice-revision', state.revision)
      return flag
    },
  })

  route(app, {
    method: 'PATCH',
    url: `${ENVIRONMENT}/flags/:flag`,
    policy: role('editor', 'environment'),
    summary: 'Edit what a flag does in one environment: the fields given are replaced, the others stay',
    tag,
    query: writeQuerySchema,
    body: flagPatchSchema,
    bodyLimit: FLAG_BODY_BYTES_MAX,
    response: flagAnswer,
    async handler(call) {
      const log = environmentLog(services, call.params)
      const key = call.params.flag ?? ''
      const fields = writeFields(call)
      let planned: Flag | undefined
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'flag.edit',
        plan(state) {
          const flag = findFlag(state, key)
          checkVersion(`Flag "${key}" in "${log}"`, flag.version, call.ifMatch)
          planned = patchSettings(flag, call.body)
          return checkEdits(state, [{ type: 'flag', key, after: planned }])
        },
      })
      const flag = leftBy(commit, 'flag', key, planned ?? findFlag(services.log.state(log), key))
      call.reply.header('etag', `"${flag.version}"`)
      return { ...written(commit, fields), flag }
    },
  })

  route(app, {
    method: 'DELETE',
    url: `${ENVIRONMENT}/flags/:flag`,
    policy: role('editor', 'environment'),
    summary: 'Archive a flag in one environment; the log keeps it, and reverting the archive brings it back',
    tag,
    query: forceQuerySchema,
    response: z.object({ revision: z.number().int(), change: changeSchema.nullable() }),
    async handler(call) {
      const log = environmentLog(services, call.params)
      const key = call.params.flag ?? ''
      const fields = writeFields(call)
      const usage = await services.usage.flag(log, key)
      const commit = await services.log.commit({
        log,
        ...fields,
        action: 'flag.archive',
        plan(state) {
          const flag = findFlag(state, key)
          checkVersion(`Flag "${key}" in "${log}"`, flag.version, call.ifMatch)
          return planArchive(state, flag, usage, services.clock.now(), call.query.force === 'true')
        },
      })
      return written(commit, fields)
    },
  })
}

interface StandingFlag {
  readonly log: string
  readonly environment: string
  readonly flag: Flag
}
type Standing = readonly [StandingFlag, ...StandingFlag[]]

/** The flag in every environment that has it, at least one. Error: `FLAG_NOT_FOUND`. */
function standingFlags(services: Services, params: Readonly<Record<string, string>>): Standing {
  const key = params.flag ?? ''
  const environments = projectEnvironments(services, params.project ?? '')
  const found = environments.flatMap(({ project, environment }) => {
    const log = logOf(project, environment)
    const flag = services.log.state(log).documents.flag.get(key)
    return flag === undefined ? [] : [{ log, environment, flag }]
  })
  const [first, ...others] = found
  if (first !== undefined) return [first, ...others]
  const [environment] = environments
  if (environment !== undefined) findFlag(services.log.state(logOf(environment.project, environment.environment)), key)
  throw new SluiceError('FLAG_NOT_FOUND', `No flag "${key}" in project "${params.project}". GET …/flags lists what exists.`)
}

function warned(flag: Flag): { warnings?: readonly ErrorDetail[] } {
  const warnings = [...rateWarnings(flag.variations, flag.kind), ...valveWarnings(flag)]
  return warnings.length === 0 ? {} : { warnings }
}

/** What stands for the version of a flag as a whole: it moves whenever the flag changes in any environment. */
function sumOfVersions(standing: Standing): number {
  return standing.reduce((sum, { flag }) => sum + flag.version, 0)
}

/** Error: `VERSION_CONFLICT` when the flag has changed in any environment since it was read as a whole. */
function checkEverywhere(
  services: Services,
  call: { readonly params: Readonly<Record<string, string>>; readonly ifMatch: number | null },
): void {
  if (call.ifMatch === null) return
  const current = sumOfVersions(standingFlags(services, call.params))
  checkVersion(`Flag "${call.params.flag}" in project "${call.params.project}"`, current, call.ifMatch)
}

/** Error: `ALREADY_EXISTS` when any environment has a flag of this key. */
function refuseTaken(services: Services, environments: ReturnType<typeof projectEnvironments>, key: string): void {
  const taken = environments.filter(({ project, environment }) => services.log.state(logOf(project, environment)).documents.flag.has(key))
  if (taken.length === 0) return
  const where = taken.map(environment => `"${environment.key}"`).join(', ')
  const cure =
    taken.length === environments.length
      ? 'Choose another key, or edit that flag.'
      : 'Choose another key, or copy that flag to the environments that lack it with POST …/copy.'
  throw new SluiceError('ALREADY_EXISTS', `A flag "${key}" exists already in ${where}. ${cure}`, {
    details: [{ path: 'key', code: 'taken', message: `is the key of a flag in ${where}` }],
  })
}

/** Those of the flags that nobody evaluated for so long. A prerequisite is evaluated with the flag that needs it, which alone is counted. */
function unused({ usage, clock }: Services, { log, documents }: State, flags: readonly Flag[], days: number) {
  const needed = new Set([...documents.flag.values()].flatMap(flag => flag.prerequisites.map(each => each.flag)))
  const before = clock.now() - days * 24 * 3_600_000
  const idle = flags.filter(flag => !needed.has(flag.key) && (usage.lastSeen(log, flag.key) ?? -Infinity) < before)
  const text = (at: number | null): string | null => (at === null ? null : moment(at))
  return {
    flags: idle,
    lastSeen: Object.fromEntries(idle.map(({ key }) => [key, text(usage.lastSeen(log, key))])),
    countedSince: text(usage.countedSince(log)),
  }
}

function isListed(flag: Flag, query: z.infer<typeof listQuerySchema>): boolean {
  if (query.tag !== undefined && !(flag.tags ?? []).includes(query.tag)) return false
  if (query.kind !== undefined && flag.kind !== query.kind) return false
  if (query.state !== undefined && query.state !== (flag.kills.length > 0 ? 'killed' : flag.enabled ? 'on' : 'off')) return false
  if (query.q === undefined) return true
  const sought = query.q.toLowerCase()
  return [flag.key, flag.name, flag.description, flag.owner, ...(flag.tags ?? [])].some(
    text => text?.toLowerCase().includes(sought) ?? false,
  )
}

function byKey(a: { key: string }, b: { key: string }): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}
