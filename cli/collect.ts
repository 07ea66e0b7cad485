/** For options that may be repeated: each value is added to those before. */
export function collect(value: string, list: readonly string[] = []): string[] {
  return [...list, value]
}
