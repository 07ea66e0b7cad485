/** The change log as it grows: newest first, in the words of the command line, names leading to their flags. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import type { Kill } from '../../../schemas/kill.ts'
import type { LiveMessage } from '../../../schemas/live.ts'
import { ACTION_WORDS, affectedText } from '../../../schemas/words.ts'
import { call, Failure, inEnvironment } from '../api.ts'
import { listen } from '../live.ts'
import { linkTo } from '../route.ts'
import type { Place } from '../session.ts'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'

const PAGE = 30
/** Entries kept on the page. */
const SHOWN_MAX = 500
const KEYS_SHOWN = 6
/** Many entries in a row are one question. */
const GATHER_MS = 120

type Told = Extract<LiveMessage, { type: 'change' }>
/** What a line needs. The live stream tells of documents by name; what they hold comes with the entry itself. */
interface Entry extends Pick<Change, 'revision' | 'at' | 'actor' | 'action' | 'comment'> {
  readonly edits: readonly (Pick<Change['edits'][number], 'type' | 'key'> & { readonly before?: unknown; readonly after?: unknown })[]
  readonly editCount: number
  readonly reverts: number | null
  /** From the log itself. */
  readonly isWhole: boolean
  readonly isVolatile: boolean
}

/** @param here the environment; another one needs another `key` */
export function Log({ here }: { readonly here: Place }) {
  const { entries, failure, hasMore, more, refresh } = useEntries(here)
  return (
    <section class="log" aria-label="Changes">
      <h2>Changes</h2>
      <Problem failure={failure} onRetry={refresh} />
      {entries === null && failure === null && <p aria-busy="true">Loading</p>}
      {entries?.length === 0 && (
        <p class="hint">
          Nothing has changed here yet. Make a flag: <code>sluice flag create checkout --kind kill-switch</code>
        </p>
      )}
      <ol>
        {(entries ?? []).map(entry => (
          <Line key={entry.revision} entry={entry} />
        ))}
      </ol>
      {hasMore && (
        <button type="button" class="secondary small" onClick={more}>
          Older ones
        </button>
      )}
    </section>
  )
}

const TONES: readonly (readonly [pattern: RegExp, tone: string, mark: string])[] = [
  [/^flag\.kill$/, 'bad', '■'],
  [/^(flag\.(lift|expire)|trigger\.restore)$/, 'good', '●'],
  [/^(trigger\.fire|rollout\.(revert|hold)|valve\.|notifier\.pause)/, 'warn', '▲'],
  [/^rollout\./, 'busy', '◐'],
]

function Line({ entry }: { readonly entry: Entry }) {
  const { revision, at, actor, action, comment, edits, editCount, reverts, isVolatile } = entry
  const [, tone, mark] = TONES.find(([pattern]) => pattern.test(action)) ?? [null, 'quiet', '○']
  // A rollout's entry edits the flag and its plan, which have one name.
  const named = edits.filter((edit, i) => edits.findIndex(each => each.key === edit.key) === i)
  const words = (ACTION_WORDS as Readonly<Record<string, string>>)[action] ?? action
  return (
    <li>
      <span class={tone} aria-hidden="true">
        {mark}
      </span>
      <div>
        <p>
          <strong>{actor.name}</strong> {words} {reverts !== null && `r${reverts} of `}
          {edits.length === 0 && 'nothing'}
          {named.slice(0, KEYS_SHOWN).map(({ type, key, before, after }, i) => (
            <span key={`${type}/${key}`}>
              {i > 0 && ', '}
              <Name type={type} name={key} flag={flagOf(after) ?? flagOf(before)} />
            </span>
          ))}
          {named.length > KEYS_SHOWN && ` and ${(editCount - KEYS_SHOWN).toLocaleString('en')} more`}
          {coveredText(entry)}
        </p>
        {comment !== null && comment !== '' && <p class="comment">“{comment}”</p>}
        <p class="when">
          <Moment at={at} /> · r{revision}
          {isVolatile && <span class="warn"> · ▲ not stored yet</span>}
        </p>
      </div>
    </li>
  )
}

function Name({ type, name, flag }: { readonly type: string; readonly name: string; readonly flag: string | null }) {
  const key = type === 'flag' || type === 'plan' || type === 'valve' ? name : type === 'schedule' ? flag : null
  return key === null ? <code>{name}</code> : <a href={linkTo('flags', [key])}>{key}</a>
}

/** Of a schedule: the flag it is about. */
function flagOf(document: unknown): string | null {
  return typeof document === 'object' && document !== null && 'flag' in document && typeof document.flag === 'string' ? document.flag : null
}

/** Whom the kills cover that it laid on or took away; nothing where that is everyone. */
function coveredText({ action, edits, isWhole }: Entry): string {
  if (!isWhole || !['flag.kill', 'flag.lift', 'flag.expire'].includes(action)) return ''
  const covered = new Set<string>()
  for (const { before, after } of edits) {
    const [earlier, later] = [killsOf(before), killsOf(after)]
    const has = (kills: readonly Kill[], kill: Kill): boolean => kills.some(({ id }) => id === kill.id)
    for (const kill of [...later.filter(each => !has(earlier, each)), ...earlier.filter(each => !has(later, each))])
      covered.add(affectedText(kill.clauses))
  }
  return covered.size === 0 || (covered.size === 1 && covered.has(affectedText([]))) ? '' : ` for ${[...covered].join('; ')}`
}

function killsOf(document: unknown): readonly Kill[] {
  return (document as Flag | null | undefined)?.kills ?? []
}

interface Entries {
  /** Null until they are known. */
  readonly entries: readonly Entry[] | null
  readonly failure: Failure | null
  readonly hasMore: boolean
  readonly more: () => void
  readonly refresh: () => void
}

function useEntries({ project, environment }: Place): Entries {
  const [entries, setEntries] = useState<readonly Entry[] | null>(null)
  const [failure, setFailure] = useState<Failure | null>(null)
  const [hasMore, setMore] = useState(false)
  // The newest and the oldest that came from the log itself, without a gap between them.
  const span = useRef({ newest: 0, oldest: 0 })
  const ending = useRef(new AbortController())

  const load = async (query: Readonly<Record<string, number>>, isOlder: boolean): Promise<void> => {
    try {
      const path = inEnvironment('/changes', { project, environment })
      const { changes, more } = await call<{ changes: readonly Change[]; more: boolean }>(path, {
        query: { limit: PAGE, ...query },
        signal: ending.current.signal,
      })
      const found = changes.map(wholeOf)
      // More happened than one page holds: what is known is left behind, and reached again by going back.
      const isGap = !isOlder && more
      if (isOlder || isGap || span.current.newest === 0) {
        span.current.oldest = found.at(-1)?.revision ?? span.current.oldest
        setMore(more)
      }
      if (!isOlder) span.current.newest = Math.max(span.current.newest, found[0]?.revision ?? 0)
      setEntries(known => merged(isGap ? [] : (known ?? []), found))
      setFailure(null)
    } catch (error) {
      if (ending.current.signal.aborted) return
      setFailure(error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error)))
    }
  }
  const refresh = (): void => void load(span.current.newest === 0 ? {} : { since: span.current.newest }, false)

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null
    refresh()
    const end = listen(message => {
      const isOwn = message.type === 'change' && message.project === project && message.environment === environment
      if (message.type !== 'welcome' && !isOwn) return
      if (isOwn) setEntries(known => (known === null ? known : merged([toldOf(message)], known)))
      timer ??= setTimeout(() => {
        timer = null
        refresh()
      }, GATHER_MS)
    })
    return () => {
      end()
      ending.current.abort()
      if (timer !== null) clearTimeout(timer)
    }
  }, [])
  return { entries, failure, hasMore, more: () => void load({ until: span.current.oldest - 1 }, true), refresh }
}

/** Newest first; what comes later in the arguments is in its place of what was there. */
function merged(known: readonly Entry[], found: readonly Entry[]): readonly Entry[] {
  const all = new Map([...known, ...found].map(entry => [entry.revision, entry]))
  return [...all.values()].sort((a, b) => b.revision - a.revision).slice(0, SHOWN_MAX)
}

function wholeOf(change: Change): Entry {
  return { ...change, editCount: change.edits.length, isWhole: true, isVolatile: false }
}

function toldOf({ revision, at, actor, action, comment, edits, editCount, volatile }: Told): Entry {
  return { revision, at, actor, action, comment, edits, editCount, reverts: null, isWhole: false, isVolatile: volatile }
}
