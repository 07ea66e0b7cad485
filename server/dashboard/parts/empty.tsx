/** Nothing is here yet: what would be, and the command or button that makes the first one. */
import type { ComponentChildren } from 'preact'

export function Empty({
  title,
  command,
  children,
}: {
  readonly title: string
  readonly command?: string
  readonly children?: ComponentChildren
}) {
  return (
    <div class="empty">
      <p>{title}</p>
      {command !== undefined && (
        <p>
          <code>{command}</code>
        </p>
      )}
      {children}
    </div>
  )
}
