import t from 'tap'
import type { FlagInput } from '../../../schemas/flag.ts'
import { completeFlag, patchDefinition, patchSettings, randomSeed } from '../../../server/flags/defaults.ts'
import { flag } from './state.ts'

t.test('what is left out is filled in', async t => {
  const cases: [FlagInput, Record<string, unknown>][] = [
    [
      { key: 'a', kind: 'release' },
      {
        variations: [
          { key: 'on', value: true },
          { key: 'off', value: false },
        ],
        offVariation: 'off',
        fallthrough: { variation: 'on' },
        enabled: false,
        seed: 7,
        kills: [],
      },
    ],
    [
      { key: 'a', kind: 'kill-switch' },
      { enabled: true, offVariation: 'off', fallthrough: { variation: 'on' } },
    ],
    [{ key: 'a', kind: 'kill-switch', enabled: false }, { enabled: false }],
    [
      { key: 'a', kind: 'migration' },
      { offVariation: 'off', fallthrough: { variation: 'off' }, enabled: false },
    ],
    [
      { key: 'a', kind: 'safety-valve' },
      {
        variations: [{ key: 'auto', value: { mode: 'auto' } }, { key: 'strict' }, { key: 'flow' }, { key: 'half' }, { key: 'cut' }],
        offVariation: 'cut',
        fallthrough: { variation: 'auto' },
        enabled: true,
      },
    ],
    [
      {
        key: 'a',
        kind: 'safety-valve',
        variations: [
          { key: 'gentle', value: { mode: 'auto' } },
          { key: 'shut', value: { mode: 'cut' } },
        ],
      },
      { offVariation: 'shut', fallthrough: { variation: 'gentle' } },
    ],
    [
      { key: 'a', kind: 'config', variations: [{ key: 'only', value: 5 }] },
      { offVariation: 'only', fallthrough: { variation: 'only' } },
    ],
    [
      {
        key: 'a',
        kind: 'config',
        variations: [
          { key: 'low', value: 1 },
          { key: 'high', value: 2 },
        ],
        offVariation: 'high',
        seed: 0,
      },
      { offVariation: 'high', fallthrough: { variation: 'low' }, seed: 0 },
    ],
  ]
  for (const [input, expected] of cases) t.match(completeFlag(input, 7).flag, expected, JSON.stringify(input))
})

t.test('what cannot be guessed is an error that says so', async t => {
  const cases: [FlagInput, string][] = [
    [{ key: 'a', kind: 'config' }, 'variations'],
    [{ key: 'a', kind: 'rate-limit' }, 'variations'],
    [{ key: 'a', kind: 'safety-valve', variations: [{ key: 'auto', value: { mode: 'auto' } }] }, 'variations'],
    [
      {
        key: 'a',
        kind: 'config',
        variations: [
          { key: 'low', value: 1 },
          { key: 'high', value: 2 },
        ],
      },
      'offVariation',
    ],
  ]
  for (const [input, path] of cases)
    t.match(completeFlag(input, 7), { flag: null, problems: [{ path, code: 'missing' }] }, JSON.stringify(input))
})

t.test('kills and version of a document that is sent back are not taken over', async t => {
  const kill = { id: 'k', variation: 'off', clauses: [], reason: 'r', actor: 'a', at: '2026-01-01T00:00:00Z', until: null }
  t.match(completeFlag({ key: 'a', kind: 'release', version: 9, kills: [kill] }, 7).flag, { version: 1, kills: [] })
})

t.test('seeds are unsigned 32-bit integers', async t => {
  const seeds = Array.from({ length: 1_000 }, randomSeed)
  t.ok(seeds.every(seed => Number.isInteger(seed) && seed >= 0 && seed <= 0xffff_ffff))
  t.ok(seeds.some(seed => seed > 0x7fff_ffff))
})

t.test('a patch replaces what it names; null removes what may be missing', async t => {
  const before = flag('a', { name: 'A', owner: 'dana' })
  t.same(patchSettings(before, { enabled: true, comment: 'why' }), { ...before, enabled: true })
  const after = patchDefinition(before, { owner: null, tags: ['t'], comment: 'why' })
  t.notOk('owner' in after)
  t.match(after, { name: 'A', tags: ['t'] })
  t.equal(JSON.stringify(patchSettings(before, {})), JSON.stringify(before), 'nothing given, nothing changed')
})
