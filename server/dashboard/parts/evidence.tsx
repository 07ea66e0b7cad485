/** What the guards of a plan have seen: shares, outcomes, the evidence against the line, and what this step could find. */
import type { PlanEvidence } from '../../../schemas/plan.ts'
import { Chart } from './chart.tsx'
import { numberText, shareOf, Table, Tile, Tiles } from './figure.tsx'
import { Moment } from './moment.tsx'
import { State, type Tone } from './state.tsx'

type Guard = PlanEvidence['guards'][number]

const GUARD_TONES: Readonly<Record<Guard['state'], Tone>> = { watching: 'good', fired: 'bad', blind: 'quiet' }
const GUARD_WORDS: Readonly<Record<Guard['state'], string>> = { watching: 'watching', fired: 'fired', blind: 'sees nothing' }

export function Evidence({ evidence }: { readonly evidence: PlanEvidence }) {
  const { variation, control, percent, share, exposures, guards, detectable, text, lastSliceAt, logE, line } = evidence
  const compared = guards.find(({ rising }) => rising !== null)
  return (
    <section>
      <h2>Evidence</h2>
      <p class="said">
        {text}
        {lastSliceAt !== null && (
          <>
            ; last outcomes <Moment at={lastSliceAt} />
          </>
        )}
      </p>
      <Tiles>
        <Tile name={`Served ${variation}`}>{numberText(percent, 3)} %</Tile>
        <Tile name="Share of contexts seen" tone={share === null || share.kind === 'as-configured' ? '' : 'bad'}>
          {share?.observed == null ? '–' : `${numberText(share.observed * 100, 2)} %`} {share !== null && <small>{share.text}</small>}
        </Tile>
        <Tile name={`Contexts under ${variation}`}>{numberText(exposures.rising)}</Tile>
        <Tile name={`Contexts under ${control}`}>{numberText(exposures.control)}</Tile>
        {compared !== undefined && (
          <>
            <Tile name={`Bad under ${variation}`}>
              {shareOf(compared.rising?.bad ?? 0, compared.rising?.contexts ?? 0)} <small>{numberText(compared.rising?.bad ?? 0)}</small>
            </Tile>
            <Tile name={`Bad under ${control}`}>
              {shareOf(compared.control?.bad ?? 0, compared.control?.contexts ?? 0)} <small>{numberText(compared.control?.bad ?? 0)}</small>
            </Tile>
          </>
        )}
        <Tile name="Evidence of harm" tone={logE >= line ? 'bad' : ''}>
          × {factorText(logE / Math.LN10)} <small>turns back at × {factorText(line / Math.LN10)}</small>
        </Tile>
      </Tiles>
      <EvidenceChart evidence={evidence} />
      {detectable !== null && <p class="said">{detectable.text}</p>}
      {guards.length === 0 ? (
        <p class="notice warn">▲ Nothing guards this rollout: nobody but a person turns it back.</p>
      ) : (
        <Table
          name="Guards"
          heads={['Guard', 'State', 'Last word', '#Relative risk (95 %)', '#Evidence']}
          rows={guards.map(guard => ({
            key: guard.id,
            cells: [
              <span>
                {guard.id} <small>{guard.dryRun ? 'only says so' : guard.role === 'guardrail' ? 'turns it back' : 'holds it'}</small>
              </span>,
              <State tone={GUARD_TONES[guard.state]}>{GUARD_WORDS[guard.state]}</State>,
              guard.text,
              riskText(guard),
              guard.logE === null ? '–' : `× ${factorText(guard.logE / Math.LN10)}`,
            ],
          }))}
        />
      )}
    </section>
  )
}

/** Powers of ten at the axis, so that each mark is ten times the evidence of the one below. */
function EvidenceChart({ evidence: { series, line, clearLine, logClear } }: { readonly evidence: PlanEvidence }) {
  if (series.length === 0) return <p class="hint">No outcomes yet: applications report them with flags.report or through a valve.</p>
  const top = line / Math.LN10
  const hasClear = clearLine !== null && logClear !== null
  return (
    <Chart
      label={`Evidence of harm over time, on a scale of powers of ten: × ${factorText((series.at(-1)?.logE ?? 0) / Math.LN10)} now; the line at × ${factorText(top)} turns the rollout back`}
      times={series.map(({ at }) => Date.parse(at))}
      tick={value => `× ${factorText(value)}`}
      range={[-1, Math.max(top, hasClear ? clearLine / Math.LN10 : 0) + 0.3]}
      splits={(low, high) => powers(low, high)}
      lines={[
        { name: 'evidence of harm', color: '--busy', values: series.map(({ logE }) => logE / Math.LN10) },
        { name: `turns back at × ${factorText(top)}`, color: '--bad', values: series.map(() => top), isDashed: true },
        ...(hasClear ? [{ name: 'evidence of no harm', color: '--good', values: series.map(each => each.logClear / Math.LN10) }] : []),
      ]}
    />
  )
}

/** Whole powers of ten, no more than eight. */
function powers(low: number, high: number): number[] {
  const [first, last] = [Math.ceil(low), Math.floor(high)]
  const step = Math.max(1, Math.ceil((last - first) / 8))
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step)
}

/** 10 to the power, as people read it. */
function factorText(power: number): string {
  if (power > 6) return `10^${Math.round(power)}`
  if (power < -3) return '<0.001'
  const factor = 10 ** power
  return numberText(factor, factor < 0.1 ? 3 : factor < 1 ? 2 : factor < 10 ? 1 : 0)
}

function riskText({ relativeRisk }: Guard): string {
  if (relativeRisk === null) return '–'
  const { estimate, low, high } = relativeRisk
  const shown = (value: number | null): string => (value === null ? '∞' : numberText(value, 2))
  return `${estimate === null ? '?' : shown(estimate)} (${shown(low)} to ${shown(high)})`
}
