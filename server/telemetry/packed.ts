/**
 * Counts as bytes, many small ones in little room: the minutes of an hour or the hours of a day, per outcome. Most are
 * nought and the others are small, so each outcome has one bit per slot that says whether a count follows, and counts
 * take seven bits a byte (the "varints" of Protocol Buffers). A year of hours is 365 such rows per flag.
 *
 *     format (1)   { length, outcome text, bits (⌈slots / 8⌉ bytes), counts }   repeated to the end
 */

import { REST } from './outcome.ts'

const FORMAT = 1
/** Outcomes told apart per flag and hour or day. A flag has at most 100 variations and few reasons for each. */
export const OUTCOMES_MAX = 400

/** Sums per outcome, one per slot. */
export type Slots = Map<string, number[]>

/** Add to one slot; beyond `OUTCOMES_MAX` outcomes to the sum of the rest. */
export function addTo(all: Slots, slots: number, outcome: string, slot: number, count: number): void {
  const name = all.has(outcome) || all.size < OUTCOMES_MAX ? outcome : REST
  let counts = all.get(name)
  if (counts === undefined) {
    counts = new Array<number>(slots).fill(0)
    all.set(name, counts)
  }
  counts[slot] = Math.min((counts[slot] ?? 0) + count, Number.MAX_SAFE_INTEGER)
}

export function pack(all: Slots, slots: number): Uint8Array {
  const bytes: number[] = [FORMAT]
  for (const [outcome, counts] of all) {
    const text = Buffer.from(outcome)
    pushNumber(bytes, text.length)
    bytes.push(...text)
    const bits = bytes.length
    for (let i = 0; i < slots; i += 8) bytes.push(0)
    for (let slot = 0; slot < slots; slot++) {
      const count = counts[slot] ?? 0
      if (count === 0) continue
      bytes[bits + (slot >> 3)]! |= 1 << (slot & 7)
      pushNumber(bytes, count)
    }
  }
  return Uint8Array.from(bytes)
}

/** @returns the sums; those up to a place that cannot be understood (a newer format, damage): counts are not worth a failure */
export function unpack(bytes: Uint8Array, slots: number): Slots {
  const all: Slots = new Map()
  if (bytes[0] !== FORMAT) return all
  const reader = { bytes, at: 1 }
  while (reader.at < bytes.length) {
    const length = readNumber(reader)
    const bits = reader.at + length
    const text = bytes.subarray(reader.at, bits)
    reader.at = bits + Math.ceil(slots / 8)
    if (reader.at > bytes.length) return all
    const counts = new Array<number>(slots).fill(0)
    for (let slot = 0; slot < slots; slot++) {
      if ((bytes[bits + (slot >> 3)]! & (1 << (slot & 7))) !== 0) counts[slot] = readNumber(reader)
    }
    all.set(Buffer.from(text).toString(), counts)
  }
  return all
}

// Numbers up to 2^53, so no bit operations, which end at 32.

function pushNumber(bytes: number[], number: number): void {
  let rest = number
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
}

function readNumber(reader: { readonly bytes: Uint8Array; at: number }): number {
  let number = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = reader.bytes[reader.at++] ?? 0
    number += (byte % 128) * scale
    if (byte < 128 || scale > Number.MAX_SAFE_INTEGER) return Math.min(number, Number.MAX_SAFE_INTEGER)
  }
}
