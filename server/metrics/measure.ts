/** Durations of requests by route, counted in plain arrays: a request pays for a few additions, a scrape for the rest. */
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** Upper ends of the buckets, in seconds. */
export const BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] as const

/** How requests are counted that match no route. */
const NO_ROUTE = 'none'

export interface Series {
  readonly method: string
  readonly route: string
  /** `2xx`, `3xx`, `4xx`, `5xx`. */
  readonly status: string
  /** Requests per bucket, not cumulative. */
  readonly counts: number[]
  sum: number
  count: number
}

/** The series of one route, by method and then by the first digit of the status. */
type Durations = Map<string, (Series | undefined)[]>

declare module 'fastify' {
  interface FastifyRequest {
    /** In ms of the clock that only runs forward. */
    startedAt: number
    /** Where its duration is added; null before it began, as for a request that is refused before any hook. */
    durations: Durations | null
  }
}

export interface Measurement {
  /** To be called by whatever runs first of a request. */
  readonly begin: (request: FastifyRequest, route: RouteOptions) => void
  /** To be called for an answer that goes past Fastify to the socket; for all others it is done by a hook. */
  readonly answered: (request: FastifyRequest, statusCode: number) => void
  readonly series: () => readonly Series[]
}

/** What Fastify says of a request's route. It is made anew at every access, so it is handed on. */
export type RouteOptions = FastifyRequest['routeOptions']

/** Adds the measurement to every route, from `begin` to the moment the answer is handed over. Call before routes are added. */
export function measureRequests(app: FastifyInstance): Measurement {
  const all: Series[] = []
  const byRoute = new Map<string, Durations>()
  // As `byRoute`, found by an object that a route has to itself, which is quicker than by its path.
  const byConfig = new WeakMap<object, Durations>()
  app.decorateRequest('startedAt', 0)
  app.decorateRequest('durations', null)
  // When the answer is handed over, not when the last byte has left: listening for that costs every request a listener more.
  app.addHook('onSend', (request, reply, _payload, done) => {
    answered(request, reply.statusCode)
    done()
  })

  function answered(request: FastifyRequest, statusCode: number): void {
    const { durations } = request
    if (durations === null) return
    const seconds = (performance.now() - request.startedAt) / 1_000
    const byStatus = entryOf(durations, request.method, () => [])
    const status = Math.floor(statusCode / 100)
    let series = byStatus[status]
    if (series === undefined) {
      const counts = new Array<number>(BUCKETS_S.length).fill(0)
      series = { method: request.method, route: request.routeOptions.url ?? NO_ROUTE, status: `${status}xx`, counts, sum: 0, count: 0 }
      byStatus[status] = series
      all.push(series)
    }
    let bucket = 0
    while (bucket < BUCKETS_S.length && seconds > BUCKETS_S[bucket]!) bucket++
    if (bucket < BUCKETS_S.length) series.counts[bucket]!++
    series.sum += seconds
    series.count++
  }

  return {
    begin(request, { config, url }) {
      request.startedAt = performance.now()
      let durations = byConfig.get(config)
      if (durations === undefined) {
        durations = entryOf(byRoute, url ?? NO_ROUTE, () => new Map())
        byConfig.set(config, durations)
      }
      request.durations = durations
    },
    answered,
    series: () => all,
  }
}

function entryOf<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
