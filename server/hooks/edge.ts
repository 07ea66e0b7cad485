/**
 * Where an edge of an alert stands among those that are known: new, a repetition, or overtaken by a later one. The same alert
 * is told by its dedup key, the same edge by its status and start as well. Pure.
 */
import type { ArrivedAlert, KnownAlert } from '../storage/alerts.ts'

export interface Edge {
  readonly outcome: 'new' | 'duplicate' | 'late'
  /** Milliseconds since 1970; where the tool says none, that of the edge it belongs to, else when it arrived. */
  readonly startsAt: number
  /** The edge it repeats. */
  readonly seen: string | null
  /** Edges that fire no longer. */
  readonly ended: readonly string[]
}

/** @param known edges of the same alert, in any order */
export function edgeOf(alert: ArrivedAlert, known: readonly KnownAlert[]): Edge {
  const standing = known.find(each => each.standing === 1)
  const resolved = latest(known.filter(each => each.status === 'resolved'))
  const startsAt = alert.startsAt ?? startOf(alert, standing, resolved)
  const same =
    known.find(each => each.status === alert.status && each.startsAt === startsAt) ??
    // A tool that tries again says the same name of the delivery.
    known.find(each => alert.externalId !== null && each.externalId === alert.externalId && each.status === alert.status)
  if (same !== undefined) return { outcome: 'duplicate', startsAt: same.startsAt, seen: same.id, ended: [] }
  if (alert.status === 'info') return { outcome: 'new', startsAt, seen: null, ended: [] }

  if (alert.status === 'firing') {
    const isOvertaken =
      (resolved !== undefined && startsAt <= untilOf(resolved)) || (standing !== undefined && startsAt < standing.startsAt)
    // Without a moment of its own it begins when it arrives, which nothing has overtaken.
    if (isOvertaken && alert.startsAt !== null) return { outcome: 'late', startsAt, seen: null, ended: [] }
    return { outcome: 'new', startsAt, seen: null, ended: standing === undefined ? [] : [standing.id] }
  }
  if (standing !== undefined && untilOf({ ...alert, startsAt }) < standing.startsAt)
    return { outcome: 'late', startsAt, seen: null, ended: [] }
  return { outcome: 'new', startsAt, seen: null, ended: standing === undefined ? [] : [standing.id] }
}

function startOf(alert: ArrivedAlert, standing: KnownAlert | undefined, resolved: KnownAlert | undefined): number {
  if (alert.status === 'info') return alert.receivedAt
  // It is still the one that fires. A resolve without a fire before it is the last one again.
  if (standing !== undefined) return standing.startsAt
  return alert.status === 'resolved' && resolved !== undefined ? resolved.startsAt : alert.receivedAt
}

function latest(edges: readonly KnownAlert[]): KnownAlert | undefined {
  let last: KnownAlert | undefined
  for (const edge of edges) if (last === undefined || untilOf(edge) > untilOf(last)) last = edge
  return last
}

/** The moment up to which a resolved edge speaks; never later than when it arrived, whatever it says. */
function untilOf({ startsAt, endsAt, receivedAt }: Pick<KnownAlert, 'startsAt' | 'endsAt' | 'receivedAt'>): number {
  return Math.max(startsAt, Math.min(endsAt ?? startsAt, receivedAt))
}
