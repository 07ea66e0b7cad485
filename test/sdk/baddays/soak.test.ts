/** A process that runs for months, in seconds: changes by the hundred thousand and links by the hundred leave no trace in memory. */
import t, { type Test } from 'tap'
import { stayAlive } from '../open.ts'
import { flag } from '../server.ts'
import { runProgram } from './child.ts'
import { answer, frame, ruleset, startRaw } from './raw.ts'

stayAlive(t)

const TIMELAPSE = new URL('../timelapse.js', import.meta.url).href
const CHANGES = 100_000
const LINKS = 200
const FLAGS = 50
const FRAME_CHANGES = 500

interface Measured {
  readonly heaps: readonly number[]
  readonly revision: number
  readonly heard: number
  readonly values: number
}

const MIB = 1024 ** 2

function isLevel(t: Test, heaps: readonly number[]): void {
  // Early there is code still to be compiled: what counts is what comes later.
  const grown = Math.max(...heaps.slice(-3)) - Math.min(...heaps.slice(3, 6))
  t.ok(grown < MIB, `grew by ${(grown / MIB).toFixed(2)} MiB: ${heaps.map(heap => (heap / MIB).toFixed(2)).join(' ')}`)
}

t.test('100,000 changes that make, edit and remove flags, with listeners and evaluations: the heap does not grow', async t => {
  const change = (revision: number): Buffer => {
    const key = `flag-${revision % FLAGS}`
    const isRemoval = revision % 7 === 0
    const flags = isRemoval
      ? []
      : [flag(key, { version: revision, prerequisites: revision % 3 === 0 ? [{ flag: 'flag-1', variations: ['on'] }] : [] })]
    const delta = { type: 'change', epoch: 'e', from: revision - 1, revision, flags, segments: [] }
    return frame(JSON.stringify({ ...delta, removedFlags: isRemoval ? [key] : [], removedSegments: [] }))
  }
  let revision = 1
  let burst: () => void = () => undefined
  const server = await startRaw(t, {
    stream: socket => {
      socket.write(frame(ruleset(Array.from({ length: FLAGS }, (_, i) => flag(`flag-${i}`)))))
      let end = 1
      const more = (): void => {
        while (revision < end) {
          const frames: Buffer[] = []
          while (frames.length < FRAME_CHANGES && revision < end) frames.push(change(++revision))
          if (!socket.write(Buffer.concat(frames))) return void socket.once('drain', more)
        }
      }
      burst = () => {
        end += CHANGES / 10
        more()
      }
    },
    answer: socket => {
      socket.end(answer(200, ''))
      burst()
    },
  })
  const { code, stdout, stderr } = await runProgram(
    `
    const { openTimelapse } = await import(timelapse)
    const alive = setInterval(() => {}, 60_000)
    const { client, clock, pass, until } = openTimelapse({ teardown: () => {} }, url, { cache })
    let heard = 0
    let values = 0
    client.on('change', keys => {
      heard += keys.length
      const { revision } = client.status()
      if (client.value('flag-' + revision % 60, { targetingKey: String(revision) }, false)) values++
    })
    await pass(1_000)
    const heaps = []
    for (let i = 1; i <= 10; i++) {
      await fetch(url.replace('ws:', 'http:') + '/more')
      await until(() => client.status().revision === 1 + i * changes / 10)
      // Counts and receipts leave, then it is quiet.
      clock.advance(5_000)
      await new Promise(resolve => setTimeout(resolve, 50))
      gc()
      heaps.push(process.memoryUsage().heapUsed)
    }
    await client.close()
    console.log(JSON.stringify({ heaps, heard, values, revision: client.status().revision }))
    process.exit()`,
    { url: server.url, cache: t.testdir(), changes: CHANGES, timelapse: TIMELAPSE },
  )
  t.equal(code, 0, stderr)
  const measured = JSON.parse(stdout) as Measured
  t.equal(measured.revision, CHANGES + 1)
  t.ok(measured.heard > CHANGES && measured.values > CHANGES / 2)
  isLevel(t, measured.heaps)
})

t.test('200 links that come and go, each with a whole ruleset: the heap does not grow', async t => {
  let epoch = 0
  const server = await startRaw(t, {
    stream: socket => {
      const flags = Array.from({ length: FLAGS }, (_, i) => flag(`flag-${i}`))
      socket.end(frame(JSON.stringify({ type: 'ruleset', epoch: `e${++epoch}`, revision: 1, flags, segments: [] })))
    },
  })
  const { code, stdout, stderr } = await runProgram(
    `
    const { openTimelapse } = await import(timelapse)
    const { client, passUntil, attempts } = openTimelapse({ teardown: () => {} }, url, { pollIntervalMs: 1e9 })
    client.on('change', () => {})
    const alive = setInterval(() => {}, 60_000)
    const heaps = []
    for (let i = 1; i <= 10; i++) {
      await passUntil(() => attempts.length >= i * links / 10, 1e9)
      gc()
      heaps.push(process.memoryUsage().heapUsed)
    }
    await client.close()
    clearInterval(alive)
    console.log(JSON.stringify({ heaps, values: client.value('flag-1', {}, false), rulesets: client.status().rulesets }))`,
    { url: server.url, links: LINKS, timelapse: TIMELAPSE },
  )
  t.equal(code, 0, stderr)
  const { heaps, values, rulesets } = JSON.parse(stdout) as { heaps: number[]; values: boolean; rulesets: number }
  t.equal(values, true)
  t.ok(rulesets > LINKS / 2)
  isLevel(t, heaps)
})
