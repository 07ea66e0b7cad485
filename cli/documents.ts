/** Files of flags and segments as people keep them: YAML that is pleasant to read and edit, or JSON. */
import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { text as textOf } from 'node:stream/consumers'
import { Document, isCollection, isMap, isScalar, isSeq, type Node, parseDocument, visit } from 'yaml'
import type { Json } from '../schemas/json.ts'
import type { Ruleset } from '../schemas/ruleset.ts'
import { affectedText } from '../schemas/words.ts'
import { EXIT, Failure, usage } from './failure.ts'

/** A document read: `text` is its JSON, as the server shall get it. */
export interface Read {
  readonly value: Json
  readonly text: string
}

/**
 * @param path a file, or `-` for stdin
 * Errors: `FILE_UNREADABLE`; `USAGE` with the line when it cannot be understood.
 */
export async function readDocument(path: string): Promise<Read> {
  const text = await readText(path)
  // JSON goes to the server as it stands, so that what only it notices (a key given twice) is not lost on the way.
  if (/^\s*[[{]/.test(text)) {
    try {
      return { value: JSON.parse(text) as Json, text }
    } catch {
      // A flow mapping may be YAML that is not JSON.
    }
  }
  const value = parseYaml(text, path)
  return { value, text: JSON.stringify(value) }
}

/** The document as an object; for what is written with a comment in its body. */
export async function readObject(path: string): Promise<Readonly<Record<string, Json>>> {
  const { value } = await readDocument(path)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw usage(`${nameOf(path)} holds no object.`, 'Write fields and their values.')
  return value as Readonly<Record<string, Json>>
}

export async function readText(path: string): Promise<string> {
  try {
    return path === '-' ? await textOf(process.stdin) : await readFile(path, 'utf8')
  } catch (error) {
    throw new Failure(
      'FILE_UNREADABLE',
      EXIT.usage,
      `${nameOf(path)} cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
    )
  }
}

export function writeText(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw new Failure(
      'FILE_UNREADABLE',
      EXIT.usage,
      `${path} cannot be written: ${error instanceof Error ? error.message : String(error)}.`,
    )
  }
}

/** YAML 1.2 core. Error: `USAGE`, with the place. */
export function parseYaml(text: string, path: string): Json {
  const document = parseDocument(text, { intAsBigInt: true, uniqueKeys: true, merge: false })
  const [problem] = [...document.errors, ...document.warnings]
  if (problem !== undefined)
    throw usage(`${nameOf(path)} cannot be read: ${problem.message.split('\n')[0]?.replace(/:$/, '') ?? ''}.`, 'Correct it there.')
  try {
    return exact(document.toJS() as unknown, '', path)
  } catch (error) {
    if (error instanceof Failure) throw error
    throw usage(`${nameOf(path)} cannot be read: ${error instanceof Error ? error.message : String(error)}.`)
  }
}

/** Numbers that survive: a YAML integer of any size arrives as a bigint. */
function exact(value: unknown, at: string, path: string): Json {
  if (typeof value === 'bigint') {
    const number = Number(value)
    if (!Number.isSafeInteger(number))
      throw usage(
        `${nameOf(path)}: ${at} is ${value}, too large for a number that every program keeps exactly.`,
        'Quote it to make it text.',
      )
    return number
  }
  if (typeof value === 'number' && !Number.isFinite(value))
    throw usage(`${nameOf(path)}: ${at} is ${value}, which JSON cannot hold.`, 'Correct it there.')
  if (Array.isArray(value)) return value.map((item, i) => exact(item, `${at}[${i}]`, path))
  if (typeof value !== 'object' || value === null) return value as Json
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, exact(item, at === '' ? key : `${at}.${key}`, path)]))
}

function nameOf(path: string): string {
  return path === '-' ? 'stdin' : path
}

/** Lines longer than this are not put on one line. */
const FLOW_LENGTH_MAX = 110

/**
 * An environment to read and edit: what the server keeps (`version`) and what is empty is left out, kills are remarks
 * because an import never touches them, and short things stand on one line.
 */
export function rulesetYaml(ruleset: Ruleset, heading: readonly string[]): string {
  const flags = ruleset.flags.map(({ version: _version, kills: _kills, ...flag }) => withoutEmpty(flag))
  const segments = ruleset.segments.map(({ version: _version, ...segment }) => withoutEmpty(segment))
  // Quoting what YAML 1.1 would misread (on, off, yes) keeps every other tool from turning a variation into a boolean.
  const document = new Document({ flags, segments }, { compat: 'yaml-1.1' })
  document.commentBefore = heading.map(line => ` ${line}`).join('\n')
  layOut(document)
  const list = document.get('flags')
  if (isSeq(list)) {
    list.items.forEach((item, i) => {
      const kills = ruleset.flags[i]?.kills ?? []
      const node = item as Node
      if (kills.length > 0)
        node.commentBefore = kills
          .map(kill => ` killed by ${kill.id}: serves ${kill.variation} to ${affectedText(kill.clauses)}, ${JSON.stringify(kill.reason)}`)
          .join('\n')
      if (i > 0) node.spaceBefore = true
    })
  }
  return document.toString({ lineWidth: 0 })
}

/** One flag or segment, or a part of one, in the same manner. */
export function documentYaml(value: unknown): string {
  const document = new Document(value, { compat: 'yaml-1.1' })
  layOut(document)
  return document.toString({ lineWidth: 0 })
}

function withoutEmpty<T extends object>(document: T): Partial<T> {
  return Object.fromEntries(Object.entries(document).filter(([, value]) => !(Array.isArray(value) && value.length === 0))) as Partial<T>
}

/** Short collections below the level of a flag go on one line: `- { key: "on", value: true }`. */
function layOut(document: Document): void {
  visit(document, {
    Collection(_key, node, path) {
      const depth = path.filter(isCollection).length
      if (depth < 2 || (!isMap(node) && !isSeq(node))) return
      if (isSeq(node) && node.items.some(item => !isScalar(item))) return
      if (JSON.stringify(node.toJS(document)).length > FLOW_LENGTH_MAX) return
      node.flow = true
    },
  })
}
