/** A gigabyte where a ruleset belongs: given up at the limit, in little memory, with the values as they were. */
import type { Socket } from 'node:net'
import { constants, deflateRawSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { RULESET_BYTES_MAX } from '../../../schemas/limits.ts'
import { flag, KEY } from '../server.ts'
import { runProgram } from './child.ts'
import { answer, frame, frameHead, ruleset, type Script, startRaw } from './raw.ts'

const GIGABYTE = 1024 ** 3
const CHUNK = Buffer.alloc(1024 * 1024, ' ')
/** What the SDK takes at most, and twice as much for its copies of it and what is not collected yet. */
const GROWTH_MAX = 3 * RULESET_BYTES_MAX

/** Sends as fast as it is read, until all is sent or nobody reads any more. Resolves to what was taken. */
function pour(socket: Socket, bytes: number, wrap: (chunk: Buffer) => readonly Buffer[] = chunk => [chunk]): Promise<number> {
  return new Promise(resolve => {
    let sent = 0
    const more = (): void => {
      while (sent < bytes && !socket.destroyed) {
        sent += CHUNK.length
        let isFull = false
        for (const part of wrap(CHUNK)) isFull = !socket.write(part)
        if (isFull) return void socket.once('drain', more)
      }
      resolve(sent)
    }
    socket.once('close', () => resolve(sent))
    more()
  })
}

/** Evaluates while the bytes come, and says by how much the process has grown at its largest. */
const PROGRAM = `
  const flags = connect({ url, key, pollIntervalMs: 1_000, logger: { debug: note, warn: note } })
  let told = () => {}
  function note (message) { if (isLate.test(message)) told() }
  const isLate = new RegExp(late)
  await flags.ready(60_000)
  const value = () => flags.value('a', {}, false)
  const before = value()
  gc()
  const atFirst = process.memoryUsage.rss()
  let most = 0
  let changed = 0
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
    if (value() !== before) changed++
  }, 5)
  await new Promise(resolve => (told = resolve))
  clearInterval(timer)
  console.log(JSON.stringify({ before, after: value(), changed, grown: Math.max(0, most - atFirst), revision: flags.status().revision }))
  await flags.close()`

/** The script is told when the client holds a ruleset; then comes the gigabyte. */
async function run(t: Test, script: (taken: (bytes: Promise<number>) => void) => Script, late: string): Promise<void> {
  let poured: Promise<number> = Promise.resolve(0)
  const server = await startRaw(
    t,
    script(bytes => (poured = bytes)),
  )
  const { code, stdout, stderr } = await runProgram(PROGRAM, { url: server.url, key: KEY, late })
  t.equal(code, 0, stderr)
  const result = JSON.parse(stdout) as { grown: number }
  t.match(result, { before: true, after: true, changed: 0, revision: 1 })
  t.ok(result.grown < GROWTH_MAX, `grew by ${Math.round(result.grown / 1024 ** 2)} MiB`)
  const taken = await poured
  t.ok(taken < GIGABYTE / 2, `took ${Math.round(taken / 1024 ** 2)} MiB`)
}

t.test('one message of a gigabyte', async t => {
  await run(
    t,
    taken => ({
      stream(socket, nth) {
        socket.write(frame(ruleset([flag('a')])))
        if (nth > 1) return
        socket.write(frameHead(GIGABYTE))
        taken(pour(socket, GIGABYTE))
      },
    }),
    'stream is down',
  )
})

t.test('a gigabyte in many pieces of one message', async t => {
  await run(
    t,
    taken => ({
      stream(socket, nth) {
        socket.write(frame(ruleset([flag('a')])))
        if (nth > 1) return
        socket.write(frame(' ', { fin: false }))
        taken(pour(socket, GIGABYTE, chunk => [frameHead(chunk.length, { opcode: 0, fin: false }), chunk]))
      },
    }),
    'stream is down',
  )
})

t.test('a gigabyte that was a megabyte on the wire', async t => {
  // A block that ends on a byte can be repeated, which spares packing a gigabyte; the last four bytes the protocol leaves out.
  const block = deflateRawSync(CHUNK, { finishFlush: constants.Z_FULL_FLUSH })
  const bomb = Buffer.concat(Array.from({ length: GIGABYTE / CHUNK.length }, () => block)).subarray(0, -4)
  await run(
    t,
    () => ({
      compresses: true,
      stream(socket, nth) {
        socket.write(frame(ruleset([flag('a')])))
        if (nth === 1) socket.write(frame(bomb, { compressed: true }))
      },
    }),
    'stream is down',
  )
})

t.test('a poll answered with a gigabyte', async t => {
  await run(
    t,
    taken => ({
      answer(socket, _head, nth) {
        if (nth === 1) return void socket.end(answer(200, ruleset([flag('a')])))
        socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n')
        taken(pour(socket, GIGABYTE))
      },
    }),
    'Polling failed: the answer is larger',
  )
})
