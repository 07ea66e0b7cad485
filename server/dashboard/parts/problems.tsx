/** What the server said about an edit, shown where it is about. */
import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import type { ErrorDetail } from '../../../schemas/errors.ts'

export const Problems = createContext<readonly ErrorDetail[]>([])

/** Those at this place or below it. */
export function useProblems(path: string): readonly ErrorDetail[] {
  const all = useContext(Problems)
  if (all.length === 0) return all
  return all.filter(detail => detail.path === path || detail.path.startsWith(`${path}.`) || detail.path.startsWith(`${path}[`))
}

export function ProblemsAt({ path }: { readonly path: string }) {
  const found = useProblems(path)
  if (found.length === 0) return null
  return (
    <div class="at" role="alert">
      {found.map(({ message, code }, i) => (
        <p key={i}>
          ✕ {message} <small>{code}</small>
        </p>
      ))}
    </div>
  )
}
