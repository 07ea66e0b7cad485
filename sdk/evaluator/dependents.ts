/**
 * Which flags may yield something else after a change: those that changed, those that use a changed segment, directly
 * or through another segment, and those that have one of all these as a prerequisite, at any depth.
 */

/** The documents that a flag or segment names. */
interface References {
  readonly flags: readonly string[]
  readonly segments: readonly string[]
}

/** For each document that is named, those that name it. Kept up document by document: a change costs what it touches. */
export class Dependents {
  readonly #flags = new Index()
  readonly #segments = new Index()

  constructor(flags: ReadonlyMap<string, object>, segments: ReadonlyMap<string, object>) {
    for (const [key, document] of flags) this.#flags.set(key, document)
    for (const [key, document] of segments) this.#segments.set(key, document)
  }

  /** Take in documents that changed or were removed. */
  update(
    flags: ReadonlyMap<string, object>,
    segments: ReadonlyMap<string, object>,
    changedFlags: readonly string[],
    changedSegments: readonly string[],
  ): void {
    for (const key of changedFlags) this.#flags.set(key, flags.get(key))
    for (const key of changedSegments) this.#segments.set(key, segments.get(key))
  }

  /** @returns keys, each once; a removed flag's is among them */
  affected(changedFlags: readonly string[], changedSegments: readonly string[]): string[] {
    const segments = closure(changedSegments, this.#segments.usersOfSegment)
    const flags = new Set(changedFlags)
    for (const segment of segments) for (const user of this.#flags.usersOfSegment.get(segment) ?? []) flags.add(user)
    return [...closure(flags, this.#flags.usersOfFlag)]
  }
}

class Index {
  readonly usersOfFlag = new Map<string, Set<string>>()
  readonly usersOfSegment = new Map<string, Set<string>>()
  readonly #references = new Map<string, References>()

  set(key: string, document: object | undefined): void {
    const before = this.#references.get(key)
    if (before !== undefined) {
      for (const named of before.flags) this.usersOfFlag.get(named)?.delete(key)
      for (const named of before.segments) this.usersOfSegment.get(named)?.delete(key)
    }
    const references = document === undefined ? null : readReferences(document as Readonly<Record<string, unknown>>)
    if (references === null) {
      this.#references.delete(key)
      return
    }
    this.#references.set(key, references)
    for (const named of references.flags) add(this.usersOfFlag, named, key)
    for (const named of references.segments) add(this.usersOfSegment, named, key)
  }
}

/** Everything that can be reached from `start`; cycles end by themselves. */
function closure(start: Iterable<string>, users: ReadonlyMap<string, ReadonlySet<string>>): Set<string> {
  const reached = new Set(start)
  // A set may grow while it is walked: what is added is visited too.
  for (const key of reached) for (const user of users.get(key) ?? []) reached.add(user)
  return reached
}

function add(users: Map<string, Set<string>>, named: string, user: string): void {
  const set = users.get(named)
  if (set === undefined) users.set(named, new Set([user]))
  else set.add(user)
}

/** Reads a document that may be damaged: what is not as expected names nothing. Null for one that names nothing. */
function readReferences(document: Readonly<Record<string, unknown>>): References | null {
  const flags = items(document.prerequisites).map(prerequisite => prerequisite.flag)
  const segments = [...items(document.kills), ...items(document.rules)]
    .flatMap(rule => items(rule.clauses))
    .filter(clause => clause.op === 'segment')
    .flatMap(clause => (Array.isArray(clause.values) ? (clause.values as unknown[]) : []))
  return flags.length + segments.length === 0 ? null : { flags: flags.filter(isText), segments: segments.filter(isText) }
}

function items(list: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(list)
    ? list.filter((item: unknown): item is Readonly<Record<string, unknown>> => typeof item === 'object' && item !== null)
    : []
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}
