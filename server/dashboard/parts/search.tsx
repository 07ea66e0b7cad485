/** Finds any flag in two keystrokes: `/` and a letter; the arrow keys choose, Enter goes there, `k` is one more key away. */
import { useMemo, useRef, useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import { inEnvironment } from '../api.ts'
import { useResource } from '../resource.ts'
import { go, linkTo } from '../route.ts'
import { Dialog } from './dialog.tsx'
import { Problem } from './problem.tsx'
import { flagState } from './flagstate.tsx'

const SHOWN_MAX = 12

export interface SearchProps {
  readonly onClose: () => void
  readonly title?: string
  /** Instead of going to the flag. */
  readonly onChoose?: (flag: Flag) => void
}

export function Search({ onClose, title = 'Search flags', onChoose }: SearchProps) {
  const { data, failure } = useResource<{ flags: readonly Flag[] }>(inEnvironment('/flags'))
  const [text, setText] = useState('')
  const [chosen, setChosen] = useState(0)
  const found = useMemo(() => searched(data?.flags ?? [], text).slice(0, SHOWN_MAX), [data, text])
  const list = useRef<HTMLUListElement>(null)
  const open = (flag: Flag | undefined): void => {
    if (flag === undefined) return
    onClose()
    if (onChoose !== undefined) return onChoose(flag)
    go(linkTo('flags', [flag.key]))
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <input
        type="text"
        list={undefined}
        autofocus
        aria-label="Part of a key, a name, a tag or an owner"
        placeholder="Part of a key, a name, a tag or an owner"
        role="combobox"
        aria-expanded={found.length > 0}
        aria-controls="found"
        aria-activedescendant={found.length > 0 ? `found-${chosen}` : undefined}
        value={text}
        onInput={event => {
          setText(event.currentTarget.value)
          setChosen(0)
        }}
        onKeyDown={event => {
          const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
          if (step !== undefined) {
            event.preventDefault()
            setChosen(i => Math.max(0, Math.min(found.length - 1, i + step)))
          } else if (event.key === 'Enter') {
            // Else the same key would press what has the focus next.
            event.preventDefault()
            open(found[chosen])
          }
        }}
      />
      <Problem failure={failure} />
      <ul id="found" class="found" role="listbox" aria-label="Flags" ref={list}>
        {found.map((flag, i) => (
          <li
            key={flag.key}
            id={`found-${i}`}
            role="option"
            aria-selected={i === chosen}
            onClick={() => open(flag)}
            onMouseMove={() => setChosen(i)}
          >
            <span>
              <strong>{flag.key}</strong> {flag.name !== undefined && flag.name !== flag.key && <small>{flag.name}</small>}
            </span>
            {flagState(flag)}
          </li>
        ))}
      </ul>
      {data !== null && found.length === 0 && <p>No flag here has “{text}” in its key, name, tags or owner.</p>}
    </Dialog>
  )
}

/** Those that begin so first, then those that hold it anywhere; killed ones before others. */
export function searched(flags: readonly Flag[], text: string): Flag[] {
  const wanted = text.trim().toLowerCase()
  const rank = (flag: Flag): number => {
    const key = flag.key.toLowerCase()
    if (key === wanted) return 0
    if (key.startsWith(wanted)) return 1
    if (key.includes(wanted)) return 2
    const others = [flag.name ?? '', flag.owner ?? '', ...(flag.tags ?? [])]
    return others.some(other => other.toLowerCase().includes(wanted)) ? 3 : 4
  }
  return flags
    .map(flag => ({ flag, rank: rank(flag) }))
    .filter(each => each.rank < 4)
    .sort((a, b) => a.rank - b.rank || b.flag.kills.length - a.flag.kills.length || a.flag.key.localeCompare(b.flag.key))
    .map(each => each.flag)
}
