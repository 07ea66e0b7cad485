/** An outcome: one variation, or a split whose shares always add up to 100 %. */
import { useState } from 'preact/hooks'
import type { Flag, Rollout, Serve } from '../../../schemas/flag.ts'
import { WEIGHT_TOTAL } from '../../../schemas/limits.ts'
import { percentText } from '../../../schemas/words.ts'
import { attributeWords } from '../operators.ts'
import { moved, splitOf, without } from '../weights.ts'
import { ProblemsAt } from './problems.tsx'

const SPLIT = '%'

export interface ServeProps {
  readonly label: string
  readonly serve: Serve
  readonly flag: Pick<Flag, 'variations'>
  readonly path: string
  readonly onChange: (serve: Serve) => void
}

export function ServeEditor({ label, serve, flag, path, onChange }: ServeProps) {
  return (
    <div class="serve">
      <label class="field">
        <span>{label}</span>
        <select
          value={'variation' in serve ? `=${serve.variation}` : SPLIT}
          onChange={event => {
            const { value } = event.currentTarget
            onChange(value === SPLIT ? splitOf(serve, flag) : { variation: value.slice(1) })
          }}
        >
          {flag.variations.map(({ key }) => (
            <option key={key} value={`=${key}`}>
              {key}
            </option>
          ))}
          <option value={SPLIT}>a split by percent</option>
        </select>
      </label>
      {'rollout' in serve && <RolloutEditor rollout={serve.rollout} flag={flag} onChange={rollout => onChange({ rollout })} />}
      <ProblemsAt path={path} />
    </div>
  )
}

interface RolloutProps {
  readonly rollout: Rollout
  readonly flag: Pick<Flag, 'variations'>
  readonly onChange: (rollout: Rollout) => void
}

function RolloutEditor({ rollout, flag, onChange }: RolloutProps) {
  const { weights } = rollout
  const missing = flag.variations.filter(({ key }) => !weights.some(({ variation }) => variation === key))
  const set = (next: Rollout['weights']): void => onChange({ ...rollout, weights: next })
  const total = weights.reduce((sum, { weight }) => sum + weight, 0)
  return (
    <fieldset class="rollout" aria-label="Split by percent">
      <SplitBar weights={weights} flag={flag} />
      {weights.map(({ variation, weight }, i) => (
        <div key={variation} class="weight">
          <span class="name">
            <i class={`swatch v${indexOf(flag, variation)}`} aria-hidden="true" /> {variation}
          </span>
          <input
            type="range"
            aria-label={`Share of ${variation}`}
            aria-valuetext={percentText(weight)}
            min={0}
            max={WEIGHT_TOTAL}
            step={1_000}
            value={weight}
            onInput={event => set(moved(weights, i, Number(event.currentTarget.value)))}
          />
          <PercentInput label={`Percent of ${variation}`} weight={weight} onChange={next => set(moved(weights, i, next))} />
          {weights.length > 1 && (
            <button
              type="button"
              class="plain small"
              aria-label={`Take ${variation} out of the split`}
              onClick={() => set(without(weights, i))}
            >
              ✕
            </button>
          )}
        </div>
      ))}
      <p class="hint">
        {missing.map(({ key }) => (
          <button key={key} type="button" class="secondary outline small" onClick={() => set([...weights, { variation: key, weight: 0 }])}>
            + {key}
          </button>
        ))}{' '}
        Together {percentText(total)}
        {total !== WEIGHT_TOTAL && <strong class="bad"> ✕ not 100 %: move one to put it right</strong>}
      </p>
      <label class="field">
        <span>split by</span>
        <input
          type="text"
          list="attributes"
          spellcheck={false}
          placeholder="targetingKey"
          value={rollout.by ?? ''}
          onInput={event => {
            const by = event.currentTarget.value
            const { by: _, ...rest } = rollout
            onChange(by === '' ? rest : { ...rest, by })
          }}
        />
      </label>
      <p class="hint">
        Who has no {attributeWords(rollout.by)} gets the off variation. {rollout.seed !== undefined && `Seed ${rollout.seed} of its own.`}
      </p>
    </fieldset>
  )
}

/** Typed freely, taken when it is left or Enter is pressed. */
function PercentInput({
  label,
  weight,
  onChange,
}: {
  readonly label: string
  readonly weight: number
  readonly onChange: (weight: number) => void
}) {
  const [text, setText] = useState<string | null>(null)
  const take = (): void => {
    const number = Number((text ?? '').replace(',', '.'))
    if (text !== null && text.trim() !== '' && Number.isFinite(number)) onChange(Math.round(number * (WEIGHT_TOTAL / 100)))
    setText(null)
  }
  return (
    <span class="percent">
      <input
        type="text"
        inputMode="decimal"
        aria-label={label}
        value={text ?? String(weight / (WEIGHT_TOTAL / 100))}
        onInput={event => setText(event.currentTarget.value)}
        onBlur={take}
        onKeyDown={event => {
          if (event.key !== 'Enter') return
          event.preventDefault()
          take()
        }}
      />{' '}
      %
    </span>
  )
}

export function SplitBar({ weights, flag }: { readonly weights: Rollout['weights']; readonly flag: Pick<Flag, 'variations'> }) {
  return (
    <span class="split" role="img" aria-label={weights.map(({ variation, weight }) => `${percentText(weight)} ${variation}`).join(', ')}>
      {weights.map(({ variation, weight }) => (
        <i key={variation} class={`swatch v${indexOf(flag, variation)}`} style={{ width: `${(weight * 100) / WEIGHT_TOTAL}%` }} />
      ))}
    </span>
  )
}

/** Which of the eight colours a variation has: by its place in the flag. */
export function indexOf(flag: Pick<Flag, 'variations'>, variation: string): number {
  return (
    Math.max(
      0,
      flag.variations.findIndex(({ key }) => key === variation),
    ) % 8
  )
}

/** An outcome to be read. */
export function Served({ serve, flag }: { readonly serve: Serve; readonly flag: Pick<Flag, 'variations'> }) {
  if ('variation' in serve) return <Variation name={serve.variation} flag={flag} />
  const { weights, by } = serve.rollout
  return (
    <span class="served">
      {weights.map(({ variation, weight }) => (
        <span key={variation} class="share">
          {percentText(weight)} <Variation name={variation} flag={flag} />
        </span>
      ))}
      <small>by {attributeWords(by)}</small>
      <SplitBar weights={weights} flag={flag} />
    </span>
  )
}

export function Variation({ name, flag }: { readonly name: string; readonly flag: Pick<Flag, 'variations'> }) {
  return (
    <span class="variation">
      <i class={`swatch v${indexOf(flag, name)}`} aria-hidden="true" /> {name}
    </span>
  )
}
