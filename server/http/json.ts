/**
 * JSON bodies, read strictly: UTF-8 only, bounded depth, and no key twice in one object. Of two equal keys
 * `JSON.parse` silently takes the last, a proxy in front may look at the first, and then two programs disagree about
 * what was asked. All of it is linear in the length of the body.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { SluiceError } from '../../schemas/errors.ts'

/** Deepest nesting that is read at all; what a body may be is stricter and decided by its schema. */
const NESTING_MAX = 64

const QUOTE = 34
const COLON = 58
const OPEN_BRACKET = 91
const BACKSLASH = 92
const CLOSE_BRACKET = 93
const OPEN_BRACE = 123
const CLOSE_BRACE = 125

/**
 * Errors: `INVALID_JSON` (not UTF-8, not JSON, a key twice, with its path), `INVALID_REQUEST` (nested too deeply).
 * What the body holds is never repeated, as it may be secret.
 */
export function parseJson(body: Buffer): unknown {
  const isPlain = isAscii(body)
  if (!isPlain && !isUtf8(body)) throw notJson('is not UTF-8', '')
  const text = body.toString(isPlain ? 'latin1' : 'utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw notJson('is not JSON', place(text, error))
  }
  // Cheaper than a look at every key: as many colons outside of texts as there are keys in what came out.
  if (colons(body) !== keys(value)) throw twice(text)
  return value
}

/** Colons outside of texts: one for every key. What is looked for is one byte in UTF-8, and part of no other character. */
function colons(json: Buffer): number {
  let count = 0
  let depth = 0
  let isText = false
  for (let i = 0; i < json.length; i++) {
    const code = json[i]
    if (isText) {
      if (code === QUOTE) isText = false
      else if (code === BACKSLASH) i++
    } else if (code === QUOTE) isText = true
    else if (code === COLON) count++
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (++depth > NESTING_MAX) throw tooDeep()
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--
  }
  return count
}

/** @returns the index of the quote that ends the text starting at `start` */
function endOfText(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return end
  }
  return text.length
}

/** Keys of all objects. Recursion is safe: the nesting has been bounded. */
function keys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value) count += keys(item)
    return count
  }
  // Own keys only: nothing can be inherited from what JSON.parse made.
  for (const key in value) count += 1 + keys((value as Record<string, unknown>)[key])
  return count
}

/** Only asked once it is known that there is one: where is the key that stands twice? */
function twice(text: string): SluiceError {
  const stack: { keys: Set<string> | null; key: string; index: number }[] = []
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const top = stack.at(-1)
    if (code === OPEN_BRACE) stack.push({ keys: new Set(), key: '', index: 0 })
    else if (code === OPEN_BRACKET) stack.push({ keys: null, key: '', index: 0 })
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) stack.pop()
    else if (text[i] === ',' && top !== undefined) top.index++
    else if (code === QUOTE) {
      const end = endOfText(text, i)
      if (top?.keys && /^\s*:/.test(text.slice(end + 1, end + 1_000))) {
        const key = JSON.parse(text.slice(i, end + 1)) as string
        top.key = key
        if (top.keys.has(key)) {
          const path = stack.map(level => (level.keys === null ? `[${level.index}]` : `.${level.key}`)).join('')
          return duplicate(path.replace(/^\./, ''))
        }
        top.keys.add(key)
      }
      i = end
    }
  }
  return duplicate('')
}

function duplicate(path: string): SluiceError {
  const detail = { path, code: 'duplicate_key', message: 'stands twice in the same object. Keep one of them' }
  const where = path === '' ? 'a key' : path
  return new SluiceError('INVALID_JSON', `The body cannot be taken: ${where} ${detail.message}.`, { details: [detail] })
}

function tooDeep(): SluiceError {
  const detail = { path: '', code: 'too_deep', message: `is nested deeper than ${NESTING_MAX} levels. Flatten it` }
  return new SluiceError('INVALID_REQUEST', `The body cannot be taken: it ${detail.message}.`, { details: [detail] })
}

function notJson(what: string, where: string): SluiceError {
  const message = `The body ${what}${where}. Send one JSON value, with keys and texts in double quotes and no comma at the end.`
  return new SluiceError('INVALID_JSON', message, { details: [{ path: '', code: 'not_json', message: `${what}${where}` }] })
}

/** ` (line 3, column 7)`, from the position in the engine's message. */
function place(text: string, error: unknown): string {
  const match = /at position (\d+)/.exec(error instanceof Error ? error.message : '')
  if (match === null) return ' (it ends too early)'
  const before = text.slice(0, Number(match[1]))
  const line = before.split('\n').length
  return ` (line ${line}, column ${before.length - before.lastIndexOf('\n')})`
}
