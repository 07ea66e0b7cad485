/** Lines over time. What draws them comes when the first is shown; without it the figures beside it say the same. */
import { useEffect, useRef } from 'preact/hooks'
import type uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import './live.css'

export interface Line {
  readonly name: string
  /** A colour of the style sheet: `--bad`. */
  readonly color: string
  readonly values: readonly (number | null)[]
  readonly isDashed?: boolean
}

export interface ChartProps {
  /** What it shows, for who does not see it. */
  readonly label: string
  /** Milliseconds since 1970. */
  readonly times: readonly number[]
  readonly lines: readonly Line[]
  /** What stands at the vertical axis. */
  readonly tick: (value: number) => string
  /** What the vertical axis holds at least. */
  readonly range?: readonly [number, number]
  /** Where the axis has its marks; as it comes unless given. */
  readonly splits?: (min: number, max: number) => number[]
}

const HEIGHT = 190
/** A line that has just begun stands at the right edge. */
const SPAN_LEAST_S = 60

export function Chart(props: ChartProps) {
  const { label, lines } = props
  const box = useRef<HTMLDivElement>(null)
  const drawn = useRef<uPlot | null>(null)
  const latest = useRef(props)
  latest.current = props

  useEffect(() => {
    const element = box.current
    if (element === null) return
    let isOver = false
    const redraw = (): void => drawn.current?.redraw(false, true)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    const themes = new MutationObserver(redraw)
    const sizes = new ResizeObserver(() => drawn.current?.setSize({ width: element.clientWidth, height: HEIGHT }))
    void import('uplot').then(({ default: UPlot }) => {
      if (isOver) return
      drawn.current = new UPlot(optionsOf(element, latest), dataOf(latest.current), element)
      dark.addEventListener('change', redraw)
      themes.observe(document.documentElement, { attributeFilter: ['data-theme'] })
      sizes.observe(element)
    })
    return () => {
      isOver = true
      dark.removeEventListener('change', redraw)
      themes.disconnect()
      sizes.disconnect()
      drawn.current?.destroy()
      drawn.current = null
    }
  }, [lines.map(({ name }) => name).join()])

  useEffect(() => drawn.current?.setData(dataOf(props)))

  return (
    <figure class="chart">
      <figcaption>
        {lines.map(({ name, color, isDashed = false }) => (
          <span key={name}>
            <svg viewBox="0 0 20 4" aria-hidden="true" class={color.replace('--', '')}>
              <line x1="0" x2="20" y1="2" y2="2" stroke-dasharray={isDashed ? '4 3' : undefined} />
            </svg>{' '}
            {name}
          </span>
        ))}
      </figcaption>
      <div ref={box} role="img" aria-label={label} />
    </figure>
  )
}

function dataOf({ times, lines }: ChartProps): uPlot.AlignedData {
  const [first, last] = [(times[0] ?? 0) / 1_000, (times.at(-1) ?? 0) / 1_000]
  const isShort = last - first < SPAN_LEAST_S
  const before = isShort ? [last - SPAN_LEAST_S] : []
  return [[...before, ...times.map(at => at / 1_000)], ...lines.map(({ values }) => [...before.map(() => null), ...values])]
}

function optionsOf(element: HTMLElement, latest: { readonly current: ChartProps }): uPlot.Options {
  const color = (name: string) => (): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
  const axis = {
    stroke: color('--quiet'),
    grid: { stroke: color('--pico-muted-border-color'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  }
  const { splits } = latest.current
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    scales: {
      y: {
        range: (_plot, low, high) => {
          const [least, most] = latest.current.range ?? [0, 1]
          return [Math.min(low ?? least, least), Math.max((high ?? most) * 1.05, most)]
        },
      },
    },
    axes: [
      {
        ...axis,
        ...{ space: 70, size: 28 },
        values: (plot, ticks) => ticks.map(tick => timeText(tick, (plot.scales.x?.max ?? 0) - (plot.scales.x?.min ?? 0))),
      },
      {
        ...axis,
        size: 62,
        values: (_plot, ticks) => ticks.map(tick => latest.current.tick(tick)),
        ...(splits === undefined ? {} : { splits: (_plot: uPlot, _i: number, min: number, max: number) => splits(min, max) }),
      },
    ],
    series: [
      {},
      ...latest.current.lines.map(line => ({
        stroke: color(line.color),
        width: 2,
        points: { show: (plot: uPlot) => plot.data[0].length <= 2 },
        ...(line.isDashed === true ? { dash: [6, 4] } : {}),
      })),
    ],
  }
}

/** @param span of the axis, in seconds: of a short one the seconds are said */
function timeText(seconds: number, span: number): string {
  const time = { hour: '2-digit', minute: '2-digit' } as const
  return new Date(seconds * 1_000).toLocaleTimeString('en-GB', span < 600 ? { ...time, second: '2-digit' } : time)
}
