/** Pages from another origin than the server's: the example of the documentation, with the compiled SDK as it is published. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const TYPES: Readonly<Record<string, string>> = { '.js': 'text/javascript', '.html': 'text/html', '.map': 'application/json' }

export interface Pages {
  /** `http://127.0.0.1:…`, without a trailing slash. */
  readonly origin: string
}

/**
 * @param settings put into the example in the place of its own
 * `/` is the example; below `/polls/` is the same under a policy that forbids websockets.
 */
export async function startPages(
  t: Test,
  settings: { readonly url: string; readonly key: string; readonly pollIntervalMs?: number },
): Promise<Pages> {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname)
    const name = path.replace(/^\/polls\//, '/')
    const file = name.startsWith('/sluice/')
      ? join(root, 'dist', name.slice('/sluice/'.length))
      : join(root, 'docs/examples/browser', name === '/' ? 'index.html' : name)
    try {
      let text = readFileSync(file, 'utf8')
      if (file.endsWith('app.js')) {
        text = text
          .replace("'http://localhost:7400'", JSON.stringify(settings.url))
          .replace("'slc_client_…'", `${JSON.stringify(settings.key)}, pollIntervalMs: ${settings.pollIntervalMs ?? 1_000}`)
      }
      // A scheme of http covers no websocket.
      const policy = path.startsWith('/polls/') ? { 'content-security-policy': `connect-src ${settings.url}` } : {}
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'text/plain', ...policy }).end(text)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
