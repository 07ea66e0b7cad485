/** Counts as bytes: what goes in comes out, whatever it is, and what is no such bytes does no harm. */
import fc from 'fast-check'
import t from 'tap'
import { outcomeOf, outcomeText, REST } from '../../../server/telemetry/outcome.ts'
import { addTo, OUTCOMES_MAX, pack, type Slots, unpack } from '../../../server/telemetry/packed.ts'
import { runs } from '../../runs.ts'

const count = fc.oneof(fc.constant(0), fc.nat(300), fc.maxSafeNat())
const slots = (length: number) =>
  fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 130 }), fc.array(count, { minLength: length, maxLength: length }), { maxKeys: 8 })

t.test('packed counts come out as they went in', async t => {
  for (const length of [24, 60]) {
    fc.assert(
      fc.property(slots(length), given => {
        const all: Slots = new Map(Object.entries(given))
        t.strictSame([...unpack(pack(all, length), length)], [...all])
      }),
      { ...runs(60) },
    )
  }
  t.pass('for minutes and hours')
})

t.test('bytes that are damaged or of a newer format give counts, or none, and never an error', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isOurs) => {
      if (isOurs && bytes.length > 0) bytes[0] = 1
      for (const counts of unpack(bytes, 60).values()) {
        if (counts.length !== 60 || !counts.every(each => Number.isSafeInteger(each) && each >= 0)) throw new Error('no counts')
      }
    }),
    { ...runs(300) },
  )
  t.equal(unpack(Uint8Array.of(2, 1, 65), 60).size, 0)
})

t.test('an hour of three variations takes little room', async t => {
  const all: Slots = new Map()
  for (const outcome of ['Fon', 'Foff', 'Rnew']) for (let minute = 0; minute < 60; minute++) addTo(all, 60, outcome, minute, 100 + minute)
  t.ok(pack(all, 60).length <= 3 * (60 * 2 + 8 + 5) + 1, `${pack(all, 60).length} bytes`)
})

t.test('outcomes without end are summed as one beyond the bound', async t => {
  const all: Slots = new Map()
  for (let i = 0; i < OUTCOMES_MAX + 50; i++) addTo(all, 24, `Fv${i}`, 3, 2)
  t.equal(all.size, OUTCOMES_MAX + 1)
  t.equal(all.get(REST)?.[3], 100)
})

t.test('an outcome is a short text and back', async t => {
  for (const reason of ['KILLED', 'OFF', 'PREREQUISITE_FAILED', 'TARGET_MATCH', 'RULE_MATCH', 'FALLTHROUGH']) {
    for (const unbucketed of [false, true]) {
      t.strictSame(outcomeOf(outcomeText('-on', reason, undefined, unbucketed)), { variation: '-on', reason, error: null, unbucketed })
    }
  }
  for (const error of ['FLAG_NOT_FOUND', 'TYPE_MISMATCH', 'MALFORMED_FLAG', 'PREREQUISITE_CYCLE'])
    t.strictSame(outcomeOf(outcomeText(null, 'ERROR', error, false)), { variation: null, reason: 'ERROR', error, unbucketed: false })
  t.match(outcomeOf(outcomeText('on', 'OF_A_NEWER_SDK', undefined, false)), { variation: 'on', reason: 'OTHER', error: null })
  t.match(outcomeOf(outcomeText(null, 'ERROR', undefined, false)), { variation: null, reason: 'ERROR', error: 'OTHER' })
})
