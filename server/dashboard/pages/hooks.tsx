/** Ways in and out. */
export function Hooks() {
  return <h1>Hooks</h1>
}
