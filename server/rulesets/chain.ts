/** Cycles and the longest chain in a graph of keys: prerequisites of flags, segments within segments. */

export interface Chains {
  /** The first cycle found, its first key repeated at the end, or null. */
  readonly cycle: readonly string[] | null
  /** The longest chain found, from the one that depends on the others to the last. Empty when there is a cycle. */
  readonly longest: readonly string[]
}

/**
 * @param starts the keys to begin at
 * @param next   the keys a key depends on; one that is not known answers none
 *
 * A depth-first walk with its own stack, so that a chain of 20,000 keys does not overflow ours; each key is visited once.
 */
export function chains(starts: Iterable<string>, next: (key: string) => readonly string[]): Chains {
  // For every finished key: how many links follow it, and the key that the longest way goes on with.
  const links = new Map<string, number>()
  const onward = new Map<string, string>()
  let deepest: string | undefined
  for (const start of starts) {
    if (links.has(start)) continue
    const path: { key: string; children: readonly string[]; at: number }[] = [{ key: start, children: next(start), at: 0 }]
    const onPath = new Set([start])
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const child = top.children[top.at]
      if (child === undefined) {
        let most = 0
        for (const key of top.children) {
          const through = (links.get(key) ?? 0) + 1
          if (through > most) {
            most = through
            onward.set(top.key, key)
          }
        }
        links.set(top.key, most)
        if (deepest === undefined || most > (links.get(deepest) ?? 0)) deepest = top.key
        onPath.delete(top.key)
        path.pop()
        continue
      }
      top.at++
      if (onPath.has(child)) {
        const keys = path.map(step => step.key)
        return { cycle: [...keys.slice(keys.indexOf(child)), child], longest: [] }
      }
      if (links.has(child)) continue
      onPath.add(child)
      path.push({ key: child, children: next(child), at: 0 })
    }
  }
  const longest: string[] = []
  for (let key = deepest; key !== undefined; key = onward.get(key)) longest.push(key)
  return { cycle: null, longest }
}
