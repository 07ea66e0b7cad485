/** The OpenAPI 3.1 document, from the same definitions that check and answer the requests: it cannot say anything else. */
import { z } from 'zod'
import { ERRORS, type ErrorCode } from '../../schemas/errors.ts'
import type { Registered } from '../access/guard.ts'
import type { Policy } from '../access/policy.ts'
import type { RouteDescription } from '../http/route.ts'
import { VERSION } from '../version.ts'

export type JsonSchema = Readonly<Record<string, unknown>>

export interface OpenapiDocument {
  readonly openapi: '3.1.0'
  readonly info: Readonly<Record<string, unknown>>
  readonly servers: readonly { readonly url: string }[]
  readonly tags: readonly { readonly name: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>
    readonly securitySchemes: Readonly<Record<string, unknown>>
  }
}

export interface Operation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly description: string
  readonly parameters: readonly Parameter[]
  readonly requestBody?: unknown
  readonly responses: Readonly<Record<string, unknown>>
  readonly security: readonly Readonly<Record<string, readonly string[]>>[]
}

interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required: boolean
  readonly description?: string
  readonly schema: JsonSchema
}

const COMPONENTS = '#/components/schemas/'

const errorSchema = z
  .object({
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    details: z.array(z.object({ path: z.string(), code: z.string(), message: z.string() })),
  })
  .meta({ id: 'Error', description: 'What every failed request answers. Switch on `code`; `docs/errors.md` explains each.' })

/** @param routes all of them; those without a description are left out */
export function openapiDocument(routes: readonly Registered[]): OpenapiDocument {
  const schemas = new Map<string, JsonSchema>()
  schemas.set('Json', { description: 'Any JSON value.' })
  const paths: Record<string, Record<string, Operation>> = {}
  const tags = new Set<string>()
  convert(errorSchema, schemas)
  for (const { description } of routes) {
    // Fastify adds a HEAD for every GET, with the same description: one entry for both.
    if (description === null) continue
    const path = description.url.replace(/:(\w+)/g, '{$1}')
    const item = (paths[path] ??= {})
    const method = description.method.toLowerCase()
    if (item[method] !== undefined) continue
    item[method] = operation(description, schemas)
    tags.add(description.tag)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sluice',
      version: VERSION,
      description:
        'Feature flags for operations: kill switches, rollouts, limits. Errors are `{ code, message, details }`. Every write takes `dryRun` and a comment, answers with the new revision, and honours `If-Match`, kills excepted.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...tags].sort().map(name => ({ name })),
    paths: sortedObject(paths),
    components: {
      schemas: sortedObject(Object.fromEntries(schemas)),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A key, `slc_…`, as the bearer token.' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The same key in a header of its own.' },
      },
    },
  }
}

/** One schema as a JSON Schema document of its own, with all it refers to. Null for an unknown name. */
export function schemaDocument(document: OpenapiDocument, name: string): JsonSchema | null {
  const { schemas } = document.components
  if (!Object.hasOwn(schemas, name)) return null
  const wanted = [name]
  for (const each of wanted) for (const next of refsIn(schemas[each])) if (!wanted.includes(next)) wanted.push(next)
  const rewritten = (value: unknown): unknown =>
    replaced(value, (key, item) => (key === '$ref' && typeof item === 'string' ? item.replace(COMPONENTS, '#/$defs/') : item))
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $ref: `#/$defs/${name}`,
    $defs: Object.fromEntries(wanted.sort().map(each => [each, rewritten(schemas[each])])),
  }
}

/** What is asked of the caller, in words. */
export function policyText(policy: Policy): string {
  switch (policy.allow) {
    case 'everyone':
      return 'no key needed'
    case 'any-key':
      return 'any valid key'
    case 'kinds':
      return `${policy.kinds.join(' or ')} key`
    case 'role':
      return `admin key with the role ${policy.role} over the ${policy.scope}`
  }
}

function operation(route: RouteDescription, schemas: Map<string, JsonSchema>): Operation {
  const { method, url, policy, status = 200 } = route
  const isOpen = policy.allow === 'everyone'
  const isWrite = method !== 'GET' && url.startsWith('/api/')
  return {
    operationId: operationId(method, url),
    tags: [route.tag],
    summary: route.summary,
    description: `${route.description === undefined ? '' : `${route.description} `}Access: ${policyText(policy)}.`,
    parameters: [...pathParameters(url), ...queryParameters(route, schemas), ...(isWrite ? [IF_MATCH] : [])],
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: !isOptional(route.body), content: { 'application/json': { schema: convert(route.body, schemas) } } } }),
    responses: {
      [status]: {
        description: status === 101 ? 'The websocket is open.' : 'Done.',
        ...(route.response === undefined ? {} : { content: { 'application/json': { schema: convert(route.response, schemas) } } }),
      },
      default: {
        description: 'Refused or failed; `code` says why.',
        content: { 'application/json': { schema: { $ref: `${COMPONENTS}Error` } } },
      },
    },
    security: isOpen ? [] : [{ bearer: [] }, { apiKey: [] }],
  }
}

const IF_MATCH: Parameter = {
  name: 'If-Match',
  in: 'header',
  required: false,
  description: 'The version to be edited, as `ETag` answers it: any other is refused with VERSION_CONFLICT. Without one, the newest.',
  schema: { type: 'string' },
}

function pathParameters(url: string): Parameter[] {
  return [...url.matchAll(/:(\w+)/g)].map(match => ({
    name: match[1] ?? '',
    in: 'path',
    required: true,
    schema: match[1] === 'revision' ? { type: 'integer', minimum: 1 } : { type: 'string' },
  }))
}

function queryParameters({ query }: RouteDescription, schemas: Map<string, JsonSchema>): Parameter[] {
  if (query === undefined) return []
  const converted = convert(query, schemas) as { properties?: Record<string, JsonSchema>; required?: string[]; $ref?: string }
  const target = converted.$ref === undefined ? converted : (schemas.get(converted.$ref.slice(COMPONENTS.length)) as typeof converted)
  return Object.entries(target.properties ?? {}).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: target.required?.includes(name) === true,
    ...(typeof description === 'string' ? { description } : {}),
    schema,
  }))
}

/** Whether an empty object, or no body, would do. */
function isOptional(body: z.ZodType): boolean {
  return body.safeParse({}).success
}

/** `GET /api/v1/projects/:project/environments` is `getProjectsEnvironments` with `By…` for what follows a parameter. */
function operationId(method: string, url: string): string {
  const parts = url
    .replace(/^\/api\/v1/, '')
    .split('/')
    .filter(part => part !== '')
  const words = parts.map(part =>
    part.startsWith(':') ? `By${capital(part.slice(1))}` : capital(part.replace(/\W+(\w)/g, (_, c: string) => c.toUpperCase())),
  )
  return method.toLowerCase() + words.join('')
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/**
 * A zod schema as JSON Schema, what has a name put among the components. Always what is accepted, also for answers:
 * programs shall not take a new field in an answer for a fault.
 */
function convert(schema: z.ZodType, schemas: Map<string, JsonSchema>): JsonSchema {
  const converted = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>
  const { $schema: _schema, $defs = {}, ...own } = converted
  const rename = (value: unknown): unknown =>
    replaced(value, (key, item) => {
      if (key !== '$ref' || typeof item !== 'string') return item
      const name = item.replace('#/$defs/', '')
      // The one recursive schema without a name of its own is z.json().
      return COMPONENTS + (name.startsWith('__schema') ? 'Json' : name)
    })
  for (const [name, definition] of Object.entries($defs as Record<string, JsonSchema>)) {
    if (name.startsWith('__schema') || schemas.has(name)) continue
    schemas.set(name, rename(definition) as JsonSchema)
  }
  const { id } = schema.meta() ?? {}
  if (typeof id !== 'string') return rename(own) as JsonSchema
  const { id: _id, ...named } = rename(own) as Record<string, unknown>
  if (!schemas.has(id)) schemas.set(id, named)
  return { $ref: COMPONENTS + id }
}

function replaced(value: unknown, replace: (key: string, item: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map(item => replaced(item, replace))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, replaced(replace(key, item), replace)]))
}

function refsIn(value: unknown): string[] {
  const names: string[] = []
  replaced(value, (key, item) => {
    if (key === '$ref' && typeof item === 'string') names.push(item.slice(COMPONENTS.length))
    return item
  })
  return names
}

function sortedObject<T>(object: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}
