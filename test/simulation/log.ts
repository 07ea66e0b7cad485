/**
 * A change log as the simulator needs it: entries with hashes, and everything that can happen to them. It remembers every
 * place there ever was (epoch, revision, history) with what stood there, so that what an SDK shows can be held against it.
 */
import type { Change } from '../../schemas/change.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'
import { emptyMaps } from '../../server/log/memory.ts'
import type { State } from '../../server/log/types.ts'

/** What stands at a place: a number for each document. */
export type Content = ReadonlyMap<string, number>

export const FLAGS = ['f0', 'f1', 'f2', 'f3', 'f4', 'f5']
export const SEGMENTS = ['s0', 's1']

/** `memory`: published, but neither stored nor journalled. */
export type Fate = 'stored' | 'journalled' | 'memory'

interface Entry {
  readonly change: Change
  readonly content: Content
  fate: Fate
}

const EMPTY: Content = new Map()
const NO_HASH = '0'.repeat(16)

export class ModelLog {
  epoch = 'e1'
  revision = 0
  hash = NO_HASH
  entries: Entry[] = []
  /** By place. Nothing is ever taken out. */
  readonly places = new Map<string, Content>([[placeName('e1', 0, NO_HASH), EMPTY]])
  #state: State | null = null
  /** The history that counts: the hash of each revision. */
  #hashes = new Map<number, string>([[0, NO_HASH]])
  #documents = { flag: new Map<string, Flag>(), segment: new Map<string, Segment>() }
  #epochs = 1
  #values = 0

  get content(): Content {
    return this.entries.at(-1)?.content ?? EMPTY
  }

  hashAt(revision: number): string | undefined {
    return this.#hashes.get(revision)
  }

  state(): State {
    if (this.#state !== null) return this.#state
    const { epoch, revision, hash } = this
    const documents = { ...emptyMaps(), ...this.#documents }
    this.#state = { log: 'model', epoch, revision, hash, documents }
    return this.#state
  }

  /** One more entry: a document set, or taken away where it is there. */
  commit(type: 'flag' | 'segment', key: string, isRemoval: boolean, fate: Fate): Change {
    const name = `${type}/${key}`
    const value = isRemoval && this.content.has(name) ? null : ++this.#values
    const content = new Map(this.content)
    if (value === null) content.delete(name)
    else content.set(name, value)
    const after = value === null ? null : type === 'flag' ? flagDocument(key, value) : segmentDocument(key, value)
    const edits = [{ type, key, before: null, after }]
    const hash = (++this.#values).toString(16).padStart(16, 'h')
    const change = { revision: this.revision + 1, hash, previousHash: this.hash, edits } as unknown as Change
    this.#add({ change, content, fate })
    return change
  }

  /** What storage can take again is stored. */
  store(): void {
    for (const entry of this.entries) entry.fate = 'stored'
  }

  /**
   * The process is gone. What only it knew is lost; what the journal kept on top of that is committed anew, in a new epoch
   * when it no longer follows.
   */
  crash(): void {
    const lost = this.entries.findIndex(entry => entry.fate === 'memory')
    const kept = lost === -1 ? [] : this.entries.slice(lost).filter(entry => entry.fate !== 'memory')
    if (lost !== -1) this.#goBackTo(lost)
    if (kept.length > 0) this.#beginEpoch()
    for (const { change } of kept) {
      for (const edit of change.edits) this.commit(edit.type as 'flag', edit.key, edit.after === null, 'stored')
    }
    this.store()
  }

  /**
   * A backup from some entries ago. `above`: the numbers go on above what was acknowledged, in a new epoch; `below`: from
   * where the backup stands, in a new epoch; `unnoticed`: a whole folder was put back, so that nothing tells the log.
   */
  restore(entries: number, how: 'above' | 'below' | 'unnoticed'): void {
    const { revision } = this
    this.#goBackTo(Math.max(0, this.entries.length - entries))
    if (how === 'unnoticed') return
    if (how === 'above') this.revision = revision
    this.#beginEpoch()
  }

  #add(entry: Entry): void {
    this.entries.push(entry)
    this.revision = entry.change.revision
    this.hash = entry.change.hash
    this.#number(entry.change)
    for (const { type, key, after } of entry.change.edits) {
      const documents = this.#documents[type as 'flag'] as Map<string, unknown>
      if (after === null) documents.delete(key)
      else documents.set(key, after)
    }
    this.#stand()
  }

  #number({ revision, hash, previousHash }: Change): void {
    // Revisions that were passed over have the hash of the entry before.
    this.#hashes.set(revision - 1, previousHash)
    this.#hashes.set(revision, hash)
  }

  #goBackTo(length: number): void {
    this.entries.length = length
    this.#hashes = new Map([[0, NO_HASH]])
    for (const { change } of this.entries) this.#number(change)
    const newest = this.entries.at(-1)?.change
    this.revision = newest?.revision ?? 0
    this.hash = newest?.hash ?? NO_HASH
    this.#documents = { flag: new Map(), segment: new Map() }
    for (const [name, value] of this.content) {
      const [type, key = ''] = name.split('/')
      if (type === 'flag') this.#documents.flag.set(key, flagDocument(key, value))
      else this.#documents.segment.set(key, segmentDocument(key, value))
    }
    this.#stand()
  }

  #beginEpoch(): void {
    this.epoch = `e${++this.#epochs}`
    this.#stand()
  }

  #stand(): void {
    this.#state = null
    this.#hashes.set(this.revision, this.hash)
    this.places.set(placeName(this.epoch, this.revision, this.hash), this.content)
  }
}

export function placeName(epoch: string, revision: number, hash: string): string {
  return `${epoch}.${revision}.${hash}`
}

/** Who asks for the flags. */
export const CONTEXT = { targetingKey: 'somebody' }

/** What `CONTEXT` must see of a flag; null for one that is not there. */
export function visible(content: Content, flag: string): number | null {
  const value = content.get(`flag/${flag}`)
  const segment = content.get(`segment/${segmentOf(flag)}`) ?? 0
  return value === undefined ? null : segment % 2 === 1 ? -value : value
}

/** A flag whose value is the number, or less than nothing for those in a segment. */
function flagDocument(key: string, value: number): Flag {
  return {
    key,
    kind: 'config',
    version: value,
    seed: 1,
    variations: [
      { key: 'on', value },
      { key: 'in', value: -value },
    ],
    enabled: true,
    offVariation: 'on',
    kills: [],
    prerequisites: [],
    targets: [],
    rules: [{ id: 'r', clauses: [{ op: 'segment', values: [segmentOf(key)] }], serve: { variation: 'in' } }],
    fallthrough: { variation: 'on' },
  }
}

/** Every second version of a segment has `CONTEXT` in it. */
function segmentDocument(key: string, value: number): Segment {
  const included = value % 2 === 1 ? [{ values: [CONTEXT.targetingKey] }] : []
  return { key, version: value, included, excluded: [], rules: [] }
}

function segmentOf(flag: string): string {
  return flag < 'f3' ? 's0' : 's1'
}
