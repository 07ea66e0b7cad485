/** Something done by hand: a dialog that says what it will do and asks why; then, on the page, what came of it and the way back. */
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Failure } from '../api.ts'
import { Dialog } from './dialog.tsx'
import { Problem } from './problem.tsx'
import './live.css'

/** What was done, for the page to say. */
export interface Done {
  readonly text: string
  /** What happens next, without anybody's doing. */
  readonly next?: string
  readonly warnings?: readonly { readonly message: string }[]
  readonly undo?: { readonly what: string; readonly run: () => Promise<unknown> }
  /** What the person has to take along: shown until it is closed. */
  readonly more?: ComponentChildren
}

export interface ActProps {
  readonly title: string
  /** What the button says. */
  readonly verb: string
  readonly isDangerous?: boolean
  readonly reason: 'asked' | 'may' | 'none'
  readonly children?: ComponentChildren
  readonly isWide?: boolean
  readonly run: (reason: string) => Promise<Done>
  readonly onDone: (done: Done) => void
  readonly onClose: () => void
}

export function Act({ title, verb, isDangerous = false, reason, children, isWide = false, run, onDone, onClose }: ActProps) {
  const [text, setText] = useState('')
  const [isBusy, setBusy] = useState(false)
  const [failure, setFailure] = useState<Failure | null>(null)
  const submit = async (): Promise<void> => {
    setBusy(true)
    setFailure(null)
    try {
      const done = await run(text.trim())
      onClose()
      onDone(done)
    } catch (error) {
      setFailure(failureOf(error))
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose} isWide={isWide}>
      <form
        onSubmit={event => {
          event.preventDefault()
          if (!isBusy) void submit()
        }}
      >
        {children}
        {reason !== 'none' && (
          <label>
            {reason === 'asked' ? 'Why: the next person reads it' : 'Why (may be left out)'}
            <input
              name="reason"
              autocomplete="off"
              required={reason === 'asked'}
              maxLength={1_000}
              value={text}
              onInput={event => setText(event.currentTarget.value)}
            />
          </label>
        )}
        <Problem failure={failure} />
        <div class="buttons end">
          <button type="button" class="secondary" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={isDangerous ? 'danger' : ''} aria-busy={isBusy}>
            {verb}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

/** Said on the page until it is closed or something else was done. */
export function Outcome({ done, onClose, onDone }: { done: Done | null; onClose: () => void; onDone: (done: Done) => void }) {
  const [failure, setFailure] = useState<Failure | null>(null)
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    setFailure(null)
    box.current?.scrollIntoView({ block: 'nearest' })
  }, [done])
  if (done === null) return null
  const { text, next, undo, warnings = [], more } = done
  const back = async (what: string, run: () => Promise<unknown>): Promise<void> => {
    try {
      await run()
      onDone({ text: `Done: ${what}.` })
    } catch (error) {
      setFailure(failureOf(error))
    }
  }
  return (
    <div class="outcome" role="status" ref={box}>
      <button type="button" class="plain close" aria-label="Close this message" onClick={onClose}>
        ✕
      </button>
      <p>
        <strong>✓ {text}</strong> {next}
      </p>
      {warnings.map(({ message }, i) => (
        <p key={i} class="warn">
          ▲ {message}
        </p>
      ))}
      {more}
      {undo !== undefined && (
        <button type="button" class="secondary small" onClick={() => void back(undo.what, undo.run)}>
          Undo: {undo.what}
        </button>
      )}
      <Problem failure={failure} />
    </div>
  )
}

export function failureOf(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error))
}
