/** Entries of the log in words. */
import t from 'tap'
import { changeLine, changeLines } from '../../cli/changes.ts'
import { createOutput } from '../../cli/output.ts'
import type { Change } from '../../schemas/change.ts'

const sink = { isTTY: false, write: () => undefined }
const output = createOutput(sink, sink, { json: false, environment: {} })

const android = { attribute: '/device/os', op: 'in', values: ['android'] }
const kill = (id: string, clauses: object[], until: string | null = null) => ({
  ...{ id, variation: 'off', clauses, reason: 'crash', actor: 'dana', at: '2026-11-21T03:12:00Z', until },
})

function entry(action: string, edits: readonly { key: string; before: object[]; after: object[] }[]): Change {
  return {
    revision: 12,
    at: '2026-11-21T03:12:05.000Z',
    actor: { kind: 'key', id: 'x', name: 'dana' },
    action,
    comment: null,
    edits: edits.map(({ key, before, after }) => ({ type: 'flag', key, before: { key, kills: before }, after: { key, kills: after } })),
    reverts: null,
    hash: '',
    previousHash: '',
  } as unknown as Change
}

t.test('a line of the log says whom a kill covered', async t => {
  const former = kill('k_0', [])
  const rows: readonly [change: Change, said: RegExp][] = [
    [
      entry('flag.kill', [{ key: 'a', before: [former], after: [former, kill('k_1', [android])] }]),
      /killed a for contexts where .* "android"$/,
    ],
    [entry('flag.kill', [{ key: 'a', before: [], after: [kill('k_1', [])] }]), /killed a$/],
    [
      entry('flag.lift', [{ key: 'a', before: [kill('k_1', [android])], after: [] }]),
      /lifted the kill on a for contexts where .* "android"$/,
    ],
    [
      entry('flag.lift', [
        { key: 'a', before: [kill('k_1', [android])], after: [] },
        { key: 'b', before: [kill('k_2', [])], after: [] },
      ]),
      /lifted the kill on a, b for contexts where .* "android"; everyone$/,
    ],
    [entry('flag.edit', [{ key: 'a', before: [former], after: [former] }]), /edited a$/],
  ]
  for (const [change, said] of rows) t.match(changeLine(change, output), said)
})

t.test('a kill is told in words, not as a document', async t => {
  const change = entry('flag.kill', [{ key: 'a', before: [], after: [kill('k_1', [android], '2026-11-21T05:00:00.000Z')] }])
  t.match(changeLines(change, output), [
    String,
    '    + kills[k_1]: off to contexts where /device/os is "android" until 2026-11-21 05:00:00Z, "crash"',
  ])
})
