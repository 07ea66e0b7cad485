/** What went wrong, in the server's own words: what, where, what to do. */
import type { Failure } from '../api.ts'

export function Problem({ failure, onRetry }: { readonly failure: Failure | null; readonly onRetry?: () => void }) {
  if (failure === null) return null
  const more = failure.details.filter(detail => detail.message !== failure.message)
  return (
    <div class="problem" role="alert">
      <p>
        <strong>✕ {failure.code}</strong> {failure.message}
      </p>
      {more.length > 0 && (
        <ul>
          {more.slice(0, 20).map(({ path, message }, i) => (
            <li key={i}>
              {path !== '' && <code>{path}</code>} {message}
            </li>
          ))}
        </ul>
      )}
      {onRetry !== undefined && (
        <button type="button" class="secondary small" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  )
}
