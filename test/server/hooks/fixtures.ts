/** Deliveries as the tools send them, with the headers, secret and signature that belong to them: `test/fixtures/hooks`. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Egress } from '../../../server/egress/egress.ts'
import type { Loose, TestServer } from '../start.ts'

const folder = fileURLToPath(new URL('../../../../test/fixtures/hooks', import.meta.url))

export const HOOKS = '/api/v1/projects/default/environments/development/hooks'

export interface Fixture {
  /** `<source>-<name>`, which is the key of its hook. */
  readonly key: string
  readonly name: string
  /** When it arrives. */
  readonly at: string
  readonly hook: { readonly source: string; readonly [field: string]: unknown }
  readonly secret?: string
  /** Of the one who signs, where that is not the holder of a shared secret. */
  readonly certificate?: string
  readonly headers: Readonly<Record<string, string>>
  /** The bytes that were signed. */
  readonly body: string
  readonly payload: Loose
  readonly expected: { readonly verdict: string; readonly alerts: readonly Loose[] }
}

/** All of them, in the order of their moments. */
export function fixtures(): Fixture[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .flatMap(({ name: source }) =>
      readdirSync(`${folder}/${source}`).map(file => {
        const fixture = JSON.parse(readFileSync(`${folder}/${source}/${file}`, 'utf8'))
        return { ...fixture, key: `${source}-${file.replace('.json', '')}`, body: JSON.stringify(fixture.payload) } as Fixture
      }),
    )
    .sort((a, b) => (a.at < b.at ? -1 : 1))
}

/** The outside as SNS is found there: its certificate, and a page that confirms. Every address that was asked for is kept. */
export function outside(certificate: string, asked: string[] = []): Egress {
  return {
    check: () => Promise.resolve(),
    isListed: () => false,
    send({ url }) {
      asked.push(url)
      const body = Buffer.from(url.endsWith('.pem') ? certificate : '<ConfirmSubscriptionResponse/>')
      return Promise.resolve({ status: 200, headers: {}, body, isCut: false, isPublic: true })
    },
    close: () => undefined,
  }
}

/** The hook of a fixture, made over the API. Answers its path. */
export async function makeHook(server: TestServer, { key, hook, secret }: Fixture): Promise<string> {
  const { status, body } = await server.call('POST', HOOKS, { key, ...hook, ...(secret === undefined ? {} : { secret }) })
  if (status !== 201) throw new Error(`${key}: ${status} ${JSON.stringify(body)}`)
  return body.hook.url
}

export function deliver(server: TestServer, path: string, fixture: Pick<Fixture, 'body' | 'headers'>): ReturnType<TestServer['call']> {
  return server.call('POST', path, fixture.body, { key: null, headers: fixture.headers })
}
