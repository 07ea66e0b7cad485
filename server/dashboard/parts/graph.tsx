/** The flags that this one needs, and those that need it, as a small graph; what a kill of it would reach is to its right. */
import type { Flag } from '../../../schemas/flag.ts'
import { linkTo } from '../route.ts'

const WIDTH = 190
const HEIGHT = 30
const GAP_X = 60
const GAP_Y = 10
/** Of one column; a parent of hundreds says how many more there are. */
const SHOWN_MAX = 8
const NAME_MAX = 24

interface Node {
  readonly key: string
  readonly x: number
  readonly y: number
  readonly mark: string
  readonly isOwn: boolean
}

export function Graph({ flag, flags }: { readonly flag: Flag; readonly flags: readonly Flag[] }) {
  const byKey = new Map(flags.map(each => [each.key, each]))
  const parents = flag.prerequisites.map(each => each.flag)
  const grandparents = distinct(
    parents.flatMap(key => byKey.get(key)?.prerequisites.map(each => each.flag) ?? []),
    [...parents, flag.key],
  )
  const children = childrenOf(flags, [flag.key])
  const grandchildren = distinct(childrenOf(flags, children), [...children, flag.key])
  if (parents.length + children.length === 0) return null
  const columns = [grandparents, parents, [flag.key], children, grandchildren].filter(column => column.length > 0)
  const rows = Math.max(...columns.map(column => Math.min(column.length, SHOWN_MAX + 1)))
  const height = rows * (HEIGHT + GAP_Y)
  const nodes = columns.flatMap((column, i) => placed(column, i, height, byKey, flag))
  const at = new Map(nodes.map(node => [node.key, node]))
  const links = [flag, ...flags.filter(each => each.key !== flag.key)].flatMap(child =>
    child.prerequisites.flatMap(parent => {
      const [from, to] = [at.get(parent.flag), at.get(child.key)]
      return from === undefined || to === undefined ? [] : [{ from, to, label: parent.variations.join(' or ') }]
    }),
  )
  const width = columns.length * WIDTH + (columns.length - 1) * GAP_X
  return (
    <div class="scroll graph" tabIndex={0} role="region" aria-label="What needs what">
      <svg width={width + 2} height={height + 2} viewBox={`-1 -1 ${width + 2} ${height + 2}`} role="presentation">
        {links.map(({ from, to, label }) => {
          const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2]
          return (
            <g key={`${from.key} ${to.key}`}>
              <path d={`M${x1},${y1} C${x1 + GAP_X / 2},${y1} ${x2 - GAP_X / 2},${y2} ${x2 - 6},${y2}`} class="link" />
              <path d={`M${x2 - 7},${y2 - 4} L${x2},${y2} L${x2 - 7},${y2 + 4}`} class="tip" />
              <title>{`${to.key} needs ${from.key} to be ${label}`}</title>
            </g>
          )
        })}
        {nodes.map(node => (
          <NodeBox key={node.key} node={node} />
        ))}
      </svg>
      <p class="hint">
        {children.length === 0
          ? 'No flag needs this one.'
          : `${children.length + grandchildren.length} ${children.length + grandchildren.length === 1 ? 'flag needs' : 'flags need'} this one: killing it turns ${children.length + grandchildren.length === 1 ? 'it' : 'them'} off as well.`}
      </p>
    </div>
  )
}

function NodeBox({ node: { key, x, y, mark, isOwn } }: { readonly node: Node }) {
  const box = (
    <>
      <rect x={x} y={y} width={WIDTH} height={HEIGHT} rx={6} class={isOwn ? 'node own' : 'node'} />
      <text x={x + 10} y={y + HEIGHT / 2 + 5}>
        {mark} {key.length > NAME_MAX ? `${key.slice(0, NAME_MAX - 1)}…` : key}
      </text>
      <title>{key}</title>
    </>
  )
  return isOwn || key.startsWith('+') ? <g>{box}</g> : <a href={linkTo('flags', [key])}>{box}</a>
}

function placed(column: readonly string[], i: number, height: number, byKey: ReadonlyMap<string, Flag>, flag: Flag): Node[] {
  const shown = column.length > SHOWN_MAX + 1 ? [...column.slice(0, SHOWN_MAX), `+ ${column.length - SHOWN_MAX} more`] : column
  const top = (height - shown.length * (HEIGHT + GAP_Y)) / 2
  return shown.map((key, row) => {
    const known = key === flag.key ? flag : byKey.get(key)
    const mark = known === undefined ? '' : known.kills.length > 0 ? '■' : known.enabled ? '●' : '○'
    return { key, x: i * (WIDTH + GAP_X), y: top + row * (HEIGHT + GAP_Y), mark, isOwn: key === flag.key }
  })
}

function childrenOf(flags: readonly Flag[], keys: readonly string[]): string[] {
  return flags.filter(each => each.prerequisites.some(parent => keys.includes(parent.flag))).map(each => each.key)
}

function distinct(keys: readonly string[], without: readonly string[]): string[] {
  return [...new Set(keys)].filter(key => !without.includes(key))
}
