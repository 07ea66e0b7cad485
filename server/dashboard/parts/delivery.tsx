/** What was delivered to a hook: the verdict, why, the alerts in it, and the payload on demand. */
import type { HookDelivery } from '../../../schemas/hook.ts'
import { numberText } from './figure.tsx'
import { verdictTone } from './hookview.ts'
import { Moment } from './moment.tsx'
import { State } from './state.tsx'
import './live.css'

export function Delivery({ delivery }: { readonly delivery: HookDelivery }) {
  const { at, verdict, reason, bytes, remote, headers, payload, alerts, skipped } = delivery
  return (
    <>
      <State tone={verdictTone(verdict)}>{verdict}</State>{' '}
      <span class="when">
        <Moment at={at} /> · from {remote === '' ? 'nowhere' : remote} · {numberText(bytes)} bytes
      </span>
      {reason !== '' && <div>{reason}</div>}
      {skipped > 0 && <div class="hint">{numberText(skipped)} more like it before were not kept.</div>}
      {alerts.map(({ dedupKey, status, title, outcome }, i) => (
        <div key={i}>
          {status === 'firing' ? '▲' : '○'} {status}: {title}{' '}
          <small class="hint">{outcome === 'new' ? dedupKey : `${dedupKey}, ${outcome}`}</small>
        </div>
      ))}
      <details>
        <summary>Payload</summary>
        <pre class="payload" tabIndex={0} aria-label="Headers and payload">
          {Object.entries(headers)
            .map(([name, value]) => `${name}: ${value}\n`)
            .join('')}
          {`\n${pretty(payload)}`}
        </pre>
      </details>
    </>
  )
}

/** JSON with its lines, anything else as it came. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}
