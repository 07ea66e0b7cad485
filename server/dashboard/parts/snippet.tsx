/** Text to take away: a key, a command, a few lines of code. */
import { useRef, useState } from 'preact/hooks'

export function Snippet({ label, text }: { readonly label: string; readonly text: string }) {
  const [isCopied, setCopied] = useState(false)
  const shown = useRef<HTMLPreElement>(null)
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      setCopied(true)
    } catch {
      // Without TLS a browser may have no clipboard: what is marked can be copied with the keyboard.
      if (shown.current !== null) getSelection()?.selectAllChildren(shown.current)
    }
  }
  return (
    <figure class="snippet">
      <figcaption>
        {label}
        <button type="button" class="secondary small" aria-label={`Copy: ${label}`} onClick={() => void copy()}>
          {isCopied ? 'Copied' : 'Copy'}
        </button>
      </figcaption>
      <pre ref={shown} tabIndex={0} aria-label={label}>
        <code>{text}</code>
      </pre>
    </figure>
  )
}
