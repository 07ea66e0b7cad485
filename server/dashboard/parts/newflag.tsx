/** Making a flag: key, kind, name; values where they cannot be guessed. */
import { useState } from 'preact/hooks'
import { call, type Failure, inProject } from '../api.ts'
import { go, linkTo } from '../route.ts'
import { parseRows, rowsOf, VariationRows } from './about.tsx'
import { Dialog } from './dialog.tsx'
import { Problem } from './problem.tsx'
import { Problems, ProblemsAt } from './problems.tsx'
import { failureOf } from './save.tsx'
import type { FlagKind, Variation } from '../../../schemas/flag.ts'

export const KINDS: Readonly<Record<FlagKind, string>> = {
  release: 'something new, opened step by step and removed one day',
  'kill-switch': 'something that works, to be turned off in trouble',
  config: 'any JSON value',
  'rate-limit': 'how much of something anybody may use',
  'safety-valve': 'how much a dependency is asked',
  migration: 'how far a move from old to new has come',
}

const FIRST_VALUES: Partial<Record<FlagKind, readonly Variation[]>> = {
  config: [
    { key: 'usual', value: { size: 20 } },
    { key: 'off', value: { size: 0 } },
  ],
  'rate-limit': [
    { key: 'usual', value: { rate: 100, per: 'second' } },
    { key: 'off', value: { rate: 0, per: 'second' } },
  ],
}

export function NewFlag({ onClose }: { readonly onClose: () => void }) {
  const [key, setKey] = useState('')
  const [name, setName] = useState('')
  const [kind, setKind] = useState<FlagKind>('release')
  const [rows, setRows] = useState(() => rowsOf([]))
  const [failure, setFailure] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  const choose = (next: FlagKind): void => {
    setKind(next)
    setRows(rowsOf(FIRST_VALUES[next] ?? []))
  }
  const variations = parseRows(rows)
  const create = async (event: Event): Promise<void> => {
    event.preventDefault()
    setBusy(true)
    try {
      await call(inProject('/flags'), {
        method: 'POST',
        body: { key, kind, ...(name === '' ? {} : { name }), ...(rows.length === 0 ? {} : { variations }) },
      })
      onClose()
      go(linkTo('flags', [key]))
    } catch (error) {
      setFailure(failureOf(error))
      setBusy(false)
    }
  }
  return (
    <Dialog title="New flag" onClose={onClose}>
      <Problems.Provider value={failure?.details ?? []}>
        <form onSubmit={event => void create(event)}>
          <label>
            Key, as code asks for it
            <input
              type="text"
              autofocus
              required
              spellcheck={false}
              placeholder="new-ledger"
              value={key}
              onInput={event => setKey(event.currentTarget.value)}
            />
            <ProblemsAt path="key" />
          </label>
          <label>
            Kind
            <select value={kind} onChange={event => choose(event.currentTarget.value as FlagKind)}>
              {Object.entries(KINDS).map(([each, what]) => (
                <option key={each} value={each}>
                  {each}: {what}
                </option>
              ))}
            </select>
          </label>
          <label>
            Name, for people
            <input type="text" value={name} onInput={event => setName(event.currentTarget.value)} />
          </label>
          {FIRST_VALUES[kind] !== undefined && <VariationRows rows={rows} onChange={setRows} />}
          <Problem failure={failure} />
          <div class="presses">
            <button type="button" class="secondary" onClick={onClose}>
              Cancel
            </button>
            <button type="submit" aria-busy={isBusy} disabled={isBusy || variations === null}>
              Make it in every environment
            </button>
          </div>
        </form>
      </Problems.Provider>
    </Dialog>
  )
}
