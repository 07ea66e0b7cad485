/** What code that is not ours throws, and that it goes no further. */

/** What is said of something that was thrown. Anything can be thrown: this never throws. */
export function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error)
  } catch {
    return `a value of type ${typeof error}`
  }
}

/** Call what is the application's own. What it throws, now or through any kind of promise, is told to `failed` and to nobody else. */
export function contain(call: () => unknown, failed: (error: unknown) => void): void {
  try {
    const result = call()
    if (isThenable(result)) Promise.resolve(result).catch(failed)
  } catch (error) {
    failed(error)
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
