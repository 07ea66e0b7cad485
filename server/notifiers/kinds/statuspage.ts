/** Statuspage: a component says what its flags come to now, so that an update that comes late is right all the same. */
import type { Notifier } from '../../../schemas/notifier.ts'
import type { Outgoing } from '../../egress/egress.ts'
import type { State } from '../../log/types.ts'
import { baseOf, type Kind, type Sending } from './kind.ts'

const BASE = 'https://api.statuspage.io'
/** Statuspage takes 60 requests a minute. */
const SPACING_MS = 1_000
const COMPONENTS_TESTED = 5

export type ComponentStatus = 'operational' | 'degraded_performance' | 'partial_outage'

export const statuspage: Kind = {
  secretsNeeded: ['apiKey'],
  secretsTaken: ['apiKey'],
  bases: [BASE],
  spacingMs: SPACING_MS,
  isRefusalFinal: true,
  parts(message, notifier) {
    const flags = new Set(message.incidents.map(({ flag }) => flag))
    const touched = componentsOf(notifier).filter(each => each.flags.some(flag => flags.has(flag)))
    return [...new Set(touched.map(({ component }) => component))].map(component => ({ message, component }))
  },
  together([first, ...others]) {
    const other = others.findIndex(({ component }) => component !== first.component)
    return other === -1 ? others.length + 1 : other + 1
  },
  request(sending) {
    const { notifier, parcels, state } = sending
    const [{ part }] = parcels
    const { component = '' } = part
    return ask(sending, component, { component: { status: statusOf(state, notifier, component) } })
  },
  // Only looked at: what is said there now may be the doing of a person.
  tests: sending =>
    componentsOf(sending.notifier)
      .slice(0, COMPONENTS_TESTED)
      .map(({ component }) => ask(sending, component)),
}

/** The worst of the flags that it stands for. */
export function statusOf(state: Pick<State, 'documents'>, notifier: Notifier, component: string): ComponentStatus {
  const flags = componentsOf(notifier).flatMap(each => (each.component === component ? each.flags : []))
  let status: ComponentStatus = 'operational'
  for (const key of flags) {
    const kills = state.documents.flag.get(key)?.kills ?? []
    if (kills.some(kill => kill.clauses.length === 0)) return 'partial_outage'
    if (kills.length > 0 || state.documents.valve.get(key)?.state === 'cut') status = 'degraded_performance'
  }
  return status
}

function componentsOf(notifier: Notifier): readonly { readonly flags: readonly string[]; readonly component: string }[] {
  return notifier.statuspage?.components ?? []
}

function ask({ notifier, secrets }: Sending, component: string, body?: object): Outgoing {
  const page = encodeURIComponent(notifier.statuspage?.page ?? '')
  return {
    url: `${baseOf(notifier, BASE)}/v1/pages/${page}/components/${encodeURIComponent(component)}`,
    method: body === undefined ? 'GET' : 'PATCH',
    headers: { authorization: `OAuth ${secrets.apiKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  }
}
