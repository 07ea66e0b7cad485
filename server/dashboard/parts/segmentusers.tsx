/** Who leans on a segment: the flags and segments that name it in a clause. */
import type { Clause } from '../../../schemas/clause.ts'
import type { Flag } from '../../../schemas/flag.ts'
import type { Segment } from '../../../schemas/segment.ts'
import { linkTo } from '../route.ts'

export interface UsersProps {
  readonly name: string
  readonly flags: readonly Flag[]
  readonly segments: readonly Segment[]
  /** Named; the others are counted. */
  readonly most: number
}

export function Users({ name, flags, segments, most }: UsersProps) {
  const users = [
    ...flags.filter(flag => [...flag.rules, ...flag.kills].some(names(name))).map(({ key }) => ['flags', key] as const),
    ...segments.filter(segment => segment.rules.some(names(name))).map(({ key }) => ['segments', key] as const),
  ]
  if (users.length === 0) return <span class="quiet">nothing</span>
  return (
    <>
      {users.slice(0, most).map(([page, key], i) => (
        <span key={`${page}/${key}`}>
          {i > 0 && ', '}
          {page === 'segments' && 'segment '}
          <a href={linkTo(page, [key])}>{key}</a>
        </span>
      ))}
      {users.length > most && ` and ${users.length - most} more`}
    </>
  )
}

function names(segment: string): (rule: { readonly clauses: readonly Clause[] }) => boolean {
  return ({ clauses }) => clauses.some(({ op, values }) => op === 'segment' && values.includes(segment))
}
