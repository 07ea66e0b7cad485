/** Builds the server: opens its parts in the order they need each other, adds every route, and closes all of it again. */
import fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { SluiceError } from '../schemas/errors.ts'
import { checkKey } from './access/check.ts'
import { guardRoutes, type Registered } from './access/guard.ts'
import { openKeyRing } from './access/keyring.ts'
import { changeRoutes } from './changes/routes.ts'
import { chatRoutes } from './chat/routes.ts'
import { type Clock, systemClock } from './clock.ts'
import { compareRoutes } from './compare/routes.ts'
import type { Config } from './config.ts'
import { type Egress, openEgress } from './egress/egress.ts'
import { environmentRoutes } from './environments/routes.ts'
import { explainRoutes } from './explain/routes.ts'
import { flagRoutes } from './flags/routes.ts'
import { healthRoutes } from './health/routes.ts'
import { addBodyParser, checkBodyType } from './http/body.ts'
import { addErrorAnswers, answerClientError, answerError } from './http/errors.ts'
import { addMethodAnswers } from './http/methods.ts'
import { openAlerts } from './hooks/alerts.ts'
import { openDeliveries } from './hooks/deliveries.ts'
import { hookRoutes } from './hooks/routes.ts'
import { instanceRoutes } from './instances/routes.ts'
import { keyRoutes } from './keys/routes.ts'
import { startExpiry } from './kills/expiry.ts'
import { killRoutes } from './kills/routes.ts'
import { type ApiLimit, openApiLimit } from './limits/api.ts'
import { holdRoutes } from './limits/holdroutes.ts'
import { openLifecycle } from './lifecycle.ts'
import { liveRoutes, openLive } from './live/live.ts'
import { openLending } from './limits/lending.ts'
import { limitRoutes } from './limits/routes.ts'
import { openLogger } from './logger.ts'
import { type OpenedLog, openLog } from './log/log.ts'
import { type Measurement, measureRequests } from './metrics/measure.ts'
import { metricsRoutes } from './metrics/routes.ts'
import { openStalls } from './metrics/stalls.ts'
import { openNotifying } from './notifiers/notifying.ts'
import { notifierRoutes } from './notifiers/routes.ts'
import { ofrepRoutes } from './ofrep/routes.ts'
import { openOutcomes } from './outcomes/outcomes.ts'
import { outcomeRoutes } from './outcomes/routes.ts'
import { openapiRoutes } from './openapi/routes.ts'
import { projectRoutes } from './projects/routes.ts'
import { measureThrough } from './rollouts/promql.ts'
import { openRollouts } from './rollouts/rollouts.ts'
import { rolloutRoutes } from './rollouts/routes.ts'
import { openRulesets } from './rulesets/prepared.ts'
import { rulesetRoutes } from './rulesets/routes.ts'
import { scheduleRoutes } from './schedules/routes.ts'
import { startSchedules } from './schedules/schedules.ts'
import { openSecrets } from './secrets/secrets.ts'
import { segmentRoutes } from './segments/routes.ts'
import type { KeyRing, Services } from './services.ts'
import { sessionRoutes } from './session/routes.ts'
import { openSessions, type Sessions } from './session/session.ts'
import { FIRST_ENVIRONMENT, FIRST_PROJECT, type FirstKeys, setUp } from './setup.ts'
import { statusRoutes } from './status/routes.ts'
import { type HubHandle, openHub } from './stream/hub.ts'
import { streamRoutes } from './stream/routes.ts'
import { telemetryRoutes } from './telemetry/routes.ts'
import { openUsage } from './telemetry/usage.ts'
import { triggerRoutes } from './triggers/routes.ts'
import { openTriggers, type TriggerParts, type TriggersHandle } from './triggers/triggers.ts'
import { assetRoutes } from './web/assets.ts'
import { valveRoutes } from './valves/routes.ts'
import { openValves } from './valves/valves.ts'

/** How long a request may take to arrive, headers and all: an import is large, and a slow sender must not hold a socket for ever. */
const REQUEST_TIMEOUT_MS = 60_000
const HEADERS_TIMEOUT_MS = 15_000
const KEEP_ALIVE_MS = 72_000
/** Connections that may wait to be taken, as far as the system allows it: a fleet that comes back must not keep a kill from getting in. */
const BACKLOG = 4_096
/** How often a closing server looks for connections that have become idle. */
const SWEEP_MS = 50
/** Longest part of a path that is looked at; keys have 128 characters, and one that is too long shall be told so. */
const PARAM_LENGTH_MAX = 512

export interface SluiceOptions {
  readonly config: Config
  readonly clock: Clock
  /** Unless given, JSON lines on standard error. */
  readonly logger?: FastifyBaseLogger
  /** Unless given, the one in `config.data`. It is closed with the server. */
  readonly log?: OpenedLog
  /** Unless given, the one that `config.egressAllow` bounds. It is closed with the server. */
  readonly egress?: Egress
  /** What triggers follow and act through; each the server's own unless given. */
  readonly triggers?: Partial<Pick<TriggerParts, 'alerts' | 'notices' | 'rollouts'>>
  /** Adds more routes, for who embeds the server and for tests. Each needs a policy. */
  readonly extend?: (app: FastifyInstance, services: Services) => void
}

export interface Sluice {
  readonly app: FastifyInstance
  readonly services: Services
  readonly hub: HubHandle
  readonly triggers: TriggersHandle
  /** All routes, with their policies. */
  readonly routes: readonly Registered[]
  /** The keys made at the very first start; null at every other. */
  readonly firstKeys: FirstKeys | null
  /** @returns where it listens, as in `http://127.0.0.1:7400`. Error: `PORT_IN_USE`. */
  listen(): Promise<string>
  /** Not ready, streams drained, requests answered, all closed: at most `config.closeTimeoutMs`. */
  close(): Promise<void>
}

/** Errors: those of `openLog`, `ROUTE_WITHOUT_POLICY`. */
export async function buildSluice(options: SluiceOptions): Promise<Sluice> {
  const { config, clock } = options
  const logger = options.logger ?? openLogger(config)
  const lifecycle = openLifecycle(clock.now())

  const log = options.log ?? (await openLog({ data: config.data, clock, logger }))
  const firstKeys = await setUp({ log, clock, config, logger })
  const keys = openKeyRing({ log, clock, logger, config, project: FIRST_PROJECT, environment: FIRST_ENVIRONMENT })
  const secrets = openSecrets({ data: config.data, storage: log.storage.secrets, clock })
  const alerts = await openAlerts({ storage: log.storage.alerts, clock, logger })
  const egress = options.egress ?? openEgress({ clock, allow: config.egressAllow })
  const usage = await openUsage({ clock, logger, log, storage: log.storage.counts, config })
  const outcomes = openOutcomes({ clock, logger, log })
  // Told of a change before the evaluator's own view of it is prepared: SDKs wait for it, this server only when it is asked.
  const lending = openLending({ clock, logger, log })
  const valves = openValves({ clock, logger, log })
  const hub = openHub({
    clock,
    logger,
    log,
    keys,
    usage,
    outcomes,
    lending,
    valves,
    rulesets: { current: name => rulesets.current(name) },
    config,
  })
  const rulesets = openRulesets(log)
  const expiry = startExpiry({ log, clock, logger })
  const notifying = await openNotifying({ log, hub, secrets, egress, clock, logger }, log.storage.outbox)
  const schedules = startSchedules({ log, clock, logger })
  const rollouts = await openRollouts({
    log,
    clock,
    logger,
    hub,
    storage: log.storage.evidence,
    slices: outcomes,
    alerts,
    valves,
    notices: notifying,
    measure: measureThrough(egress),
  })
  const services: Services = {
    config,
    clock,
    logger,
    log,
    rulesets,
    keys,
    hub,
    usage,
    outcomes,
    rollouts,
    secrets,
    egress,
    notices: notifying,
    alerts,
    valves,
  }

  const deliveries = openDeliveries({
    log,
    clock,
    logger,
    secrets,
    alerts,
    storage: log.storage.alerts,
    fetch: url => egress.send({ url, method: 'GET' }),
  })

  const triggers = openTriggers({ log, clock, logger, alerts, valves, notices: notifying, rollouts, ...options.triggers })
  const sessions = openSessions({ keys, secrets, clock })
  const live = openLive({ clock, logger, log, hub, keys, sessions })

  const app = makeApp(logger)
  const routes = guardRoutes(app)
  addErrorAnswers(app, logger)
  addBodyParser(app)
  const measurement = measureRequests(app)
  // The machine's own time, whatever clock the server is given: it is the machine that stalls.
  const stalls = openStalls(systemClock, logger)
  addChecks(app, { keys, sessions }, measurement, openApiLimit({ clock, rulesets, config }))

  healthRoutes(app, services, lifecycle)
  metricsRoutes(app, {
    services,
    hub,
    usage,
    outcomes,
    lending,
    valves,
    deliveries,
    notifying,
    triggers,
    series: measurement.series,
    stalls,
  })
  statusRoutes(app, services, lifecycle, { valves, notifying, triggers })
  projectRoutes(app, services)
  environmentRoutes(app, services)
  keyRoutes(app, services, keys)
  flagRoutes(app, services)
  segmentRoutes(app, services)
  killRoutes(app, services)
  holdRoutes(app, services)
  explainRoutes(app, services)
  changeRoutes(app, services)
  rolloutRoutes(app, services, rollouts)
  scheduleRoutes(app, services)
  rulesetRoutes(app, services)
  compareRoutes(app, services)
  instanceRoutes(app, services)
  limitRoutes(app, services, lending)
  valveRoutes(app, services, valves)
  chatRoutes(app, services, keys)
  notifierRoutes(app, services, notifying)
  streamRoutes(app, services, hub)
  telemetryRoutes(app, services, usage)
  outcomeRoutes(app, services)
  ofrepRoutes(app, services, measurement)
  hookRoutes(app, services, deliveries)
  triggerRoutes(app, services, triggers)
  sessionRoutes(app, { keys, sessions })
  liveRoutes(app)
  assetRoutes(app)
  options.extend?.(app, services)
  hub.attach(app, (request, line, head) => live.upgrade(request, line, head))
  app.addHook('preClose', async () => live.close())
  openapiRoutes(app, routes)
  // In a scope of its own, which is entered when all the others have added theirs.
  app.register(async scope => addMethodAnswers(scope, [...routes]))

  async function closeParts(): Promise<void> {
    deliveries.close()
    // Whoever is being told may still use all the others.
    await alerts.close()
    await triggers.close()
    stalls.close()
    expiry.close()
    await schedules.close()
    await rollouts.close()
    egress.close()
    await notifying.close()
    await hub.close()
    lending.close()
    valves.close()
    outcomes.close()
    rulesets.close()
    keys.close()
    await usage.close()
    await log.close()
  }

  try {
    await app.ready()
  } catch (error) {
    await app.close()
    await closeParts()
    throw error
  }

  // Everyone who listens has been opened by now.
  alerts.start()

  let closing: Promise<void> | null = null
  return {
    app,
    services,
    hub,
    triggers,
    routes,
    firstKeys,
    async listen() {
      const url = await listen(app, config)
      lifecycle.phase = 'ready'
      stalls.start()
      return url
    },
    close() {
      closing ??= (async () => {
        lifecycle.phase = 'closing'
        // Whoever is still being answered then is cut off: better than a process that does not end.
        const timer = setTimeout(() => app.server.closeAllConnections(), config.closeTimeoutMs)
        // A connection whose last answer is out now waits for a next request that nobody shall send.
        const sweep = setInterval(() => app.server.closeIdleConnections(), SWEEP_MS)
        try {
          await app.close()
        } finally {
          clearTimeout(timer)
          clearInterval(sweep)
          await closeParts()
        }
      })()
      return closing
    },
  }
}

function makeApp(logger: FastifyBaseLogger): FastifyInstance {
  // Request ids start anew with the process; the prefix tells two lives apart in one log.
  const life = Date.now().toString(36)
  let requests = 0
  return fastify({
    // Our own lines say what matters; one per request would cost more than many a request.
    logger: false,
    trustProxy: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
    forceCloseConnections: 'idle',
    // Requests that arrive on an open connection while closing are still answered, the connection then ends.
    return503OnClosing: false,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    genReqId: () => `${life}-${(requests++).toString(36)}`,
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply, logger),
    clientErrorHandler: answerClientError,
  })
}

/** What happens to every request before its handler, in one hook: each hook of its own would be felt by an evaluation. */
function addChecks(
  app: FastifyInstance,
  { keys, sessions }: { keys: KeyRing; sessions: Sessions },
  measurement: Measurement,
  limit: ApiLimit,
): void {
  app.decorateRequest('access', null)
  app.addHook('onRequest', (request, reply, done) => {
    try {
      const route = request.routeOptions
      measurement.begin(request, route)
      addHeaders(request, reply)
      checkKey(request, keys, sessions, route.config.policy)
      const { access } = request
      // Asked here, so that an evaluation pays no call for what does not limit it.
      if (access !== null && access.kind !== 'server') limit.check(request, reply, access)
      checkBodyType(request)
      request.bodyBytesMax = route.bodyLimit
      done()
    } catch (error) {
      done(overLimit(error, request, reply, limit) ?? (error as Error))
    }
  })
}

/** Whoever is refused is counted too, as a stranger without a valid key. Only when it is refused: a key that is valid pays nothing for them. */
function overLimit(error: unknown, request: FastifyRequest, reply: FastifyReply, limit: ApiLimit): Error | null {
  if (!(error instanceof SluiceError) || (error.status !== 401 && error.status !== 403)) return null
  try {
    limit.check(request, reply, request.access)
    return null
  } catch (refusal) {
    return refusal as Error
  }
}

/**
 * For answers that are data: nothing in them is ever to be shown as a page, framed or guessed at. Evaluations answer
 * nothing but a POST with a key in a header, which no page can be made of; there the headers would be a measurable part of the time.
 */
function addHeaders(request: FastifyRequest, reply: FastifyReply): void {
  if (request.method === 'POST' && request.url.startsWith('/ofrep/')) return
  reply.header('x-content-type-options', 'nosniff')
  reply.header('content-security-policy', "default-src 'none'; frame-ancestors 'none'")
}

async function listen(app: FastifyInstance, { host, port }: Config): Promise<string> {
  try {
    return await app.listen({ host, port, backlog: BACKLOG })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') {
      throw new SluiceError(
        'PORT_IN_USE',
        `Port ${port} of ${host} is in use. Stop what listens there, or choose another with SLUICE_PORT.`,
        { cause },
      )
    }
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new SluiceError('CONFIG_INVALID', `Cannot listen on port ${port} of ${host} (${code}). Correct SLUICE_HOST or SLUICE_PORT.`, {
        cause,
      })
    }
    throw cause
  }
}
