/** Signing in with an admin key. It goes to the server once, and this page keeps nothing of it. */
import { useEffect, useState } from 'preact/hooks'
import { Failure } from './api.ts'
import { Problem } from './parts/problem.tsx'
import { signIn } from './session.ts'

export function SignIn() {
  const [key, setKey] = useState('')
  const [failure, setFailure] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  useEffect(() => void (document.title = 'Sign in · Sluice'), [])
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    setBusy(true)
    try {
      await signIn(key)
    } catch (error) {
      setFailure(error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error)))
      setBusy(false)
    }
  }
  return (
    <main class="signin">
      <form onSubmit={event => void submit(event)}>
        <h1>
          <img src={new URL('./icon.svg', import.meta.url).href} alt="" width="32" height="32" /> Sluice
        </h1>
        <label>
          Admin key
          <input
            type="password"
            name="key"
            autocomplete="current-password"
            autofocus
            required
            spellcheck={false}
            placeholder="slc_admin_…"
            value={key}
            onInput={event => setKey(event.currentTarget.value)}
          />
        </label>
        <Problem failure={failure} />
        <button type="submit" aria-busy={isBusy} disabled={isBusy}>
          Sign in
        </button>
        <p class="hint">
          The very first start of the server prints one. Others are made with <code>sluice keys create --kind admin</code>.
        </p>
      </form>
    </main>
  )
}
