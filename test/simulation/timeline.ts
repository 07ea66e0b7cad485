/** Virtual time: what is due happens in the order of the moments, and of being set where they are the same. */
import type { Timer } from '../../sdk/clock.ts'

interface Due {
  readonly at: number
  readonly order: number
  /** Null once it is cancelled. */
  run: (() => void) | null
}

export class Timeline {
  now = 0
  #order = 0
  /** A binary heap, the first due in front. */
  readonly #heap: Due[] = []

  after(ms: number, run: () => void): Timer {
    const due: Due = { at: this.now + Math.max(0, ms), order: this.#order++, run }
    this.#push(due)
    return { cancel: () => void (due.run = null) }
  }

  /** Do the next thing that is due by `end`, or let the time until then pass. @returns whether there was one */
  step(end: number): boolean {
    for (let first = this.#heap[0]; first !== undefined && first.at <= end; first = this.#heap[0]) {
      this.#pop()
      if (first.run === null) continue
      this.now = Math.max(this.now, first.at)
      first.run()
      return true
    }
    this.now = Math.max(this.now, end)
    return false
  }

  #push(due: Due): void {
    const heap = this.#heap
    let i = heap.length
    for (; i > 0;) {
      const parent = (i - 1) >> 1
      if (isBefore(heap[parent]!, due)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = due
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(last, heap[child]!)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
  }
}

function isBefore(one: Due, other: Due): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order)
}
