/** The flag as JSON: to be read, copied, and edited into the same draft as the rules. */
import { useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import { isSame, SETTINGS, type Settings, settingsOf } from '../merge.ts'
import { ProblemsAt } from './problems.tsx'

export interface JsonViewProps {
  readonly flag: Flag
  readonly settings: Settings
  readonly canEdit: boolean
  readonly onChange: (settings: Settings) => void
}

export function JsonView({ flag, settings, canEdit, onChange }: JsonViewProps) {
  const [typed, setTyped] = useState<{ readonly text: string; readonly of: Settings } | null>(null)
  const text = typed !== null && isSame(typed.of, settings) ? typed.text : JSON.stringify(settings, null, 2)
  const parsed = read(text)
  return (
    <div class="columns">
      <section>
        <h2 id="settings-json">What it does here</h2>
        <textarea
          class="json"
          rows={Math.min(40, text.split('\n').length + 1)}
          aria-labelledby="settings-json"
          aria-invalid={typeof parsed === 'string' ? true : undefined}
          spellcheck={false}
          readOnly={!canEdit}
          value={text}
          onInput={event => {
            const next = event.currentTarget.value
            const found = read(next)
            setTyped({ text: next, of: typeof found === 'string' ? settings : found })
            if (typeof found !== 'string') onChange(found)
          }}
        />
        {typeof parsed === 'string' ? (
          <p class="bad" role="alert">
            ✕ {parsed} It is not taken yet.
          </p>
        ) : (
          canEdit && <p class="hint">What you write here is the same draft as the rules; it is reviewed and saved in the same way.</p>
        )}
        {SETTINGS.map(field => (
          <ProblemsAt key={field} path={field} />
        ))}
      </section>
      <section>
        <h2>The whole document, as it stands</h2>
        <pre class="json" tabIndex={0} aria-label="The whole document">
          {JSON.stringify({ ...flag, ...settingsOf(flag) }, null, 2)}
        </pre>
      </section>
    </div>
  )
}

/** The settings, or what is wrong with the text. What a value may be the server says. */
function read(text: string): Settings | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return `This is no JSON: ${error instanceof Error ? error.message : String(error)}.`
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'This is no object.'
  const fields = Object.keys(value)
  const missing = SETTINGS.filter(field => !fields.includes(field))
  if (missing.length > 0) return `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing.`
  const unknown = fields.filter(field => !SETTINGS.some(known => known === field))
  if (unknown.length > 0) return `${unknown.join(', ')} ${unknown.length === 1 ? 'does' : 'do'} not belong here.`
  const settings = value as Settings
  for (const field of ['prerequisites', 'targets', 'rules'] as const)
    if (!isListOfObjects(settings[field])) return `${field} is no list of objects.`
  if (settings.rules.some(rule => !isListOfObjects(rule.clauses) || !isServe(rule.serve)))
    return 'Each rule needs a list of clauses, and what it serves.'
  if (settings.targets.some(target => !Array.isArray(target.values))) return 'Each target needs a list of values.'
  if (settings.prerequisites.some(prerequisite => !Array.isArray(prerequisite.variations)))
    return 'Each prerequisite needs a list of variations.'
  if (settings.rules.some(rule => rule.clauses.some(clause => !Array.isArray(clause.values)))) return 'Each clause needs a list of values.'
  return isServe(settings.fallthrough) ? settings : 'fallthrough needs a variation or a rollout.'
}

function isListOfObjects(value: unknown): boolean {
  return Array.isArray(value) && value.every(item => typeof item === 'object' && item !== null)
}

function isServe(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if ('variation' in value) return typeof value.variation === 'string'
  return (
    'rollout' in value &&
    typeof value.rollout === 'object' &&
    value.rollout !== null &&
    'weights' in value.rollout &&
    isListOfObjects(value.rollout.weights)
  )
}
