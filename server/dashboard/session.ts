/** Who is signed in, what they may do, and the places they may see. */
import { computed, signal } from '@preact/signals'
import type { Grant, Role } from '../../schemas/accesskey.ts'
import { call, whenSignedOut } from './api.ts'
import { startLive, stopLive } from './live.ts'
import { route } from './route.ts'

export interface Session {
  readonly id: string
  readonly name: string
  readonly grants: readonly Grant[]
  readonly version: string
}

export interface Place {
  readonly project: string
  readonly environment: string
}

/** Null when nobody is signed in; undefined until that is known. */
export const session = signal<Session | null | undefined>(undefined)
/** The environments that the session may see, in the order they were made. */
export const places = signal<readonly Place[]>([])

/** Where the page is: what the address names, else where it was last, else production, else the first place there is. */
export const place = computed((): Place | null => {
  const { project, environment } = route.value
  const all = places.value
  const named = all.find(each => each.project === project && each.environment === environment)
  return named ?? all.find(each => nameOf(each) === remembered()) ?? all.find(each => each.environment === 'production') ?? all[0] ?? null
})

const PLACE = 'sluice-place'

/** So that the next visit begins where this one was. */
export function remember(here: Place): void {
  try {
    localStorage.setItem(PLACE, nameOf(here))
  } catch {
    // A browser that keeps nothing forgets it with the page.
  }
}

function remembered(): string | null {
  try {
    return localStorage.getItem(PLACE)
  } catch {
    return null
  }
}

export function nameOf({ project, environment }: Place): string {
  return `${project}/${environment}`
}

/** The project that holds the settings of the server itself. */
const BUILT_IN = 'sluice'
const ROLES: readonly Role[] = ['viewer', 'operator', 'editor', 'admin']

/**
 * Whether the session may do what needs this role; what it may not is not offered. The server decides all the same.
 * @param at a place, a whole project without an environment, or null for the whole server
 */
export function may(role: Role, at: Partial<Place> | null = place.value): boolean {
  return (session.value?.grants ?? []).some(
    grant =>
      ROLES.indexOf(grant.role) >= ROLES.indexOf(role) &&
      (grant.project === undefined || grant.project === at?.project) &&
      (grant.environment === undefined || grant.environment === at?.environment),
  )
}

/** The same for what concerns every environment of the project at hand, as making a flag does. */
export function mayInProject(role: Role): boolean {
  return (session.value?.grants ?? []).some(
    grant =>
      ROLES.indexOf(grant.role) >= ROLES.indexOf(role) &&
      (grant.project === undefined || grant.project === place.value?.project) &&
      grant.environment === undefined,
  )
}

export async function loadSession(): Promise<void> {
  try {
    await begin(await call<Session>('/api/v1/session'))
  } catch {
    session.value = null
  }
}

/** Errors: `Failure`. */
export async function signIn(key: string): Promise<void> {
  await begin(await call<Session>('/api/v1/session', { method: 'POST', body: { key } }))
}

export async function signOut(): Promise<void> {
  stopLive()
  await call('/api/v1/session', { method: 'DELETE' }).catch(() => undefined)
  session.value = null
}

export async function loadPlaces(): Promise<void> {
  const { environments } = await call<{ environments: readonly Place[] }>('/api/v1/status')
  // The server's own settings are looked at the least.
  const all = environments.map(({ project, environment }) => ({ project, environment }))
  places.value = [...all.filter(each => each.project !== BUILT_IN), ...all.filter(each => each.project === BUILT_IN)]
}

async function begin(found: Session): Promise<void> {
  await loadPlaces()
  session.value = found
  startLive()
}

whenSignedOut(() => {
  stopLive()
  session.value = null
})
