/** Writes `docs/api`: the OpenAPI document and a table of the routes. Run by `npm run docs`, from the root of the repository. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { pino } from 'pino'
import { buildSluice } from '../app.ts'
import { systemClock } from '../clock.ts'
import { readConfig } from '../config.ts'
import type { Registered } from '../access/guard.ts'
import { openapiDocument, policyText } from './document.ts'

/** The files of `docs/api` by name, as they shall stand. */
export function apiDocuments(routes: readonly Registered[]): Record<string, string> {
  return { 'openapi.json': `${JSON.stringify(openapiDocument(routes), null, 2)}\n`, 'README.md': overview(routes) }
}

function overview(routes: readonly Registered[]): string {
  const described = routes.flatMap(({ description, methods }) => (description === null || methods[0] === 'HEAD' ? [] : [description]))
  const tags = [...new Set(described.map(route => route.tag))].sort()
  const lines = [
    '# The HTTP API',
    '',
    'Made by `npm run docs` from the routes themselves. The whole of it, with every field, is [openapi.json](openapi.json)',
    '(OpenAPI 3.1); a running server shows it at `/docs` and answers it at `/docs/json`, and the JSON Schema of every shape',
    'at `/docs/schemas`. What the errors mean: [../errors.md](../errors.md).',
  ]
  for (const tag of tags) {
    lines.push('', `## ${tag}`, '', '| | | access |', '| --- | --- | --- |')
    for (const route of described.filter(candidate => candidate.tag === tag)) {
      lines.push(`| \`${route.method} ${route.url}\` | ${route.summary} | ${policyText(route.policy)} |`)
    }
  }
  return `${lines.join('\n')}\n`
}

async function write(): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'sluice-docs-'))
  const config = readConfig({ SLUICE_DATA: data })
  const sluice = await buildSluice({ config, clock: systemClock, logger: pino({ level: 'silent' }) })
  try {
    mkdirSync('docs/api', { recursive: true })
    for (const [name, text] of Object.entries(apiDocuments(sluice.routes))) writeFileSync(join('docs/api', name), text)
  } finally {
    await sluice.close()
    rmSync(data, { recursive: true })
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await write()
