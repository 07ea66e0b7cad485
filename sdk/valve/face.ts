/** A valve as an application holds it: the flag's name, and the client's way to ask. */
import type { Outcome } from '../evaluator/evaluation.ts'
import type { Context, RunOptions, Valve, ValveStatus, ValveTicket } from '../types.ts'
import type { Valving } from '../valving.ts'

export interface Asking {
  /** What the flag gives, counted as an evaluation. */
  evaluate(flag: string, context: Context): Outcome
  /** The same, not counted. */
  look(flag: string, context: Context): Outcome
}

export class ValveFace implements Valve {
  readonly #valving: Valving
  readonly #asking: Asking
  readonly #flag: string

  constructor(valving: Valving, asking: Asking, flag: string) {
    this.#valving = valving
    this.#asking = asking
    this.#flag = flag
  }

  run<T>(
    context: Context,
    call: (signal: AbortSignal) => T | PromiseLike<T>,
    options?: RunOptions<T> | RunOptions<T>['fallback'],
  ): Promise<T> {
    return this.#valving.run(this.#flag, this.#asking.evaluate(this.#flag, context), context, call, options)
  }

  enter(context: Context): ValveTicket {
    return this.#valving.enter(this.#flag, this.#asking.evaluate(this.#flag, context), context)
  }

  state(context: Context = {}): ValveStatus {
    return this.#valving.state(this.#asking.look(this.#flag, context))
  }
}
