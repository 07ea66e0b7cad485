/** The values of a clause, target or list, as the operator takes them. */
import { useId, useState } from 'preact/hooks'
import type { Scalar } from '../../../schemas/json.ts'
import { NEEDS, parseValue, type ValueForm } from '../operators.ts'

/** Longer lists show their beginning: 100,000 values are possible. */
const SHOWN_MAX = 60

export interface ValuesProps {
  readonly label: string
  readonly values: readonly Scalar[]
  readonly takes: ValueForm
  readonly example?: string
  /** Offered while typing. */
  readonly known?: readonly string[]
  readonly onChange: (values: Scalar[]) => void
}

export function Values({ label, values, takes, example, known, onChange }: ValuesProps) {
  const [text, setText] = useState('')
  const [type, setType] = useState<'text' | 'number' | 'boolean'>('text')
  const [wrong, setWrong] = useState<string | null>(null)
  const id = useId()
  const add = (typed: string): void => {
    const lines = typed.split('\n').filter(line => line.trim() !== '')
    const parsed = lines.map(line => parseValue(line, takes, type))
    const bad = parsed.find(value => typeof value === 'object')
    if (bad !== undefined) return setWrong(`${bad.wrong} Here stand ${NEEDS[takes]}.`)
    setWrong(null)
    setText('')
    const fresh = parsed.filter(value => typeof value !== 'object').filter(value => !values.includes(value))
    if (fresh.length > 0) onChange([...values, ...new Set(fresh)])
  }
  return (
    <div class="values">
      {values.slice(0, SHOWN_MAX).map((value, i) => (
        <span key={i} class="chip">
          <code class={typeof value}>{typeof value === 'string' ? value : JSON.stringify(value)}</code>
          <button type="button" aria-label={`Remove ${String(value)}`} onClick={() => onChange(values.filter((_, j) => j !== i))}>
            ✕
          </button>
        </span>
      ))}
      {values.length > SHOWN_MAX && <small>and {(values.length - SHOWN_MAX).toLocaleString('en')} more</small>}
      <span class="adding">
        <input
          type="text"
          aria-label={label}
          title="Enter adds it; many are pasted a line each"
          aria-invalid={wrong !== null ? true : undefined}
          aria-describedby={wrong === null ? undefined : `${id}-wrong`}
          placeholder={values.length === 0 && example !== undefined && example !== '' ? `as in ${example}` : 'add'}
          spellcheck={false}
          list={known === undefined ? undefined : `${id}-known`}
          value={text}
          onInput={event => setText(event.currentTarget.value)}
          onBlur={() => text.trim() !== '' && add(text)}
          onKeyDown={event => {
            if (event.key === 'Enter') {
              event.preventDefault()
              if (text.trim() !== '') add(text)
            } else if (event.key === 'Backspace' && text === '' && values.length > 0) onChange(values.slice(0, -1))
          }}
          onPaste={event => {
            const pasted = event.clipboardData?.getData('text') ?? ''
            if (!pasted.includes('\n')) return
            event.preventDefault()
            add(pasted)
          }}
        />
        {known !== undefined && (
          <datalist id={`${id}-known`}>
            {known.map(value => (
              <option key={value} value={value} />
            ))}
          </datalist>
        )}
        {takes === 'scalar' && (
          <select
            aria-label={`Type of ${label}`}
            value={type}
            onChange={event => setType(event.currentTarget.value as 'text' | 'number' | 'boolean')}
          >
            <option value="text">text</option>
            <option value="number">number</option>
            <option value="boolean">true, false</option>
          </select>
        )}
      </span>
      {wrong !== null && (
        <small id={`${id}-wrong`} class="bad" role="alert">
          ✕ {wrong}
        </small>
      )}
    </div>
  )
}
