/** Edits that are not saved yet: they outlive a change of page, and what somebody else saves meanwhile. */
import { signal } from '@preact/signals'
import type { Flag } from '../../schemas/flag.ts'
import { isSame, type Settings, settingsOf } from './merge.ts'

export interface Draft {
  /** What the edits were made on. */
  readonly base: Flag
  readonly settings: Settings
}

/** By `project/environment/flag`. */
const drafts = signal<ReadonlyMap<string, Draft>>(new Map())

export function draftOf(name: string): Draft | null {
  return drafts.value.get(name) ?? null
}

/** Edits that come to nothing are none. */
export function keepDraft(name: string, base: Flag, settings: Settings): void {
  const next = new Map(drafts.peek())
  if (isSame(settingsOf(base), settings)) next.delete(name)
  else next.set(name, { base, settings })
  drafts.value = next
}

export function dropDraft(name: string): void {
  drafts.value = new Map([...drafts.peek()].filter(([other]) => other !== name))
}

addEventListener('beforeunload', event => {
  if (drafts.peek().size > 0) event.preventDefault()
})
