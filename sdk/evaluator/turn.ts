/** Tells one evaluation from the next, so that what was decided within one (a prerequisite, a segment) is decided once. */

/** Turns stay below this, so that V8 keeps them as small integers; then a new era begins. */
const TURNS = 2 ** 30

let lastTurn = 0
/** Changes when turns start again from one. What is remembered is valid only with the turn and the era it was made in. */
export let era = 0

/** Begin an evaluation: what was remembered before is forgotten. A getter that evaluates gets a turn of its own. */
export function nextTurn(): number {
  if (lastTurn >= TURNS) {
    lastTurn = 0
    era++
  }
  return ++lastTurn
}
