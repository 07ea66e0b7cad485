import t from 'tap'
import { edgeOf } from '../../../server/hooks/edge.ts'
import type { ArrivedAlert, KnownAlert } from '../../../server/storage/alerts.ts'

const NOW = 1_000_000

function arrived(status: string, startsAt: number | null, more: Partial<ArrivedAlert> = {}): ArrivedAlert {
  const row = { id: 'new', log: 'l', hook: 'h', dedupKey: 'k', endsAt: null, externalId: null, mayAct: 1, dryRun: 0 }
  return { ...row, status, startsAt, receivedAt: NOW, seenAt: NOW, ...more }
}

function known(id: string, status: string, startsAt: number, more: Partial<KnownAlert> = {}): KnownAlert {
  return { id, status, startsAt, endsAt: null, externalId: null, standing: 0, receivedAt: startsAt, ...more }
}

const cases: readonly [name: string, alert: ArrivedAlert, known: readonly KnownAlert[], expected: object][] = [
  ['the first fire is new', arrived('firing', 10), [], { outcome: 'new', startsAt: 10, ended: [] }],
  [
    'the same fire again repeats it',
    arrived('firing', 10),
    [known('a', 'firing', 10, { standing: 1 })],
    { outcome: 'duplicate', seen: 'a' },
  ],
  ['a later fire takes the place', arrived('firing', 20), [known('a', 'firing', 10, { standing: 1 })], { outcome: 'new', ended: ['a'] }],
  ['an earlier fire is late', arrived('firing', 5), [known('a', 'firing', 10, { standing: 1 })], { outcome: 'late' }],
  [
    'a fire from before a resolve is late',
    arrived('firing', 10),
    [known('r', 'resolved', 10, { endsAt: 30, receivedAt: 31 })],
    { outcome: 'late' },
  ],
  [
    'a fire after a resolve is new',
    arrived('firing', 40),
    [known('r', 'resolved', 10, { endsAt: 30, receivedAt: 31 })],
    { outcome: 'new' },
  ],
  [
    'a resolve that speaks of a time to come holds nothing back',
    arrived('firing', 40),
    [known('r', 'resolved', 10, { endsAt: 1e12, receivedAt: 31 })],
    { outcome: 'new' },
  ],
  [
    'a resolve ends what fires',
    arrived('resolved', 10, { endsAt: 20 }),
    [known('a', 'firing', 10, { standing: 1 })],
    { outcome: 'new', ended: ['a'] },
  ],
  [
    'a resolve of an earlier fire is late',
    arrived('resolved', 10, { endsAt: 20 }),
    [known('b', 'firing', 30, { standing: 1 }), known('a', 'firing', 10)],
    { outcome: 'late' },
  ],
  ['a resolve alone is new', arrived('resolved', 10), [], { outcome: 'new', ended: [] }],
  ['without a start a fire begins when it arrives', arrived('firing', null), [], { outcome: 'new', startsAt: NOW }],
  [
    'without a start a fire is the one that fires',
    arrived('firing', null),
    [known('a', 'firing', 10, { standing: 1 })],
    { outcome: 'duplicate', startsAt: 10, seen: 'a' },
  ],
  [
    'without a start a resolve is of the one that fires',
    arrived('resolved', null),
    [known('a', 'firing', 10, { standing: 1 })],
    { outcome: 'new', startsAt: 10 },
  ],
  [
    'without a start a fire after a resolve is a new one',
    arrived('firing', null),
    [known('r', 'resolved', 10), known('a', 'firing', 10)],
    { outcome: 'new', startsAt: NOW },
  ],
  [
    'a delivery that is tried again is known by its name',
    arrived('firing', null, { externalId: 'd1' }),
    [known('r', 'resolved', 10), known('a', 'firing', 10, { externalId: 'd1' })],
    { outcome: 'duplicate', seen: 'a' },
  ],
  ['what is only told fires nothing', arrived('info', 10), [known('a', 'firing', 10, { standing: 1 })], { outcome: 'new', ended: [] }],
]

for (const [name, alert, edges, expected] of cases) {
  t.test(name, async t => {
    t.match(edgeOf(alert, edges), expected)
    t.match(edgeOf(alert, [...edges].reverse()), expected, 'in whatever order the known ones stand')
  })
}
