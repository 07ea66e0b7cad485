/** All flags of the project, and one flag. */
export function Flags() {
  return <h1>Flags</h1>
}
