import fc from 'fast-check'
import picocolors from 'picocolors'
import t from 'tap'
import { isOver, lineOf, newsOf, pictureOf, type Watched } from '../../cli/picture.ts'
import { openRedraw } from '../../cli/redraw.ts'
import type { Plan, PlanStep } from '../../schemas/plan.ts'
import { runs } from '../runs.ts'

const plain = picocolors.createColors(false)
const coloured = picocolors.createColors(true)
const AT = Date.parse('2026-11-21T03:00:00Z')

function moment(inMs: number): string {
  return new Date(AT + inMs).toISOString()
}

function stepOf(percent: number): PlanStep {
  return { variation: 'on', control: 'off', percent, holdMs: 600_000, minExposures: 0, gate: 'time', guards: [] }
}

/** A rollout at its second step, watched for ten minutes: the evidence grows from nothing to a half of the line. */
function watchedWith(plan: Partial<Plan> = {}, more: Partial<Watched> = {}): Watched {
  const trials = { rising: { contexts: 1_234, bad: 18 }, control: { contexts: 23_456, bad: 220 } }
  return {
    plan: {
      key: 'new-ledger',
      run: 'p_1',
      state: 'running',
      rule: null,
      steps: [1, 5, 25, 100].map(stepOf),
      guards: [],
      alpha: 0.01,
      holdback: 2,
      startsAt: null,
      startedAt: moment(0),
      step: 1,
      since: moment(0),
      spentMs: 0,
      before: null,
      serving: null,
      kills: [],
      approvals: [],
      held: null,
      reverted: null,
      watchedSince: moment(0),
      endedAt: null,
      version: 3,
      ...plan,
    },
    flag: 'new-ledger',
    run: 'p_1',
    state: 'running',
    outlook: { what: 'advance', at: moment(600_000), inMs: 240_000, text: 'then 25 % of on' },
    step: 1,
    steps: 4,
    variation: 'on',
    control: 'off',
    percent: 5,
    inStepMs: 360_000,
    holdMs: 600_000,
    isLast: false,
    alpha: 0.01,
    slices: 36,
    lastSliceAt: moment(360_000),
    exposures: { rising: 1_234, control: 23_456 },
    recent: { withinMs: 300_000, ...trials },
    share: { configured: 0.05, observed: 0.0493, kind: 'as-configured', text: 'as configured' },
    logE: 2.2,
    signalLogE: 0,
    line: Math.log(100),
    logClear: -0.3,
    clearLine: Math.log(20),
    guards: [
      {
        ...{
          id: 'errorShare',
          type: 'errorShare',
          role: 'guardrail',
          dryRun: false,
          state: 'watching',
          logE: 2.2,
          logClear: -0.3,
          ...trials,
        },
        relativeRisk: { estimate: 1.5, low: 0.7, high: 3.1 },
        limit: null,
        text: 'errorShare: failed 1.46 % of 1,234 contexts with it, 0.94 % of 23,456 contexts without, 1.5 times as often; e-value 9',
      },
      {
        ...{ id: 'errors', type: 'promql', role: 'signal', dryRun: false, state: 'fired', logE: null, logClear: null },
        ...{ rising: null, control: null, relativeRisk: null },
        limit: { value: 0.2, op: '>', threshold: 0.05, at: moment(350_000), verdict: 'failed', looks: 9, failures: 2, problem: null },
        text: 'errors: 2 of 9 looks were > 0.05; 1 are borne.',
      },
    ],
    detectable: {
      ...{ relativeRisk: 1.8, withinMs: 600_000, twiceMs: 180_000, perSecond: 40, baseRate: 0.009 },
      text: '×1.8 can be found within 10 min; ×2 takes about 3 min',
    },
    series: Array.from({ length: 36 }, (_, i) => ({
      at: moment(10_000 * (i + 1)),
      logE: -0.5 + (2.7 * i) / 35,
      logClear: 0,
      rising: { contexts: 34, bad: 0 },
      control: { contexts: 650, bad: 6 },
    })),
    text: '1,234 exposures',
    ...more,
  }
}

function frame(width: number, height = 40, colors = plain): Parameters<typeof pictureOf>[1] {
  return { width, height, colors, place: 'production' }
}

t.test('a picture shows steps, shares, failures, the evidence against its line, and the last word of each guard', async t => {
  t.same(pictureOf(watchedWith(), frame(64)), [
    'new-ledger in production: running, step 2 of 4',
    '✓ 1 % ─ ▶ 5 % ─ 25 % ─ 100 %',
    '████████████████████████░░░░░░░░░░░░░░░░ 6 min of 10 min',
    'next     in 4 min: then 25 % of on',
    '',
    '     SET   SEEN    IN 5 min  FAILED  SHARE',
    'on   5 %   4.93 %  1,234     18      1.46 %',
    'off  95 %  95.1 %  23,456    220     0.938 %',
    '',
    'evidence of harm 9, turns back at 100',
    '100 ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄',
    '    │',
    '    │',
    '    │                            ▁▂▂▃▃▄▅▅',
    '    │               ▁▂▂▃▃▄▅▅▆▇▇██████████',
    '  1 │▁▁▁▂▂▃▄▄▅▅▆▇▇███████████████████████',
    '     03:00:10                    03:06:00',
    '',
    'smallest ×1.8 can be found within 10 min; ×2 takes about 3 min',
    'guard    errorShare: failed 1.46 % of 1,234 contexts with it,',
    '         0.94 % of 23,456 contexts without, 1.5 times as often;',
    '         e-value 9',
    'signal   fired: errors: 2 of 9 looks were > 0.05; 1 are borne.',
    '         (at 03:05:50Z)',
  ])
})

t.test('in a narrow terminal nothing is wider than it, and where it is low the plot gives way to the figures', async t => {
  t.same(pictureOf(watchedWith(), frame(30, 12)), [
    'new-ledger in production:',
    'running, step 2 of 4',
    '✓ 1 % ─ ▶ 5 % ─ 25 % ─ 100 %',
    '████████░░░░░░ 6 min of 10 min',
    'next',
    '  in 4 min: then 25 % of on',
    '     SET   SHARE',
    'on   5 %   1.46 %',
    'off  95 %  0.938 %',
    'evidence of harm 9, turns back',
    'at 100',
    'smallest',
  ])
  const many = watchedWith({ steps: Array.from({ length: 50 }, (_, i) => stepOf(i + 1)), step: 24 })
  t.equal(pictureOf(many, frame(48))[1], '… ─ ✓ 23 % ─ ✓ 24 % ─ ▶ 25 % ─ 26 % ─ 27 % ─ …')
})

t.test('who holds a rollout, and why it was turned back, stand at the top', async t => {
  const at = moment(0)
  const held = watchedWith({ state: 'held', held: { at, cause: 'person', by: 'dana', text: 'looking at the latency', guard: null } })
  t.match(pictureOf(held, frame(80)), [
    'new-ledger in production: held, step 2 of 4',
    'by dana at 2026-11-21 03:00:00Z: looking at the latency',
  ])
  const reverted = { at, by: 'rollout "new-ledger"', text: 'errors: it is 7', guard: 'errors', numbers: {} }
  const over = watchedWith({ state: 'reverted', reverted })
  t.match(pictureOf(over, frame(80)), [
    'new-ledger in production: reverted',
    'by rollout "new-ledger" at 2026-11-21 03:00:00Z: errors: it is 7',
  ])
  t.same([over.plan, held.plan].map(isOver), [true, false])
})

t.test('whatever the numbers, texts and the terminal are, a picture fits it and sends it nothing but colours', async () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 60 })
  const number = fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(0, -745, 745, 1e-300))
  fc.assert(
    fc.property(
      fc.integer({ min: 20, max: 200 }),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 0, max: 3 }),
      fc.array(number, { maxLength: 60 }),
      text,
      fc.boolean(),
      (width, height, step, logs, words, isColoured) => {
        const [point] = watchedWith().series
        const series = logs.map((logE, i) => ({ ...point!, at: moment(i * 10_000), logE }))
        const held = { at: moment(0), cause: 'person' as const, by: words, text: `${words}\u001b[2J\n\r${words}`, guard: null }
        const [guard] = watchedWith().guards
        const watched = watchedWith(
          { step, state: 'held', held },
          { step, series, logE: logs.at(-1) ?? 0, guards: [{ ...guard!, text: words }] },
        )
        const lines = pictureOf(watched, frame(width, height, isColoured ? coloured : plain))
        if (lines.length > height) throw new Error(`${lines.length} lines in ${height}`)
        for (const line of lines) {
          const bare = line.replace(/\u001b\[\d+m/g, '')
          if (/\p{Cc}/u.test(bare)) throw new Error(`a control character in ${JSON.stringify(line)}`)
          if ([...bare].filter(each => !/\p{Mark}|\u200d/u.test(each)).length > width) throw new Error(`wider than ${width}: ${line}`)
        }
      },
    ),
    runs(300),
  )
})

t.test('a line is told for each change, and none for what only goes on', async t => {
  const running = watchedWith()
  t.equal(newsOf(running), newsOf({ ...running, inStepMs: 1, slices: 99, logE: 3, outlook: { ...running.outlook, inMs: 1 } }))
  for (const other of [
    watchedWith({ state: 'held', held: { at: moment(0), cause: 'person', by: 'dana', text: 'x', guard: null } }),
    watchedWith({}, { step: 2, percent: 25 }),
    watchedWith({}, { outlook: { what: 'approval', at: null, inMs: null, text: 'waits' } }),
    watchedWith({}, { guards: running.guards.map(guard => ({ ...guard, state: 'blind' })) }),
  ])
    t.not(newsOf(running), newsOf(other))
  t.equal(
    lineOf(running, moment(0)),
    '2026-11-21 03:00:00Z  new-ledger running, step 2 of 4, 5 % of on; next in 4 min: then 25 % of on; fired errors: 2 of 9 looks were > 0.05; 1 are borne.',
  )
})

t.test('each picture is drawn over the one before, and a terminal of another width begins empty', async t => {
  let sent = ''
  const screen = { columns: 80, rows: 24, write: (text: string) => (sent += text) }
  const redraw = openRedraw(screen)
  const drawn = (lines: readonly string[]): string => {
    sent = ''
    redraw.draw(lines)
    return sent
  }
  t.same(redraw.size(), { width: 80, height: 23 })
  t.equal(drawn(['one', 'two', 'three']), 'one\u001b[K\ntwo\u001b[K\nthree\u001b[K\n\u001b[J')
  t.equal(drawn(['four']), '\u001b[3A\rfour\u001b[K\n\u001b[J')
  t.equal(drawn(['five', 'six']), '\u001b[1A\rfive\u001b[K\nsix\u001b[K\n\u001b[J')
  screen.columns = 40
  t.equal(drawn(['seven']), '\u001b[2J\u001b[Hseven\u001b[K\n\u001b[J')
})
