/**
 * The cache file: the last ruleset, for a start while the server is dark. One JSON object whose last field is a
 * checksum keyed by the SDK's key, so that a torn, altered or foreign file is told from a good one before anything in
 * it is believed. Whatever is wrong with it, it is ignored and the reason told; it never stops an application.
 */
import { createHash, createHmac, type Hmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { RULESET_BYTES_MAX } from '../schemas/limits.ts'
import { messageOf } from './failure.ts'
import { isWhole, type Whole } from './messages.ts'

/** Grows when the file's meaning changes: an SDK reads its own format alone. */
const FORMAT = 1
const FILE_BYTES_MAX = RULESET_BYTES_MAX + 1024 * 1024
/** A temporary file so old has no writer any more. */
const LEFT_MS = 600_000
/** Documents written in one go: an environment of 10,000 flags is turned to text in slices, so that the application is not held up. */
const SLICE = 200

/** How the file ends: 64 hexadecimal digits. */
const TAIL = /^,"checksum":"([0-9a-f]{64})"\}$/
const TAIL_BYTES = 79

export interface Cache {
  /** What the file holds, or null and why not. Synchronous, once at the start: values are there before the first evaluation. */
  load(): { readonly whole: Whole } | { readonly whole: null; readonly problem: string | null }
  /** Replace the file. Rejects when it cannot be written; the old one then stands. */
  save(whole: Whole): Promise<void>
}

/**
 * @param path a file, or an existing folder, in which the file is named after the server and key
 * @param url  where the server is
 * @param key  the SDK's key; not stored
 */
export function cacheFile(path: string, url: string, key: string): Cache {
  const source = createHash('sha256').update(url).digest('hex').slice(0, 16)
  const id = keyId(key)
  const file = isFolder(path) ? join(path, `sluice-${source}-${id}.json`) : path
  let isSwept = false
  return {
    load: () => load(file, source, id, key),
    async save(whole) {
      await save(file, source, id, key, whole)
      if (!isSwept) await sweep(file)
      isSwept = true
    },
  }
}

function load(file: string, source: string, id: string, key: string): ReturnType<Cache['load']> {
  const ignored = (problem: string): ReturnType<Cache['load']> => ({
    whole: null,
    problem: `The cache file ${file} is ignored: ${problem}`,
  })
  let bytes: Buffer
  try {
    const found = statSync(file)
    // A pipe would be waited for, a device read without end.
    if (!found.isFile()) return ignored('it is no file')
    if (found.size > FILE_BYTES_MAX) return ignored('it is larger than any ruleset')
    bytes = readFileSync(file)
  } catch (error) {
    return isMissing(error) ? { whole: null, problem: null } : ignored(messageOf(error))
  }
  // The checksum is checked, over the very bytes, before they are parsed.
  const body = bytes.subarray(0, -TAIL_BYTES)
  const tail = TAIL.exec(bytes.subarray(-TAIL_BYTES).toString('latin1'))
  if (tail?.[1] === undefined) return ignored('it is torn, or no cache file')
  if (!timingSafeEqual(checksum(key).update(body).digest(), Buffer.from(tail[1], 'hex'))) {
    return ignored('its checksum does not fit: it was altered, or belongs to another key')
  }
  let content: unknown
  try {
    content = JSON.parse(bytes.toString('utf8'))
  } catch {
    return ignored('it is not JSON')
  }
  const head = content as Readonly<Record<string, unknown>>
  if (head.format !== FORMAT) return ignored(`its format is ${String(head.format)}, expected ${FORMAT}`)
  if (head.source !== source || head.key !== id) return ignored('it belongs to another server or key')
  if (!isWhole(content)) return ignored('it holds no ruleset')
  const { epoch, revision, hash, flags, segments } = content
  return { whole: { epoch, revision, ...(hash === undefined ? {} : { hash }), flags, segments } }
}

/** A temporary file, forced to disk, renamed over the old one: at every moment one whole file stands. */
async function save(file: string, source: string, id: string, key: string, whole: Whole): Promise<void> {
  // Else the rename would put a file in the place of `/dev/null`.
  if (existsSync(file) && !statSync(file).isFile()) throw new Error(`${file} is no file`)
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
  // `wx`: never through a file or link that somebody else put there.
  const handle = await open(temporary, 'wx', 0o600)
  try {
    try {
      await write(handle, checksum(key), source, id, whole)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncFolder(dirname(file))
}

/** Takes away what writers left that were killed on the way, so that an application that crashes over and over does not fill the disk. */
async function sweep(file: string): Promise<void> {
  try {
    const { mtimeMs } = await stat(file)
    for (const name of await readdir(dirname(file))) {
      if (!name.startsWith(`${basename(file)}.`) || !/\.\d+\.[0-9a-f]{8}\.tmp$/.test(name)) continue
      const left = join(dirname(file), name)
      if (mtimeMs - (await stat(left)).mtimeMs > LEFT_MS) await rm(left, { force: true })
    }
  } catch {
    // Another process may be sweeping too; what is left then is taken at the next start.
  }
}

async function write(handle: FileHandle, sum: Hmac, source: string, id: string, whole: Whole): Promise<void> {
  const put = async (text: string): Promise<void> => {
    sum.update(text)
    await handle.writeFile(text)
  }
  const head = JSON.stringify({ format: FORMAT, source, key: id, epoch: whole.epoch, revision: whole.revision, hash: whole.hash })
  await put(`${head.slice(0, -1)},"flags":[`)
  for (const slice of slices(whole.flags)) await put(slice)
  await put('],"segments":[')
  for (const slice of slices(whole.segments)) await put(slice)
  await put(']')
  await handle.writeFile(`,"checksum":"${sum.digest('hex')}"}`)
}

function* slices(documents: readonly unknown[]): Generator<string> {
  for (let i = 0; i < documents.length; i += SLICE) {
    const text = documents
      .slice(i, i + SLICE)
      .map(document => JSON.stringify(document))
      .join(',')
    yield i === 0 ? text : `,${text}`
  }
}

/** Keyed, so that the file can only have been written by a holder of the same key. */
function checksum(key: string): Hmac {
  return createHmac('sha256', `sluice-cache:${key}`)
}

/** The public part of `slc_<kind>_<id>_<secret>`; of any other text a few digits of its hash. */
function keyId(key: string): string {
  const match = /^slc_[a-z]+_([A-Za-z0-9]{1,64})_/.exec(key)
  return match?.[1] ?? createHash('sha256').update(key).digest('hex').slice(0, 8)
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

/** Makes the rename itself lasting. Not every system can open a folder. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch {
    // The file itself is on disk; a lost rename leaves the older one.
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
