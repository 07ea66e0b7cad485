/** What Prometheus scrapes: the process, the requests, and for every environment its revision, instances, kills and evaluations. */
import type { FastifyInstance } from 'fastify'
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { everyone } from '../access/policy.ts'
import type { Deliveries } from '../hooks/deliveries.ts'
import { rawRoute } from '../http/route.ts'
import type { Lending } from '../limits/lending.ts'
import { logOf, SERVER_LOG } from '../log/types.ts'
import type { OutcomesHandle } from '../outcomes/outcomes.ts'
import type { Notifying } from '../notifiers/notifying.ts'
import type { Services } from '../services.ts'
import type { HubHandle } from '../stream/hub.ts'
import type { TriggersHandle } from '../triggers/triggers.ts'
import type { UsageHandle } from '../telemetry/usage.ts'
import { standingOf } from '../valves/fleet.ts'
import type { ValvesHandle } from '../valves/valves.ts'
import { VALVE_STATES } from '../../schemas/valve.ts'
import { VERSION } from '../version.ts'
import { BUCKETS_S, type Series } from './measure.ts'
import type { Stalls } from './stalls.ts'

export interface MetricSources {
  readonly services: Services
  readonly hub: Pick<HubHandle, 'statistics' | 'receipts'>
  readonly usage: Pick<UsageHandle, 'total' | 'dropped' | 'tracked' | 'storing'>
  readonly outcomes: Pick<OutcomesHandle, 'totals' | 'dropped'>
  readonly lending: Pick<Lending, 'totals'>
  readonly notifying: Pick<Notifying, 'deliveries'>
  readonly valves: Pick<ValvesHandle, 'all'>
  readonly deliveries: Pick<Deliveries, 'counts'>
  readonly triggers: Pick<TriggersHandle, 'all'>
  readonly series: () => readonly Series[]
  readonly stalls: Pick<Stalls, 'count' | 'totalMs'>
}

export function metricsRoutes(app: FastifyInstance, sources: MetricSources): void {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  addGauges(registry, sources)
  rawRoute(
    app,
    { method: 'GET', url: '/metrics', policy: everyone, tag: 'health', summary: 'Metrics in the text format of Prometheus' },
    async (_request, reply) => {
      const body = `${await registry.metrics()}\n${counters(sources)}${endings(sources)}${hooks(sources)}${triggered(sources)}${await limits(sources)}${await notifiers(sources)}${valves(sources)}${durations(sources.series())}`
      return reply.header('content-type', registry.contentType).send(body)
    },
  )
}

/** What goes up and down: asked for at each scrape. */
function addGauges(registry: Registry, { services, hub, usage }: MetricSources): void {
  const registers = [registry]
  const labelNames = ['project', 'environment'] as const
  const perEnvironment = (name: string, help: string, read: (log: string) => number): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        for (const { project, environment } of environmentsIn(services))
          this.set({ project, environment }, read(logOf(project, environment)))
      },
    })
  }
  const single = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  }
  new Gauge({ name: 'sluice_info', help: 'The version that runs.', labelNames: ['version'], registers }).set({ version: VERSION }, 1)
  perEnvironment('sluice_revision', 'The newest revision of the environment.', log => services.log.state(log).revision)
  const newest = (log: string) => hub.receipts(log, services.log.state(log).revision)
  perEnvironment('sluice_instances', 'Connected SDK instances.', log => newest(log).instances)
  perEnvironment('sluice_instances_current', 'Those that have confirmed the newest revision.', log => newest(log).confirmed)
  perEnvironment(
    'sluice_receipt_slowest_seconds',
    'How long the slowest instance took to confirm the newest revision; 0 when none was waited for.',
    log => (newest(log).slowestMs ?? 0) / 1_000,
  )
  perEnvironment('sluice_flags', 'Flags of the environment.', log => services.log.state(log).documents.flag.size)
  perEnvironment('sluice_kills_standing', 'Kills that stand.', log => killsOf(services, log))
  perEnvironment('sluice_alerts_firing', 'Alerts that fire, as monitoring tools said.', log => services.alerts.firing(log).length)
  single('sluice_sockets', 'Open websockets.', () => hub.statistics().sockets)
  single('sluice_client_sockets', 'Those of client keys among them.', () => hub.statistics().clientSockets)
  single('sluice_sockets_behind', 'Open websockets that do not take what they are sent.', () => hub.statistics().behind)
  single('sluice_unsent_bytes', 'Bytes that wait for a websocket to take them.', () => hub.statistics().unsentBytes)
  single('sluice_storage_healthy', 'Whether the last write could be stored.', () => (services.log.status().healthy ? 1 : 0))
  single('sluice_counts_waiting', 'Sums of evaluations that wait to be stored.', () => usage.storing().waiting)
  single('sluice_counts_healthy', 'Whether the last sums of evaluations could be stored.', () => (usage.storing().problem === null ? 1 : 0))
  single('sluice_changes_volatile', 'Changes published but not yet stored.', () => services.log.status().volatile)
}

/** What only grows and is counted elsewhere. prom-client's counters cannot be set, so these lines are written here. */
function counters({ services, hub, usage, stalls }: MetricSources): string {
  const evaluations: string[] = []
  const dropped: string[] = []
  const tracked: string[] = []
  const values: string[] = []
  for (const { project, environment } of environmentsIn(services)) {
    const log = logOf(project, environment)
    const labels = `project=${quoted(project)},environment=${quoted(environment)}`
    evaluations.push(`sluice_evaluations_total{${labels}} ${usage.total(log)}`)
    const lost = usage.dropped(log)
    dropped.push(`sluice_evaluations_dropped_total{${labels},by="sdk"} ${lost.sdk}`)
    dropped.push(`sluice_evaluations_dropped_total{${labels},by="server"} ${lost.server}`)
    for (const { event, count, value } of usage.tracked(log)) {
      tracked.push(`sluice_tracked_total{${labels},event=${quoted(event)}} ${count}`)
      values.push(`sluice_tracked_value{${labels},event=${quoted(event)}} ${value}`)
    }
  }
  const {
    sockets: _sockets,
    clientSockets: _clients,
    instances: _instances,
    behind: _behind,
    unsentBytes: _unsentBytes,
    ...totals
  } = hub.statistics()
  return [
    counter('sluice_evaluations_total', 'Evaluations, as SDKs report them and as OFREP adds them.', evaluations),
    counter('sluice_evaluations_dropped_total', 'Evaluations and tracked events that no longer fitted, in the SDK or here.', dropped),
    counter('sluice_tracked_total', 'Events that applications track.', tracked),
    // A gauge: values may be negative, and the sum then falls.
    metric('sluice_tracked_value', 'Sum of the values that tracked events came with.', 'gauge', values),
    counter('sluice_event_loop_stalls_total', 'Times the event loop stood still for more than 0.2 s.', [
      `sluice_event_loop_stalls_total ${stalls.count}`,
    ]),
    counter('sluice_event_loop_stalled_seconds_total', 'How long it stood still then, added up.', [
      `sluice_event_loop_stalled_seconds_total ${stalls.totalMs / 1_000}`,
    ]),
    ...Object.entries(totals).map(([name, value]) => {
      const metric = `sluice_stream_${name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)}_total`
      return counter(metric, `Of the stream, since the start: ${name}.`, [`${metric} ${value}`])
    }),
  ].join('')
}

/** What tools delivered. Those to no hook at all have no labels but the verdict. */
function hooks({ deliveries }: MetricSources): string {
  const samples = deliveries.counts().map(({ log, hook, verdict, count }) => {
    const [project = '', environment = ''] = log.split('/')
    return `sluice_hook_deliveries_total{project=${quoted(project)},environment=${quoted(environment)},hook=${quoted(hook)},verdict="${verdict}"} ${count}`
  })
  return counter('sluice_hook_deliveries_total', 'Deliveries of monitoring tools, by what became of them.', samples)
}

/** By flag and variation, so that a limit of a rollout can ask for the one that is rolled out. */
function endings({ services, outcomes }: MetricSources): string {
  const samples: Record<'calls' | 'errors' | 'slow' | 'seconds', string[]> = { calls: [], errors: [], slow: [], seconds: [] }
  for (const { project, environment } of environmentsIn(services)) {
    for (const { flag, variation, side, ...total } of outcomes.totals(logOf(project, environment))) {
      const where = `project=${quoted(project)},environment=${quoted(environment)}`
      const labels = `${where},flag=${quoted(flag)},variation=${quoted(variation)},side=${quoted(side)}`
      samples.calls.push(`sluice_outcome_calls_total{${labels}} ${total.allCalls}`)
      samples.errors.push(`sluice_outcome_errors_total{${labels}} ${total.allErrors}`)
      samples.slow.push(`sluice_outcome_slow_total{${labels}} ${total.allSlow}`)
      samples.seconds.push(`sluice_outcome_seconds_total{${labels}} ${total.totalMs / 1_000}`)
    }
  }
  return [
    counter('sluice_outcome_calls_total', 'Calls that ended, by the variation they were made under.', samples.calls),
    counter('sluice_outcome_errors_total', 'Those of them that failed.', samples.errors),
    counter('sluice_outcome_slow_total', 'Those of them that were slow.', samples.slow),
    counter('sluice_outcome_seconds_total', 'How long they took, added up.', samples.seconds),
    counter('sluice_outcomes_dropped_total', 'Rows of outcomes about no variation of a flag, or beyond what fits.', [
      `sluice_outcomes_dropped_total ${outcomes.dropped()}`,
    ]),
  ].join('')
}

function triggered({ triggers }: MetricSources): string {
  const samples = [...triggers.all()].flatMap(([log, trigger, { outcomes }]) => {
    const [project = '', environment = ''] = log.split('/')
    const labels = `project=${quoted(project)},environment=${quoted(environment)},trigger=${quoted(trigger)}`
    return Object.entries(outcomes).map(([outcome, count]) => `sluice_trigger_fires_total{${labels},outcome="${outcome}"} ${count}`)
  })
  return counter('sluice_trigger_fires_total', 'Triggers, by what came of it when an alert that they wait for was told.', samples)
}

/** Per variation, never per key: keys are without number. */
async function limits({ services, lending }: MetricSources): Promise<string> {
  const totals = await lending.totals()
  const samples: Record<'admitted' | 'denied' | 'granted' | 'returned' | 'counters', string[]> = {
    admitted: [],
    denied: [],
    granted: [],
    returned: [],
    counters: [],
  }
  const names = Object.keys(samples) as (keyof typeof samples)[]
  for (const { project, environment } of environmentsIn(services)) {
    for (const total of totals.get(logOf(project, environment)) ?? []) {
      const where = `project=${quoted(project)},environment=${quoted(environment)}`
      const labels = `${where},flag=${quoted(total.flag)},variation=${quoted(total.variation)}`
      for (const name of names)
        samples[name].push(`${name === 'counters' ? 'sluice_limit_keys' : `sluice_limit_${name}_total`}{${labels}} ${total[name]}`)
    }
  }
  return [
    counter('sluice_limit_admitted_total', 'Tokens that instances admitted, by limit.', samples.admitted),
    counter('sluice_limit_denied_total', 'Tokens that instances denied, or would have in shadow mode.', samples.denied),
    counter('sluice_limit_granted_total', 'Tokens lent to instances.', samples.granted),
    counter('sluice_limit_returned_total', 'Lent tokens that came back unspent.', samples.returned),
    metric('sluice_limit_keys', 'Keys that are counted apart.', 'gauge', samples.counters),
  ].join('')
}

/** Per variation, pooled over the instances. */
function valves({ services, valves: { all } }: MetricSources): string {
  const samples = { calls: [], failures: [], slow: [], rejected: [], shadowed: [] } as Record<string, string[]>
  const [states, instances, admitted]: [string[], string[], string[]] = [[], [], []]
  const environments = new Map(environmentsIn(services).map(each => [logOf(each.project, each.environment), each]))
  for (const [log, known] of all()) {
    const place = environments.get(log)
    if (place === undefined) continue
    for (const { flag, variation, state, admit, pool } of known) {
      const where = `project=${quoted(place.project)},environment=${quoted(place.environment)}`
      const labels = `${where},flag=${quoted(flag)},variation=${quoted(variation)}`
      for (const [name, value] of Object.entries(pool.totals())) samples[name]?.push(`sluice_valve_${name}_total{${labels}} ${value}`)
      const standing = standingOf(pool.members(services.clock.monotonic()))
      for (const each of VALVE_STATES) {
        states.push(`sluice_valve_state{${labels},state="${each}"} ${state === each ? 1 : 0}`)
        instances.push(`sluice_valve_instances{${labels},state="${each}"} ${standing[each]}`)
      }
      admitted.push(`sluice_valve_admitted_share{${labels}} ${admit}`)
    }
  }
  return [
    counter('sluice_valve_calls_total', 'Calls that valves let through.', samples.calls ?? []),
    counter('sluice_valve_failures_total', 'Those of them that failed.', samples.failures ?? []),
    counter('sluice_valve_slow_total', 'Those of them that were slow.', samples.slow ?? []),
    counter('sluice_valve_rejected_total', 'Calls that valves turned away.', samples.rejected ?? []),
    counter('sluice_valve_shadowed_total', 'Calls that valves in shadow mode would have turned away.', samples.shadowed ?? []),
    metric('sluice_valve_state', 'Where a valve stands in the fleet: 1 for the state it is in.', 'gauge', states),
    metric('sluice_valve_instances', 'Instances that use a valve, by where they stand.', 'gauge', instances),
    metric('sluice_valve_admitted_share', 'The share of calls that instances let through, on average.', 'gauge', admitted),
  ].join('')
}

async function notifiers({ services, notifying }: MetricSources): Promise<string> {
  const sent: string[] = []
  const waiting: string[] = []
  const leftOut: string[] = []
  const paused: string[] = []
  for (const { project, environment } of environmentsIn(services)) {
    const log = logOf(project, environment)
    const standing = services.log.state(log).documents.notifier
    if (standing.size === 0) continue
    for (const [key, fares] of await notifying.deliveries(log).catch(() => [])) {
      const labels = `project=${quoted(project)},environment=${quoted(environment)},notifier=${quoted(key)}`
      for (const outcome of ['sent', 'failed', 'refused'] as const)
        sent.push(`sluice_notifier_messages_total{${labels},outcome=${quoted(outcome)}} ${fares[outcome]}`)
      waiting.push(`sluice_notifier_waiting{${labels}} ${fares.waiting}`)
      leftOut.push(`sluice_notifier_left_out_total{${labels}} ${fares.leftOut}`)
      paused.push(`sluice_notifier_paused{${labels}} ${standing.get(key)?.paused === null ? 0 : 1}`)
    }
  }
  return [
    counter('sluice_notifier_messages_total', 'Messages that notifiers sent, tries that failed, and messages refused for good.', sent),
    metric('sluice_notifier_waiting', 'Messages that wait to be sent.', 'gauge', waiting),
    counter('sluice_notifier_left_out_total', 'Messages that found no room in the outbox.', leftOut),
    metric('sluice_notifier_paused', 'Whether a notifier is paused.', 'gauge', paused),
  ].join('')
}

function counter(name: string, help: string, samples: readonly string[]): string {
  return metric(name, help, 'counter', samples)
}

function metric(name: string, help: string, type: 'counter' | 'gauge', samples: readonly string[]): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.map(line => `${line}\n`).join('')}`
}

function durations(all: readonly Series[]): string {
  const name = 'sluice_http_request_duration_seconds'
  const lines = [`# HELP ${name} Time from a request to its answer, by route.`, `# TYPE ${name} histogram`]
  for (const { method, route, status, counts, sum, count } of all) {
    const labels = `method=${quoted(method)},route=${quoted(route)},status=${quoted(status)}`
    let upTo = 0
    for (const [i, end] of BUCKETS_S.entries()) {
      upTo += counts[i] ?? 0
      lines.push(`${name}_bucket{${labels},le="${end}"} ${upTo}`)
    }
    lines.push(`${name}_bucket{${labels},le="+Inf"} ${count}`, `${name}_sum{${labels}} ${sum}`, `${name}_count{${labels}} ${count}`)
  }
  return `${lines.join('\n')}\n`
}

function quoted(text: string): string {
  return `"${text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`
}

function environmentsIn(services: Services): readonly { readonly project: string; readonly environment: string }[] {
  return [...services.log.state(SERVER_LOG).documents.environment.values()]
}

function killsOf(services: Services, log: string): number {
  let count = 0
  for (const flag of services.log.state(log).documents.flag.values()) count += flag.kills.length
  return count
}
