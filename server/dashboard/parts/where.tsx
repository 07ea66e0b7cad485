/** For whom: everyone, or the contexts whose attribute is one of the values. */
import type { Clause } from '../../../schemas/clause.ts'
import type { Scalar } from '../../../schemas/json.ts'
import './live.css'

export interface Where {
  readonly attribute: string
  readonly values: string
}

export const EVERYONE: Where = { attribute: '', values: '' }

export function clausesOf({ attribute, values }: Where): Clause[] {
  if (attribute.trim() === '') return []
  return [{ attribute: attribute.trim(), op: 'in', values: values.split(',').map(scalarOf) }]
}

/** As the command line reads it: text, unless it is a JSON number, true or false; quotes make it text. */
function scalarOf(text: string): Scalar {
  const trimmed = text.trim()
  if (/^(true|false|-?(0|[1-9]\d*)(\.\d+)?|"[^"]*")$/.test(trimmed)) return JSON.parse(trimmed) as Scalar
  return trimmed
}

export function WhereFields({ where, onChange, isNeeded = false }: { where: Where; onChange: (where: Where) => void; isNeeded?: boolean }) {
  return (
    <fieldset class="pair">
      <legend>{isNeeded ? 'Whom' : 'For whom: everyone, unless an attribute is named'}</legend>
      <label>
        Attribute
        <input
          name="attribute"
          placeholder="/account/id"
          autocomplete="off"
          required={isNeeded}
          value={where.attribute}
          onInput={event => onChange({ ...where, attribute: event.currentTarget.value })}
        />
      </label>
      <label>
        is one of
        <input
          name="values"
          placeholder="a-17, a-18"
          autocomplete="off"
          required={isNeeded || where.attribute.trim() !== ''}
          value={where.values}
          onInput={event => onChange({ ...where, values: event.currentTarget.value })}
        />
      </label>
    </fieldset>
  )
}
