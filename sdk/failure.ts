/** What is said of something that was thrown. Anything can be thrown, by a listener or logger not our own: this never throws. */
export function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error)
  } catch {
    return `a value of type ${typeof error}`
  }
}
