/** A command to copy: what a button did or would do, for the terminal, a runbook or the chat. */
import { useState } from 'preact/hooks'

export function Command({ text }: { readonly text: string }) {
  const [isCopied, setCopied] = useState(false)
  // Without TLS browsers have no clipboard; the text can be marked with one click all the same.
  const canCopy = navigator.clipboard !== undefined
  return (
    <p class="command">
      <code tabIndex={0}>{text}</code>
      {canCopy && (
        <button
          type="button"
          class="secondary small"
          onClick={() =>
            void navigator.clipboard.writeText(text).then(
              () => setCopied(true),
              () => undefined,
            )
          }
        >
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      )}
    </p>
  )
}
