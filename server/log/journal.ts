/**
 * The journal: where a kill is kept when the database cannot take it. One line per commit, checksummed, on disk before
 * the kill is acknowledged; beside it a megabyte of ballast that is given up when a full disk leaves no room for it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Change } from '../../schemas/change.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Logger } from './log.ts'

export const JOURNAL_FILE = 'journal.jsonl'
export const BALLAST_FILE = 'ballast'
export const BALLAST_BYTES = 1024 * 1024

/** One entry of a commit that waits for the database. */
export interface Journalled {
  readonly log: string
  readonly epoch: string
  readonly change: Change
}

export class Journal {
  readonly #folder: string
  readonly #logger: Logger
  /** How much of the file is whole lines. */
  #length = 0

  constructor(folder: string, logger: Logger) {
    this.#folder = folder
    this.#logger = logger
  }

  /**
   * The commits in the journal, oldest first. A last line that is not whole was never acknowledged and is left out.
   * Errors: `LOG_DAMAGED` for a broken line before the last, `STORAGE_UNAVAILABLE`.
   */
  async read(): Promise<readonly (readonly Journalled[])[]> {
    const file = join(this.#folder, JOURNAL_FILE)
    let bytes: Buffer
    try {
      bytes = await readFile(file)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw new SluiceError(
        'STORAGE_UNAVAILABLE',
        `${file} cannot be read: ${String(cause)}. It holds kills that are not in the database yet.`,
        { cause },
      )
    }
    const commits: (readonly Journalled[])[] = []
    for (let number = 1; this.#length < bytes.length; number++) {
      const end = bytes.indexOf('\n', this.#length)
      const commit = end === -1 ? null : parseLine(bytes.toString('utf8', this.#length, end))
      if (commit === null) {
        if (end !== -1 && bytes.indexOf('\n', end + 1) !== -1) throw damagedLine(file, number)
        this.#logger.warn({ line: number }, `The last line of ${file} is not whole; it was never acknowledged and is left out`)
        break
      }
      commits.push(commit)
      this.#length = end + 1
    }
    return commits
  }

  /** On disk when it resolves. Rejects with the system's error when there is no way. */
  async append(commit: readonly Journalled[]): Promise<void> {
    const line = Buffer.from(lineOf(commit))
    try {
      await this.#append(line)
    } catch {
      // The room that was kept for this moment.
      await rm(join(this.#folder, BALLAST_FILE), { force: true })
      await this.#append(line)
    }
  }

  /** Everything in it is in the database now. */
  async clear(): Promise<void> {
    await rm(join(this.#folder, JOURNAL_FILE), { force: true })
    this.#length = 0
  }

  /** Put the ballast in its place, unless it is there. Rejects with the system's error when there is no room for it. */
  async keepBallast(): Promise<void> {
    const file = join(this.#folder, BALLAST_FILE)
    try {
      const present = await stat(file).catch(() => null)
      if (present?.size === BALLAST_BYTES) return
      // Random, so that no file system saves the space by compressing it. Not synced: the space is taken at once, and
      // what a power cut takes away the next start puts back.
      await writeFile(file, randomBytes(BALLAST_BYTES), { mode: 0o600 })
    } catch (error) {
      // Half of it would take the room that something else needs.
      await rm(file, { force: true })
      throw error
    }
  }

  async #append(line: Buffer): Promise<void> {
    const file = join(this.#folder, JOURNAL_FILE)
    const handle = await open(file, 'a', 0o600)
    try {
      // A torn line from a former life, or from an attempt that failed: what follows it could not be read.
      await handle.truncate(this.#length)
      await handle.writeFile(line)
      await handle.datasync()
      if (this.#length === 0) await syncFolder(this.#folder)
      this.#length += line.length
    } finally {
      await handle.close()
    }
  }
}

function lineOf(commit: readonly Journalled[]): string {
  const text = JSON.stringify(commit)
  return `${checksum(text)} ${text}\n`
}

function parseLine(line: string): readonly Journalled[] | null {
  const space = line.indexOf(' ')
  const text = line.slice(space + 1)
  return space !== -1 && line.slice(0, space) === checksum(text) ? (JSON.parse(text) as Journalled[]) : null
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** A new file survives a power cut only when its folder is on disk too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function damagedLine(file: string, number: number): SluiceError {
  return new SluiceError(
    'LOG_DAMAGED',
    `Line ${number} of ${file} does not fit its checksum. The file holds kills that were acknowledged but are not in the database yet. To start without them, move the file away, then check the flags it names.`,
  )
}
