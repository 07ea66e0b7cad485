/** Who is told of what, and that nothing of theirs comes back: a listener that throws, now or later, is logged. */
import { contain, messageOf } from './failure.ts'
import type { Events, Logger } from './types.ts'

export class Listeners {
  readonly #logger: Required<Logger>
  readonly #listeners = {
    change: new Set<Events['change']>(),
    stale: new Set<Events['stale']>(),
    ready: new Set<Events['ready']>(),
    mismatch: new Set<Events['mismatch']>(),
    valve: new Set<Events['valve']>(),
  }

  constructor(logger: Required<Logger>) {
    this.#logger = logger
  }

  /** @returns the function that ends it */
  on<E extends keyof Events>(event: E, listener: Events[E]): () => void {
    const listeners = this.#of(event)
    if (listeners === undefined || typeof listener !== 'function') {
      this.#logger.error(
        `on(${messageOf(event)}) was not understood, expected 'change', 'stale', 'ready', 'mismatch' or 'valve' and a function`,
      )
      return () => undefined
    }
    // Wrapped, so that one function added twice is two listeners, each with its own end.
    const own = ((...values: Parameters<Events[E]>) => (listener as (...values: unknown[]) => unknown)(...values)) as Events[E]
    listeners.add(own)
    return () => void listeners.delete(own)
  }

  isHeard(event: keyof Events): boolean {
    return this.#listeners[event].size > 0
  }

  /** Those that listen now: one added on the way hears the next event, one ended on the way hears no more. */
  emit<E extends keyof Events>(event: E, ...values: Parameters<Events[E]>): void {
    const listeners = this.#of(event)
    for (const listener of [...(listeners ?? [])]) {
      if (listeners?.has(listener) !== true) continue
      const failed = (error: unknown): void =>
        this.#logger.error(`A listener of "${event}" threw: ${messageOf(error)}. The others were called`)
      contain(() => (listener as (...values: unknown[]) => unknown)(...values), failed)
    }
  }

  #of<E extends keyof Events>(event: E): Set<Events[E]> | undefined {
    return Object.hasOwn(this.#listeners, event) ? (this.#listeners[event] as Set<Events[E]>) : undefined
  }
}
