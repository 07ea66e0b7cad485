/** How something is, as a mark and a word: a colour alone never says it. */
const MARKS = { good: '●', bad: '■', warn: '▲', quiet: '○', busy: '◐' } as const

export type Tone = keyof typeof MARKS

export function State({ tone, children }: { readonly tone: Tone; readonly children: preact.ComponentChildren }) {
  return (
    <span class={`state ${tone}`}>
      <span aria-hidden="true">{MARKS[tone]}</span> {children}
    </span>
  )
}
