/** The window's arithmetic: equal to a slow twin that keeps every call, whatever happens, and never below zero. */
import fc from 'fast-check'
import t from 'tap'
import { Window } from '../../../sdk/valve/window.ts'
import { runs } from '../../runs.ts'

const WINDOW_MS = 1_000
const BUCKETS = 5
const BUCKET_MS = WINDOW_MS / BUCKETS

type Step =
  | { readonly do: 'call' }
  | { readonly do: 'reject' }
  | { readonly do: 'clear' }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'end'; readonly which: number; readonly isFailure: boolean; readonly isSlow: boolean }
  | { readonly do: 'forget'; readonly which: number }

/** Keeps everything with its moment, and counts it all anew each time. */
class Twin {
  now = 0
  #clearedAt: number | null = null
  calls: { at: number; generation: number; ended: { isFailure: boolean; isSlow: boolean } | 'forgotten' | null }[] = []
  rejects: { at: number; generation: number }[] = []
  #generation = 0

  /** After a clear the bucket that had begun belongs to before: what is counted in it belongs to the next one. */
  get bucket(): number {
    const bucket = Math.floor(this.now / BUCKET_MS)
    return this.#clearedAt === null ? bucket : Math.max(bucket, this.#clearedAt + 1)
  }

  clear(): void {
    this.#clearedAt = this.bucket
    this.#generation++
  }

  call(): void {
    this.calls.push({ at: this.bucket, generation: this.#generation, ended: null })
  }

  reject(): void {
    this.rejects.push({ at: this.bucket, generation: this.#generation })
  }

  isHeld({ at, generation }: { at: number; generation: number }): boolean {
    return generation === this.#generation && at > this.bucket - BUCKETS
  }

  sums() {
    const calls = this.calls.filter(call => this.isHeld(call) && call.ended !== 'forgotten')
    const ended = calls.flatMap(call => (call.ended === null || call.ended === 'forgotten' ? [] : [call.ended]))
    return {
      calls: calls.length,
      ended: ended.length,
      failures: ended.filter(({ isFailure }) => isFailure).length,
      slow: ended.filter(({ isSlow }) => isSlow).length,
      bad: ended.filter(({ isFailure, isSlow }) => isFailure || isSlow).length,
      rejected: this.rejects.filter(reject => this.isHeld(reject)).length,
    }
  }
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ do: 'call' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'reject' as const }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('end' as const), which: fc.nat(50), isFailure: fc.boolean(), isSlow: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('forget' as const), which: fc.nat(50) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.oneof(fc.nat(300), fc.nat(3_000)) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
)

t.test('the sums equal those of a slow twin that remembers every call, and none is ever negative', async t => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), steps => {
      const window = new Window(WINDOW_MS, BUCKETS, 0)
      const twin = new Twin()
      const epochs: number[] = []
      for (const step of steps) {
        if (step.do === 'call') {
          window.call()
          epochs.push(window.epoch)
          twin.call()
        } else if (step.do === 'reject') {
          window.reject()
          twin.reject()
        } else if (step.do === 'clear') {
          window.clear(twin.now)
          twin.clear()
        } else if (step.do === 'wait') {
          twin.now += step.ms
          window.turn(twin.now)
        } else {
          const call = twin.calls[step.which]
          if (call === undefined || call.ended !== null) continue
          if (step.do === 'end') {
            t.equal(window.end(epochs[step.which]!, step.isFailure, step.isSlow), twin.isHeld(call), 'it counts while it is in the window')
            call.ended = { isFailure: step.isFailure, isSlow: step.isSlow }
          } else {
            window.forget(epochs[step.which]!)
            call.ended = 'forgotten'
          }
        }
        const sums = window.sums
        t.strictSame(sums, twin.sums())
        const { requests, accepts } = window.asked(Infinity, Infinity)
        t.strictSame([requests, accepts], [sums.ended + sums.rejected, sums.ended - sums.bad], 'calls under way are not counted')
        t.ok(Object.values(sums).every(count => count >= 0) && sums.bad <= sums.ended && sums.ended <= sums.calls)
      }
    }),
    runs(200),
  )
})

t.test('a call that hangs counts against the dependency once it is older than any should be', async t => {
  const window = new Window(WINDOW_MS, BUCKETS, 0)
  window.call()
  t.same(window.asked(Infinity, 2 * BUCKET_MS), { requests: 0, accepts: 0 })
  window.turn(4 * BUCKET_MS)
  t.same(window.asked(Infinity, 2 * BUCKET_MS), { requests: 1, accepts: 0 })
})

t.test('a clock that goes back changes nothing', async t => {
  const window = new Window(WINDOW_MS, BUCKETS, 10_000)
  window.call()
  window.turn(5_000)
  t.equal(window.sums.calls, 1)
  t.ok(window.end(window.epoch, true, false))
})
