/**
 * A real Prometheus and its Alertmanager for tests: the system's own, on free ports of the loopback, with their data in the
 * test's folder. Where there is none the test is skipped and says so; with `SLUICE_PROMETHEUS_REQUIRED=1` it fails.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { plainEnvironment } from './server/process.ts'

interface Teardown {
  teardown(run: () => unknown): void
}

const REQUIRED = 'SLUICE_PROMETHEUS_REQUIRED'
/** Machines are busy. */
const WAIT_MS = 60_000
const ASK_MS = 100

export interface Prometheus {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** Resolves when the query gives a number that is as it should be. */
  until(query: string, is: (value: number) => boolean): Promise<void>
  stop(): Promise<void>
}

/** A test that needs a program of the system: skipped with a word where it is missing, failed where it is required. */
export function programTest(t: Test, program: string, name: string, run: (t: Test, path: string) => Promise<void>): void {
  const path = findProgram(program)
  const none = `no ${program} on this machine: install the package of that name`
  if (path === null && process.env[REQUIRED] !== '1') {
    t.test(name, { skip: none }, async () => undefined)
    return
  }
  t.test(name, async t => {
    if (path === null) throw new Error(`${none} (${REQUIRED}=1)`)
    await run(t, path)
  })
}

/** Null where there is none. */
export function findProgram(program: string): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return folders.map(folder => join(folder, program)).find(path => existsSync(path)) ?? null
}

/**
 * Starts a program of the system, stopped by the end of the test.
 * @param listening finds in what it prints the address that it listens on
 */
export async function startProgram(
  t: Teardown,
  path: string,
  options: readonly string[],
  listening: RegExp,
): Promise<{ readonly address: string; stop(): Promise<void> }> {
  const child = spawn(path, options, { env: plainEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => stopped(child))
  let printed = ''
  const address = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${path} does not listen:\n${printed}`)), WAIT_MS)
    const read = (text: string): void => {
      printed += text
      const found = listening.exec(printed)?.[1]
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    }
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', read)
    child.once('error', reject)
    child.once('exit', code => {
      clearTimeout(timer)
      reject(new Error(`${path} ended with ${code}:\n${printed}`))
    })
  })
  return { address, stop: () => stopped(child) }
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** @param target what it scrapes every second, as in `http://127.0.0.1:4000` */
export async function startPrometheus(t: Teardown, path: string, folder: string, target: string): Promise<Prometheus> {
  const config = join(folder, 'prometheus.json')
  // Every JSON is YAML.
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s' },
      scrape_configs: [{ job_name: 'sluice', static_configs: [{ targets: [new URL(target).host] }] }],
    }),
  )
  const { address, stop } = await startProgram(
    t,
    path,
    [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'prometheus')}`, '--web.listen-address=127.0.0.1:0'],
    /msg="Listening on" address=(\S+)/,
  )
  const url = `http://${address}`
  return {
    url,
    stop,
    async until(query, is) {
      const end = performance.now() + WAIT_MS
      for (;;) {
        const answer = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query }).toString()}`)
        // Before it has read its data it answers that it is not ready.
        const text = await answer.text()
        const [first] = answer.ok ? ((JSON.parse(text) as { data: { result: { value: [number, string] }[] } }).data.result ?? []) : []
        if (first !== undefined && is(Number(first.value[1]))) return
        if (performance.now() > end) throw new Error(`${query} did not come to be so: ${text}`)
        await pause(ASK_MS)
      }
    },
  }
}

/** As its package is named, and what it installs. */
export const ALERTMANAGER = 'prometheus-alertmanager'

export interface Alertmanager {
  /** Takes alerts as Prometheus gives them: those without an end fire. */
  post(alerts: readonly { labels: object; annotations?: object; startsAt: string; endsAt?: string }[]): Promise<void>
}

/** @param config the whole of its file, as YAML */
export async function startAlertmanager(t: Teardown, path: string, folder: string, config: string): Promise<Alertmanager> {
  const file = join(folder, 'alertmanager.yml')
  writeFileSync(file, config)
  const { address } = await startProgram(
    t,
    path,
    [
      `--config.file=${file}`,
      `--storage.path=${join(folder, 'alertmanager')}`,
      '--web.listen-address=127.0.0.1:0',
      // Without a cluster, which would listen on every address.
      '--cluster.listen-address=',
    ],
    /msg="Listening on" address=(\S+)/,
  )
  return {
    async post(alerts) {
      const answer = await fetch(`http://${address}/api/v2/alerts`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(alerts),
      })
      if (!answer.ok) throw new Error(`Alertmanager answered ${answer.status}: ${await answer.text()}`)
    },
  }
}
