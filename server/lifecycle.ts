/** Where the server is in its life: what `/readyz` answers, and what waits for the end. */

export interface Lifecycle {
  readonly phase: 'starting' | 'ready' | 'closing'
  /** When the server was built, in ms since 1970. */
  readonly startedAt: number
}

export interface LifecycleHandle extends Lifecycle {
  phase: Lifecycle['phase']
}

export function openLifecycle(startedAt: number): LifecycleHandle {
  return { phase: 'starting', startedAt }
}
