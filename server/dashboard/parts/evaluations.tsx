/** How often each variation came out, over time, and for which reasons. */
import { useEffect, useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import type { EvaluationSeries, Problem as Reported, Usage } from '../../../schemas/usage.ts'
import { at, inEnvironment } from '../api.ts'
import { useResource } from '../resource.ts'
import { Chart } from './chart.tsx'
import { Empty } from './empty.tsx'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import { indexOf, Variation } from './serve.tsx'

const SPANS = [
  { name: 'the last hour', ms: 3_600_000 },
  { name: 'the last day', ms: 86_400_000 },
  { name: 'the last week', ms: 7 * 86_400_000 },
  { name: 'the last 30 days', ms: 30 * 86_400_000 },
] as const
const STEP_MS: Readonly<Record<string, number>> = { '1m': 60_000, '5m': 300_000, '15m': 900_000, '1h': 3_600_000, '1d': 86_400_000 }
const EVERY_MS = 30_000

interface Answer {
  readonly since: string
  readonly step: string
  readonly usage: Usage
  readonly problems: readonly Reported[]
  readonly series: readonly EvaluationSeries[]
}

/** Null is an error. */
interface Line {
  readonly variation: string | null
  readonly total: number
  readonly counts: readonly number[]
}

export function Evaluations({ flag }: { readonly flag: Flag }) {
  const [span, setSpan] = useState<number>(SPANS[1].ms)
  const [asked, setAsked] = useState(() => Date.now())
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && setAsked(Date.now()), EVERY_MS)
    return () => clearInterval(timer)
  }, [])
  const [latest, setLatest] = useState<Answer | null>(null)
  const since = new Date(asked - span).toISOString()
  const { data, failure, refresh } = useResource<Answer>(inEnvironment(at`/flags/${flag.key}/evaluations?since=${since}`), {
    on: () => false,
  })
  useEffect(() => {
    if (data !== null) setLatest(data)
  }, [data])
  return (
    <>
      <div class="flagshead">
        <label class="field">
          <span>Evaluations of</span>
          <select value={span} onChange={event => setSpan(Number(event.currentTarget.value))}>
            {SPANS.map(({ name, ms }) => (
              <option key={ms} value={ms}>
                {name}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Problem failure={failure} onRetry={refresh} />
      {latest === null ? failure === null && <p aria-busy="true">Loading</p> : <Picture answer={latest} flag={flag} />}
    </>
  )
}

function Picture({ answer, flag }: { readonly answer: Answer; readonly flag: Flag }) {
  const { series, usage, problems } = answer
  const lines = linesOf(series, flag)
  return (
    <>
      <p>
        {usage.lastSeen === null ? (
          'Nobody has evaluated it here yet.'
        ) : (
          <>
            {usage.lastHour.toLocaleString('en')} in the last hour
            {usage.lastDay !== null && `, ${usage.lastDay.toLocaleString('en')} in the last day`}; last <Moment at={usage.lastSeen} />
            {usage.services.length > 0 &&
              ` by ${usage.services.map(({ service }) => (service === '' ? 'a service without a name' : service)).join(', ')}`}
            .
          </>
        )}
        {usage.unbucketed > 0 && (
          <span class="warn">
            {' '}
            ▲ {usage.unbucketed.toLocaleString('en')} in the last day had nothing to be split by and got the off variation.
          </span>
        )}
      </p>
      {lines.length === 0 ? (
        usage.lastSeen === null ? (
          <Empty title="Counts come with the first evaluation of an SDK." command={`flags.value('${flag.key}', context, fallback)`} />
        ) : (
          <p class="hint">None in this time.</p>
        )
      ) : (
        <>
          <Over answer={answer} lines={lines} flag={flag} />
          <Totals series={series} flag={flag} />
        </>
      )}
      {problems.length > 0 && (
        <>
          <h3>What went wrong</h3>
          <ul>
            {problems.map(({ code, detail, service, count, lastSeen }, i) => (
              <li key={i}>
                <strong class="bad">✕ {code}</strong> {detail} {count.toLocaleString('en')} times by{' '}
                {service === '' ? 'a service without a name' : service}, last <Moment at={lastSeen} />
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  )
}

function Totals({ series, flag }: { readonly series: readonly EvaluationSeries[]; readonly flag: Flag }) {
  const total = series.reduce((sum, each) => sum + each.total, 0)
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Totals">
      <table>
        <thead>
          <tr>
            <th scope="col">Variation</th>
            <th scope="col">Reason</th>
            <th scope="col" class="amount">
              Evaluations
            </th>
            <th scope="col" class="amount">
              Share
            </th>
          </tr>
        </thead>
        <tbody>
          {[...series]
            .sort((a, b) => b.total - a.total)
            .map(({ variation, reason, error, unbucketed, total: own }, i) => (
              <tr key={i}>
                <td>{variation === null ? <span class="bad">✕ error</span> : <Variation name={variation} flag={flag} />}</td>
                <td>
                  <code>{error ?? reason}</code> {unbucketed && <small class="warn">▲ nothing to split by</small>}
                </td>
                <td class="amount">{own.toLocaleString('en')}</td>
                <td class="amount">{total === 0 ? '' : `${((own * 100) / total).toFixed(1)} %`}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  )
}

function Over({ answer, lines, flag }: { readonly answer: Answer; readonly lines: readonly Line[]; readonly flag: Flag }) {
  const start = Date.parse(answer.since)
  const stepMs = STEP_MS[answer.step] ?? 60_000
  const counts = lines[0]?.counts ?? []
  return (
    <Chart
      label={`Evaluations over time, ${counts.length} steps of ${answer.step}: ${lines
        .map(({ variation, total }) => `${variation ?? 'error'} ${total.toLocaleString('en')}`)
        .join(', ')}`}
      times={counts.map((_, i) => start + i * stepMs)}
      lines={lines.map(({ variation, counts: values }, i) => ({
        name: variation ?? 'error',
        color: variation === null ? '--bad' : `--v${indexOf(flag, variation)}`,
        values,
        isDashed: i % 2 === 1,
      }))}
      tick={value => value.toLocaleString('en', { notation: 'compact' })}
    />
  )
}

/** One line for each variation, in the flag's order, whatever the reasons; errors last. */
function linesOf(series: readonly EvaluationSeries[], flag: Flag): Line[] {
  const sums = new Map<string | null, number[]>()
  for (const { variation, counts } of series) {
    const known = sums.get(variation)
    sums.set(variation, known === undefined ? [...counts] : known.map((count, i) => count + (counts[i] ?? 0)))
  }
  const order = (variation: string | null): number => (variation === null ? Infinity : indexOf(flag, variation))
  return [...sums]
    .map(([variation, counts]) => ({ variation, counts, total: counts.reduce((all, count) => all + count, 0) }))
    .sort((a, b) => order(a.variation) - order(b.variation))
}
