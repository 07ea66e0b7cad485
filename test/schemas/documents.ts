/** One whole document of each main shape, as small as it can be while every part is there. */
import type { Flag } from '../../schemas/flag.ts'
import type { Segment } from '../../schemas/segment.ts'

export const FLAG: Flag = {
  key: 'new-ledger',
  kind: 'release',
  version: 7,
  seed: 2_984_379_123,
  name: 'New ledger',
  owner: 'payments',
  tags: ['ledger'],
  runbook: 'https://example.com/runbook',
  clientVisible: true,
  metadata: { team: 'payments', tier: 1, critical: true },
  variations: [
    { key: 'on', value: true },
    { key: 'off', value: false, description: 'the old ledger' },
  ],
  enabled: true,
  offVariation: 'off',
  kills: [
    {
      id: 'k_01',
      variation: 'off',
      clauses: [{ attribute: '/device/os', op: 'in', values: ['android'] }],
      reason: 'crash on open',
      actor: 'dana',
      at: '2026-11-21T03:12:00Z',
      until: null,
    },
  ],
  prerequisites: [{ flag: 'ledger-upstream', variations: ['on'] }],
  targets: [{ attribute: '/account/id', values: ['a-17', 18, true], variation: 'off' }],
  rules: [
    {
      id: 'r1',
      clauses: [{ attribute: '/account/plan', op: 'in', values: ['beta'], negate: true, ignoreCase: true }],
      serve: { variation: 'on' },
    },
  ],
  fallthrough: {
    rollout: {
      by: '/account/id',
      seed: 1,
      weights: [
        { variation: 'on', weight: 5_000 },
        { variation: 'off', weight: 95_000 },
      ],
    },
  },
}

export const SEGMENT: Segment = {
  key: 'beta-accounts',
  version: 1,
  name: 'Beta accounts',
  included: [{ attribute: '/account/id', values: ['a-1'] }],
  excluded: [{ values: ['a-2'] }],
  rules: [{ id: 's1', clauses: [{ op: 'segment', values: ['staff'] }] }],
}
