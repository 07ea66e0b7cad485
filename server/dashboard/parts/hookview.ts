/** Hooks as the API answers them, and what the pages say of them. Pure. */
import type { Hook, HookVerdict } from '../../../schemas/hook.ts'
import type { Tone } from './state.tsx'

export interface ShownHook extends Hook {
  /** Below the server's own address. */
  readonly url: string
  /** Since the server's start. */
  readonly deliveries: Readonly<Partial<Record<HookVerdict, number>>>
  readonly firing: number
}

const TAKEN: readonly HookVerdict[] = ['accepted', 'duplicate', 'late']

export function verdictTone(verdict: HookVerdict): Tone {
  return verdict === 'accepted' ? 'good' : TAKEN.includes(verdict) ? 'quiet' : 'bad'
}

/** Of all deliveries, how many were taken and how many refused. */
export function countsOf({ deliveries }: ShownHook): { readonly taken: number; readonly refused: number; readonly all: number } {
  const taken = TAKEN.reduce((sum, verdict) => sum + (deliveries[verdict] ?? 0), 0)
  const all = Object.values(deliveries).reduce((sum, count) => sum + count, 0)
  return { taken, refused: all - taken, all }
}

/** Where the tool delivers to. */
export function addressOf(hook: ShownHook, secret?: string): string {
  const address = `${location.origin}${hook.url}`
  return hook.auth === 'path' ? `${address}.${secret ?? '<the secret that was shown when it was made>'}` : address
}

export const PROOF_WORDS = { signature: 'a signature', header: 'a secret in a header', path: 'the path alone, which is weak' } as const
