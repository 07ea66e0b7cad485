/**
 * Where a story is played: a server of its own process on a real SQLite file, shops with real SDK instances, and the
 * command line as an operator types it. The same stories run as tests and, with their lines printed, as the demo.
 */
import { spawn } from 'node:child_process'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Flag, FlagInput } from '../../schemas/flag.ts'
import type { Instance } from '../../schemas/instance.ts'
import { manualClock } from '../clock.ts'
import { startProxy } from '../sdk/baddays/proxy.ts'
import { plainEnvironment, startProcess, type ServerProcess } from '../server/process.ts'
import { openShop, type Shop } from './shop.ts'

/** How long anything may take before a story fails: generous, because machines are busy. */
const PATIENCE_MS = 60_000
/** Between two looks, where nothing tells of itself. */
const LOOK_MS = 200
/** Time passes in such steps: instances report as often, so that none is late by more than a report. */
const PASS_MS = 5_000
const TICK_MS = 10
const PROJECT = '/api/v1/projects/default'
const CLI = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

/** What a story is told on. `equal` and `ok` stop the story when they do not hold. */
export interface Told {
  say(line: string): void
  equal(actual: unknown, expected: unknown, what: string): void
  ok(value: unknown, what: string): void
}

export interface Story {
  readonly title: string
  /** A program of the system without which it cannot be played, by the name of its package. */
  readonly needs?: string
  /** More variables for the server. */
  readonly environment?: Readonly<Record<string, string>>
  /** Time passes, for the server and the shops, only when the story says so: days of it in seconds. */
  readonly movesClock?: true
  play(stage: Stage): Promise<void>
}

export interface Stage extends Told {
  /** The folder for what must survive a restart. */
  readonly folder: string
  /** A call to the public API; fails the story when the answer is not a success. */
  api(method: string, path: string, body?: unknown): Promise<unknown>
  /** Creates a flag and gives it these settings in production. */
  flag(input: FlagInput): Promise<void>
  /** The flag as it stands in production. */
  read(key: string): Promise<Flag>
  instances(): Promise<readonly Instance[]>
  /** Opens shops, each with an SDK instance of its own. */
  shops(count: number, options?: { cache?: boolean }): Promise<Shop[]>
  shop(name: string, options?: { cache?: boolean; url?: string }): Promise<Shop>
  /** Opens shops whose way to the server can be cut: then bytes vanish, and neither end learns of the other's. */
  shopsFarAway(count: number): Promise<{ readonly shops: Shop[]; cutOff(isCut: boolean): void }>
  /** Runs `sluice …`, prints the line and its output, and answers the output. */
  sluice(line: string): Promise<string>
  /** The same, of a command that is to be refused. */
  refused(line: string): Promise<string>
  /** In a story that moves the clock: time passes, what shops have to report is reported, and what falls due is done. */
  pass(ms: number): Promise<void>
  /** Waits until it holds for every shop, looking again after each change that reaches it. */
  until(shops: readonly Shop[], holds: (shop: Shop) => boolean, what: string): Promise<void>
  /** Looks again and again until it holds: for what the server knows, and no shop is told of. */
  eventually(holds: () => Promise<boolean>, what: string): Promise<void>
  /** The server goes dark, as with `kill -9`. */
  serverDies(): Promise<void>
  /** The server comes back on the same port with the same data. */
  serverReturns(): Promise<void>
  /** As for an upgrade: it ends in its own time and comes back. */
  serverRestarts(): Promise<void>
  /** Run at the end of the story, however it ends. */
  teardown(run: () => unknown): void
}

/** Sets a stage, plays one story on it, and clears it whatever happens. */
export async function play(story: Story, told: Told, folder: string): Promise<void> {
  const { environment = {} } = story
  const clock = story.movesClock === true ? manualClock() : null
  const start = (options: { port?: number; adminKey?: string } = {}): Promise<ServerProcess> =>
    startProcess({ data: `${folder}/data`, environment, ...options, ...(clock === null ? {} : { clockAt: clock.now() }) })
  let server: ServerProcess = await start()
  let isDark = false
  const open: Shop[] = []
  const ends: (() => unknown)[] = []
  const { port, adminKey } = server

  const stage: Stage = {
    ...told,
    folder,
    async api(method, path, body) {
      const response = await fetch(`${server.url}${PROJECT}${path}`, {
        method,
        headers: { authorization: `Bearer ${adminKey}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`)
      return text === '' ? null : JSON.parse(text)
    },
    async flag(input) {
      await stage.api('POST', '/flags', input)
    },
    async read(key) {
      return (await stage.api('GET', `/environments/production/flags/${key}`)) as Flag
    },
    async instances() {
      return ((await stage.api('GET', '/environments/production/instances')) as { instances: Instance[] }).instances
    },
    async shop(name, options = {}) {
      const shop = await openShop({
        name,
        url: options.url ?? server.url,
        key: await productionKey(),
        ...(options.cache === true ? { cache: `${folder}/${name}.json` } : {}),
        ...(clock === null ? {} : { clock }),
      })
      open.push(shop)
      return shop
    },
    async shops(count, options) {
      return Promise.all(Array.from({ length: count }, (_, i) => stage.shop(`shop-${i + 1}`, options)))
    },
    async shopsFarAway(count) {
      const proxy = await startProxy(stage, server.url)
      const names = Array.from({ length: count }, (_, i) => `far-shop-${i + 1}`)
      return { shops: await Promise.all(names.map(name => stage.shop(name, { url: proxy.url }))), cutOff: isCut => proxy.freeze(isCut) }
    },
    async sluice(line) {
      const { code, output } = await type(line)
      if (code !== 0) throw new Error(`sluice ${line} ended with ${code}:\n${output}`)
      return output
    },
    async refused(line) {
      const { code, output } = await type(line)
      if (code === 0) throw new Error(`sluice ${line} was not refused:\n${output}`)
      return output
    },
    async pass(ms) {
      if (clock === null) throw new Error('this story does not move the clock: set movesClock')
      for (let left = ms; left > 0; left -= PASS_MS) {
        const step = Math.min(left, PASS_MS)
        clock.advance(step)
        // What shops send is on its way before the server is told.
        await turn()
        await turn()
        if (!isDark) await server.advance(step)
        await turn()
      }
    },
    async until(shops, holds, what) {
      await Promise.all(shops.map(shop => untilOne(shop, holds, what)))
    },
    async eventually(holds, what) {
      const end = performance.now() + PATIENCE_MS
      while (!(await holds())) {
        if (performance.now() > end) throw new Error(`after ${PATIENCE_MS / 1000} s it still did not hold that ${what}`)
        await wait(LOOK_MS)
      }
    },
    async serverDies() {
      isDark = true
      await server.kill()
    },
    async serverReturns() {
      server = await start({ port, adminKey })
      isDark = false
    },
    async serverRestarts() {
      isDark = true
      await server.stop()
      await stage.serverReturns()
    },
    teardown(run) {
      ends.push(run)
    },
  }

  const type = async (line: string): Promise<{ code: number | null; output: string }> => {
    told.say(`$ sluice ${line}`)
    const ran = await run(splitLine(line), { SLUICE_URL: server.url, SLUICE_KEY: adminKey, XDG_CONFIG_HOME: folder })
    for (const printed of ran.output.trimEnd().split('\n')) told.say(`  ${printed}`)
    return ran
  }

  // What is to be done at once is a timer of no time. Coming back to the server, and the end, take some.
  let isOver = false
  const isApart = (): boolean => !isDark && open.some(({ flags }) => !flags.status().connected)
  const ticks = clock === null ? null : setInterval(() => clock.advance(isOver || isApart() ? 10 * TICK_MS : 0), TICK_MS)
  // One key for all shops, made when the first one opens.
  let key: Promise<string> | null = null
  const productionKey = (): Promise<string> => (key ??= makeKey(server))

  try {
    await story.play(stage)
  } finally {
    isOver = true
    await Promise.allSettled(open.map(shop => shop.close()))
    await Promise.allSettled(ends.map(async end => end()))
    if (ticks !== null) clearInterval(ticks)
    await server.stop()
  }
}

async function makeKey(server: ServerProcess): Promise<string> {
  const response = await fetch(`${server.url}/api/v1/keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.adminKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ kind: 'server', name: 'shop', project: 'default', environment: 'production' }),
  })
  if (!response.ok) throw new Error(`no key for the shops: ${response.status} ${await response.text()}`)
  return ((await response.json()) as { token: string }).token
}

function untilOne(shop: Shop, holds: (shop: Shop) => boolean, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => finish(new Error(`${shop.name}: after ${PATIENCE_MS / 1000} s it still did not hold that ${what}`)),
      PATIENCE_MS,
    )
    const look = (): void => {
      if (holds(shop)) finish()
    }
    const ends = [shop.flags.on('change', look), shop.flags.on('ready', look), shop.flags.on('stale', look)]
    function finish(error?: Error): void {
      clearTimeout(late)
      for (const end of ends) end()
      if (error === undefined) resolve()
      else reject(error)
    }
    look()
  })
}

/** One run of the command line in a process of its own. Both outputs together, as a terminal shows them. */
export function run(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, ...words], {
      env: { ...plainEnvironment(), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const parts: Buffer[] = []
    child.stdout.on('data', (part: Buffer) => parts.push(part))
    child.stderr.on('data', (part: Buffer) => parts.push(part))
    child.on('error', reject)
    child.on('close', code => resolve({ code, output: Buffer.concat(parts).toString() }))
  })
}

/** A line as a shell splits it: blanks part words, quotes keep them together. */
export function splitLine(line: string): string[] {
  return [...line.matchAll(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g)].map(([word]) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, (_, double, single) => double ?? single),
  )
}

/** The line of an output that undoes it: the one that starts with `sluice lift`. */
export function undoLine(output: string): string {
  const line = output.split('\n').find(candidate => candidate.trim().startsWith('sluice lift'))
  if (line === undefined) throw new Error(`no line of the output says how to undo it:\n${output}`)
  return line.trim().slice('sluice '.length)
}

/** The revision that a write has made, as its output tells it. */
export function revisionOf(output: string): number {
  const revision = /^ *revision +(\d+)$/m.exec(output)?.[1]
  if (revision === undefined) throw new Error(`the output names no new revision:\n${output}`)
  return Number(revision)
}
