/** What an operator sees at 3 a.m.: everything that is not as usual, and what changed lately. */
export function Now() {
  return <h1>Now</h1>
}
