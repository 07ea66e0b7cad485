/**
 * Runs the benches one after the other, each in a process of its own, and writes what they print to `RESULTS.md`.
 *
 *     npm run bench                       all of them
 *     npm run bench -- evaluate memory    these, whose sections are replaced; the others stay as they are
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { loadavg, release, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import { machine, parseBudget, print, table } from './report.ts'

/** In the order of the sections. `file` is below this folder; a name is unique. */
const BENCHES: readonly Bench[] = [
  { name: 'evaluate', file: 'evaluate.js' },
  { name: 'memory', file: 'memory.js' },
  { name: 'ofrep', file: 'ofrep.js' },
  { name: 'openfeature', file: 'openfeature.js' },
  { name: 'limits', file: 'limits.js', nodeArgs: ['--expose-gc'] },
  { name: 'valves', file: 'valves.js' },
  { name: 'outcomes', file: 'outcomes.js' },
  { name: 'limithub', file: 'limithub.js' },
  { name: 'fanout', file: 'fanout.js' },
  { name: 'slow', file: 'slow.js' },
  { name: 'idle', file: 'idle.js' },
  { name: 'storm', file: 'storm.js' },
  { name: 'telemetry', file: 'telemetry.js' },
  { name: 'rollouts', file: 'rollouts.js' },
  { name: 'crash', file: 'crash.js', args: ['2000'] },
]
/** A bench that takes longer hangs. */
const TIMEOUT_MS = 60 * 60_000

const root = fileURLToPath(new URL('../..', import.meta.url))
const RESULTS = `${root}bench/RESULTS.md`
const HEAD = ['bench', 'budget', 'limit', 'measured', 'verdict']

interface Bench {
  readonly name: string
  readonly file: string
  readonly args?: readonly string[]
  /** Of Node itself, such as `--expose-gc`. */
  readonly nodeArgs?: readonly string[]
}

interface Section {
  readonly name: string
  /** Of the table of budgets, one row each, cells as in `HEAD`. */
  readonly budgets: readonly (readonly string[])[]
  readonly text: string
}

await main(process.argv.slice(2))

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.filter(name => !BENCHES.some(bench => bench.name === name))
  if (unknown.length > 0) {
    print(`There is no bench ${unknown.join(', ')}. There are: ${BENCHES.map(bench => bench.name).join(', ')}.`)
    process.exitCode = 2
    return
  }
  const sections = existsSync(RESULTS) ? parseResults(readFileSync(RESULTS, 'utf8')) : new Map<string, Section>()
  for (const bench of BENCHES) {
    if (names.length > 0 && !names.includes(bench.name)) continue
    print(`\n=== ${bench.name}`)
    const at = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, load ${loadavg()[0]?.toFixed(1)}`
    const { output, problem } = await run(bench)
    if (problem !== null) process.exitCode = 1
    sections.set(bench.name, sectionOf(bench, at, output, problem))
    // After each: what took minutes is not lost with what comes after it.
    writeFileSync(RESULTS, resultsOf(sections))
  }
  print(`\n${table([HEAD, ...rowsOf(sections)])}\n\nWritten to bench/RESULTS.md.`)
}

/** What it printed, and why that is not all of it; null when it is. */
async function run({ file, args = [], nodeArgs = [] }: Bench): Promise<{ output: string; problem: string | null }> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = spawn(process.execPath, [...nodeArgs, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    process.stdout.write(text)
  })
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, TIMEOUT_MS)
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve([code, signal]))
  })
  clearTimeout(timer)
  if (isLate) return { output, problem: `it took longer than ${TIMEOUT_MS / 60_000} minutes` }
  return { output, problem: code === 0 ? null : `it ended with ${code === null ? `signal ${signal}` : `exit code ${code}`}` }
}

function sectionOf(bench: Bench, at: string, output: string, problem: string | null): Section {
  const lines = output.split('\n')
  const budgets = lines.flatMap(line => {
    const stated = parseBudget(line)
    return stated === null ? [] : [[bench.name, stated.name, stated.limit, stated.measured, stated.isMet ? 'met' : '**missed**']]
  })
  if (problem !== null) budgets.push([bench.name, 'runs to its end', 'yes', problem, '**missed**'])
  const command = ['node', ...(bench.nodeArgs ?? []), `dist/bench/${bench.file}`, ...(bench.args ?? [])].join(' ')
  const said = lines.filter(line => parseBudget(line) === null).join('\n')
  return { name: bench.name, budgets, text: `\`${command}\`, ${at}\n\n${markdownOf(said)}` }
}

/** Tables stay as they are; what is lined up by spaces is kept from being joined to paragraphs. */
function markdownOf(text: string): string {
  const blocks = text
    .trim()
    .split(/(?:^|\n)((?:\|.*(?:\n|$))+)/)
    .map(block => block.replace(/^\n+|\s+$/g, ''))
    .filter(block => block !== '')
  return blocks.map(block => (block.startsWith('|') ? block : `\`\`\`text\n${block}\n\`\`\``)).join('\n\n')
}

function rowsOf(sections: ReadonlyMap<string, Section>): (readonly string[])[] {
  return BENCHES.flatMap(({ name }) => sections.get(name)?.budgets ?? [])
}

function resultsOf(sections: ReadonlyMap<string, Section>): string {
  const written = BENCHES.flatMap(({ name }) => sections.get(name) ?? [])
  return [
    '# Results',
    'Written by `npm run bench`; each section says when it was measured, and the newest of them was so on:',
    `- machine: ${machine()}, ${type()} ${release()}\n- commit: ${commit()}\n- packages: ${versions()}`,
    '## Budgets',
    table([HEAD, ...rowsOf(sections)]),
    ...written.map(({ name, text }) => `## ${name}\n\n${text}`),
    '',
  ].join('\n\n')
}

/** The sections of a file that `resultsOf` wrote; what is no longer in the list of benches falls away. */
function parseResults(text: string): Map<string, Section> {
  const parts = text.split(/^## (.+)\n/m)
  const sections = new Map<string, Section>()
  let budgets: string[][] = []
  for (let i = 1; i < parts.length; i += 2) {
    const [name = '', body = ''] = [parts[i], parts[i + 1]?.trim()]
    if (name === 'Budgets') {
      const rows = body.split('\n').slice(2)
      budgets = rows.map(row =>
        row
          .split('|')
          .slice(1, -1)
          .map(cell => cell.trim()),
      )
    } else sections.set(name, { name, budgets: budgets.filter(row => row[0] === name), text: body })
  }
  return sections
}

function commit(): string {
  const git = (...args: string[]): string => spawnSync('git', args, { cwd: root, encoding: 'utf8' }).stdout?.trim() ?? ''
  const isChanged = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!bench/RESULTS.md') !== ''
  return `${git('rev-parse', '--short', 'HEAD') || 'unknown'}${isChanged ? ', with changes' : ''}`
}

function versions(): string {
  const read = (file: string) => JSON.parse(readFileSync(`${root}${file}`, 'utf8')) as { dependencies?: Record<string, string> }
  const dependencies = { ...read('sdk/package.json').dependencies, ...read('server/package.json').dependencies }
  const named = Object.entries(dependencies).filter(([name]) => !name.startsWith('@sluice/'))
  return named.map(([name, version]) => `${name} ${version}`).join(', ')
}
