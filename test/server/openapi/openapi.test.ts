import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { apiDocuments } from '../../../server/openapi/write.ts'
import { VERSION } from '../../../server/version.ts'
import { type Loose, startServer } from '../start.ts'

const root = fileURLToPath(new URL('../../../..', import.meta.url))

t.test('the OpenAPI document is sound', async t => {
  const server = await startServer(t)
  const { status, body } = await server.call('GET', '/docs/json', undefined, { key: null })
  t.equal(status, 200)
  t.equal(body.openapi, '3.1.0')
  t.equal(body.info.version, VERSION)

  const missing: string[] = []
  const look = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) look(item)
    else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) {
        if (key === '$ref' && typeof item === 'string') {
          const target = item
            .split('/')
            .slice(1)
            .reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], body)
          if (!item.startsWith('#/components/schemas/') || target === undefined) missing.push(item)
        } else look(item)
      }
    }
  }
  look(body)
  t.same(missing, [], 'every reference leads somewhere')
  t.notMatch(JSON.stringify(body), /__schema|\$defs/)

  const ids = new Set<string>()
  const described: string[] = []
  for (const [path, item] of Object.entries<Record<string, Loose>>(body.paths)) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(match => match[1])
    for (const [method, operation] of Object.entries(item)) {
      described.push(`${method.toUpperCase()} ${path}`)
      if (ids.has(operation.operationId)) t.fail(`two operations are called ${operation.operationId}`)
      ids.add(operation.operationId)
      const declared = operation.parameters.filter((parameter: Loose) => parameter.in === 'path').map((parameter: Loose) => parameter.name)
      if (JSON.stringify(declared) !== JSON.stringify(inPath)) t.fail(`${path} declares other parameters than it has`)
      if (operation.summary === '' || operation.responses.default === undefined) t.fail(`${path} is not described`)
    }
  }
  const added = server.sluice.routes
    .filter(route => route.description !== null && route.methods[0] !== 'HEAD')
    .map(route => `${route.methods[0]} ${route.url.replace(/:(\w+)/g, '{$1}')}`)
  t.same(described.sort(), added.sort(), 'every route is in it')
})

t.test('every shape is published as a JSON Schema of its own', async t => {
  const server = await startServer(t)
  const { body } = await server.call('GET', '/docs/schemas', undefined, { key: null })
  t.ok(body.schemas.length > 20)
  for (const path of body.schemas) {
    const answer = await server.call('GET', path, undefined, { key: null })
    const schema = JSON.parse(answer.body)
    const refs = [...answer.body.matchAll(/"\$ref":"#\/\$defs\/([^"]+)"/g)].map((match: string[]) => match[1] ?? '')
    if (answer.status !== 200 || refs.some(name => schema.$defs[name] === undefined)) t.fail(`${path} is not whole`)
  }
  t.match(await server.call('GET', '/docs/schemas/toString', undefined, { key: null }), { status: 404, body: { code: 'ROUTE_NOT_FOUND' } })
})

t.test('the page is shown under a policy that allows no foreign and no inline script', async t => {
  const server = await startServer(t)
  const page = await server.call('GET', '/docs', undefined, { key: null })
  t.equal(page.status, 200)
  const policy = page.headers.get('content-security-policy') ?? ''
  t.match(policy, /script-src 'self';/)
  t.notMatch(policy, /upgrade-insecure-requests/)
  t.notMatch(page.body, /<script>|<script [^>]*src="http|onload=/, 'nothing inline, nothing from elsewhere')
  for (const [, source] of page.body.matchAll(/(?:src|href)="([^"]+)"/g)) {
    t.equal((await server.call('GET', source, undefined, { key: null })).status, 200, source)
  }
  const data = await server.call('GET', '/healthz')
  t.equal(data.headers.get('content-security-policy'), "default-src 'none'; frame-ancestors 'none'")
  t.equal(data.headers.get('x-content-type-options'), 'nosniff')
})

t.test('docs/api is current: if not, run npm run docs', async t => {
  const server = await startServer(t)
  for (const [name, text] of Object.entries(apiDocuments(server.sluice.routes))) {
    t.equal(readFileSync(join(root, 'docs/api', name), 'utf8') === text, true, `docs/api/${name}`)
  }
})

t.test('the version is that of the package', async t => {
  t.equal(JSON.parse(readFileSync(join(root, 'server/package.json'), 'utf8')).version, VERSION)
})
