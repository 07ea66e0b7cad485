/** Where the page is: `#/project/environment/page/…rest?query`. What cannot be read leads to what is going on now. */
import { computed, signal } from '@preact/signals'

export const PAGES = ['now', 'flags', 'rollouts', 'limits', 'valves', 'hooks', 'segments', 'environments', 'keys', 'audit'] as const
export type PageName = (typeof PAGES)[number]

export interface Route {
  /** Empty when none was named: the first that the session may see. */
  readonly project: string
  readonly environment: string
  readonly page: PageName
  readonly rest: readonly string[]
  readonly query: URLSearchParams
}

const hash = signal(location.hash)
addEventListener('hashchange', () => (hash.value = location.hash))

export const route = computed((): Route => parseRoute(hash.value))

export function parseRoute(text: string): Route {
  const [path = '', query = ''] = text.replace(/^#\/?/, '').split('?', 2)
  const [project = '', environment = '', page = '', ...rest] = path.split('/').map(decoded)
  return {
    project,
    environment,
    page: PAGES.find(name => name === page) ?? 'now',
    rest: rest.filter(part => part !== ''),
    query: new URLSearchParams(query),
  }
}

export interface Elsewhere {
  readonly project?: string
  readonly environment?: string
  readonly query?: Readonly<Record<string, string>>
}

/** The link to a page; of the environment at hand unless another is named. */
export function linkTo(
  page: PageName,
  rest: readonly string[] = [],
  { project = route.peek().project, environment = route.peek().environment, query = {} }: Elsewhere = {},
): string {
  const path = [project, environment, page, ...rest].map(encodeURIComponent).join('/')
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString()
  return `#/${path}${asked === '' ? '' : `?${asked}`}`
}

export function go(link: string): void {
  location.hash = link
}

/** Change what is asked without a step in the browser's history: filters and searches. */
export function ask(query: Readonly<Record<string, string>>): void {
  const { page, rest } = route.peek()
  history.replaceState(null, '', linkTo(page, rest, { query }))
  hash.value = location.hash
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
