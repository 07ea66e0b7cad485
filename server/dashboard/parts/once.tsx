/** What is shown once and to be taken along: a text with a button that copies it. */
import { useState } from 'preact/hooks'
import './live.css'

export function Once({ title, text, isSecret }: { readonly title: string; readonly text: string; readonly isSecret: boolean }) {
  const [isCopied, setCopied] = useState(false)
  const clipboard = navigator.clipboard as Clipboard | undefined
  return (
    <div class="once">
      <div class="sectionhead">
        <strong>{title}</strong>
        {clipboard !== undefined && (
          <button type="button" class="secondary small" onClick={() => void clipboard.writeText(text).then(() => setCopied(true))}>
            {isCopied ? 'Copied' : 'Copy'}
          </button>
        )}
      </div>
      <pre class="payload" tabIndex={0} aria-label={title}>
        {text}
      </pre>
      {isSecret && <p>▲ The secret in it is not shown again.</p>}
    </div>
  )
}
