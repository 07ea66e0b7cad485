/**
 * The head file: what the log has acknowledged, kept beside the database and written after every commit. A database
 * that knows less than it has lost entries (an older backup, a damaged write-ahead log), and start-up says so.
 */
import { closeSync, fdatasync, openSync, renameSync, writeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Logger } from './log.ts'
import { hashOf } from './canonical.ts'

export const HEAD_FILE = 'head.json'

const datasync = promisify(fdatasync)

export interface Head {
  readonly epoch: string
  readonly revision: number
  readonly hash: string
}

export type Heads = ReadonlyMap<string, Head>

/** The heads in the file; a text that says why there are none: `missing`, or what is wrong with the file. */
export async function readHeads(folder: string): Promise<Heads | string> {
  let text: string
  try {
    text = await readFile(join(folder, HEAD_FILE), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'missing'
    return `not readable (${String(error)})`
  }
  try {
    const { check, ...content } = JSON.parse(text) as { check: string; format: number; logs: Record<string, Head> }
    if (check !== hashOf(content)) return 'damaged: it does not fit its checksum'
    return new Map(Object.entries(content.logs))
  } catch {
    return 'damaged: it is no JSON'
  }
}

/** Writes the head file, one write at a time: commits that arrive meanwhile share the next one. */
export class HeadFile {
  readonly #folder: string
  readonly #logger: Logger
  readonly #heads: Heads
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null
  #failed = false

  /** @param heads read anew whenever the file is written */
  constructor(folder: string, heads: Heads, logger: Logger) {
    this.#folder = folder
    this.#heads = heads
    this.#logger = logger
  }

  /**
   * Resolves when the heads as they are now are on disk. A failure is logged, not thrown: the entries are stored, and
   * an older head file is still a true one.
   */
  save(): Promise<void> {
    if (this.#running === null) {
      this.#running = this.#write().finally(() => {
        this.#running = null
      })
      return this.#running
    }
    // What runs may have read the heads before ours: the one after it has not.
    this.#next ??= this.#running.then(() => {
      this.#next = null
      return this.save()
    })
    return this.#next
  }

  async #write(): Promise<void> {
    const content = { format: 1, logs: Object.fromEntries(this.#heads) }
    const file = join(this.#folder, HEAD_FILE)
    try {
      // Only the sync waits for the disk. The others take microseconds, and as asynchronous calls each would wait for a turn
      // of the event loop: after a kill those are long, with a receipt from every SDK, and whoever killed waits for the answer.
      const descriptor = openSync(`${file}.new`, 'w', 0o600)
      try {
        writeSync(descriptor, `${JSON.stringify({ ...content, check: hashOf(content) })}\n`)
        await datasync(descriptor)
      } finally {
        closeSync(descriptor)
      }
      renameSync(`${file}.new`, file)
      this.#failed = false
    } catch (error) {
      if (!this.#failed)
        this.#logger.warn(
          { err: error },
          `${file} cannot be written. Changes are stored all the same; until it can, a loss of the newest ones might go unnoticed`,
        )
      this.#failed = true
    }
  }
}
