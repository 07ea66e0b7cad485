/** Who refers to whom: finds what refers back to itself, and how long the chains are. */

/** Longer chains of references than this are not followed when read: many times what may be written (`CHAIN_MAX`), far from what the stack holds. */
export const CHAIN_READ_MAX = 500

const CYCLE_SHOWN_MAX = 10

export interface Chains {
  /** For every key in a cycle, that cycle: the first key repeated at the end. */
  readonly cycles: ReadonlyMap<string, readonly string[]>
  /** For every key not in a cycle: how many references follow each other from it at most. */
  readonly lengths: ReadonlyMap<string, number>
}

interface Visit {
  readonly key: string
  readonly references: readonly string[]
  next: number
}

/**
 * Tarjan's strongly connected components with a stack of its own: a chain of 20,000 references must not overflow ours.
 * A component comes out after all it refers to, so the lengths are known on the way.
 * @param references what each key refers to; keys that are not in the map refer to nothing
 */
export function chainsOf(references: ReadonlyMap<string, readonly string[]>): Chains {
  const cycles = new Map<string, readonly string[]>()
  const lengths = new Map<string, number>()
  const order = new Map<string, number>()
  const lowest = new Map<string, number>()
  const open: string[] = []
  const isOpen = new Set<string>()

  for (const root of references.keys()) {
    if (order.has(root)) continue
    const visits = [enter(root)]
    for (let visit = visits.at(-1); visit !== undefined; visit = visits.at(-1)) {
      const { key, references: targets } = visit
      const target = targets[visit.next++]
      if (target !== undefined) {
        if (!order.has(target)) visits.push(enter(target))
        else if (isOpen.has(target)) lower(key, order.get(target)!)
        continue
      }
      visits.pop()
      const parent = visits.at(-1)
      if (parent !== undefined) lower(parent.key, lowest.get(key)!)
      if (lowest.get(key) === order.get(key)) finish(key, targets)
    }
  }
  return { cycles, lengths }

  function enter(key: string): Visit {
    order.set(key, order.size)
    lowest.set(key, order.size - 1)
    open.push(key)
    isOpen.add(key)
    return { key, references: references.get(key) ?? [], next: 0 }
  }

  function lower(key: string, bound: number): void {
    if (bound < lowest.get(key)!) lowest.set(key, bound)
  }

  function finish(key: string, targets: readonly string[]): void {
    const members = open.splice(open.lastIndexOf(key))
    for (const member of members) isOpen.delete(member)
    if (members.length === 1 && !targets.includes(key)) {
      lengths.set(key, targets.length === 0 ? 0 : 1 + targets.reduce((longest, target) => Math.max(longest, lengths.get(target) ?? 0), 0))
      return
    }
    const cycle = shortestCycle(members, references)
    for (const member of members) cycles.set(member, cycle)
  }
}

/** Breadth first from the least key of a component back to itself. */
function shortestCycle(members: readonly string[], references: ReadonlyMap<string, readonly string[]>): string[] {
  const inside = new Set(members)
  const start = members.reduce((least, key) => (key < least ? key : least))
  const cameFrom = new Map<string, string>()
  const queue = [start]
  for (const key of queue) {
    for (const target of references.get(key) ?? []) {
      if (target === start) {
        const path = [start]
        for (let at: string | undefined = key; at !== undefined && at !== start; at = cameFrom.get(at)) path.push(at)
        return [...path, start].reverse()
      }
      if (!inside.has(target) || cameFrom.has(target)) continue
      cameFrom.set(target, key)
      queue.push(target)
    }
  }
  return [start, start]
}

/** For a message: a cycle of thousands is named by its beginning. */
export function cycleText(cycle: readonly string[]): string {
  return cycle.length > CYCLE_SHOWN_MAX
    ? `${cycle.slice(0, CYCLE_SHOWN_MAX).join(' → ')} → … (${cycle.length - 1} in all)`
    : cycle.join(' → ')
}
