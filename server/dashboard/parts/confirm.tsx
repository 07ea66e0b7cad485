/** What cannot be taken back is done after its name was typed. */
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { Failure } from '../api.ts'
import { useSending } from '../sending.ts'
import { Dialog } from './dialog.tsx'
import { Problem } from './problem.tsx'

export interface ConfirmProps {
  readonly title: string
  /** What must be typed; nothing for what can be taken back. */
  readonly word?: string
  /** On the button. */
  readonly action: string
  readonly run: () => Promise<void>
  readonly onClose: () => void
  readonly children: ComponentChildren
  /** Shown below what went wrong: another way. */
  readonly otherwise?: (failure: Failure) => ComponentChildren
}

export function Confirm({ title, word, action, run, onClose, children, otherwise }: ConfirmProps) {
  const [typed, setTyped] = useState('')
  const { isBusy, failure, send } = useSending()
  const isReady = word === undefined || typed.trim() === word
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault()
          if (isReady) void send(run).then(isDone => isDone && onClose())
        }}
      >
        {children}
        {word !== undefined && (
          <label>
            To go on, type <code>{word}</code>
            <input
              type="text"
              autofocus
              autocomplete="off"
              autocapitalize="off"
              spellcheck={false}
              value={typed}
              onInput={event => setTyped(event.currentTarget.value)}
            />
          </label>
        )}
        <Problem failure={failure} />
        {failure !== null && otherwise?.(failure)}
        <div class="buttons">
          <button type="button" class="secondary" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="danger" disabled={!isReady || isBusy} aria-busy={isBusy}>
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
