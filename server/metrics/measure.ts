/** Durations of requests by route, counted in plain arrays: a request pays for a few additions, a scrape for the rest. */
import type { FastifyInstance } from 'fastify'

/** Upper ends of the buckets, in seconds. */
export const BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10] as const

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

declare module 'fastify' {
  interface FastifyRequest {
    /** In ms of the clock that only runs forward; set by whatever runs first. */
    startedAt: number
  }
}

/** Adds the measurement to every route, from `request.startedAt` to the moment the answer is handed over. Call before routes are added. */
export function measureRequests(app: FastifyInstance): { readonly series: () => readonly Series[] } {
  const all: Series[] = []
  const byRoute = new Map<string, Map<string, (Series | undefined)[]>>()
  // When the answer is handed over, not when the last byte has left: listening for that costs every request a listener more.
  app.addHook('onSend', (request, reply, payload, done) => {
    // Refused before any hook ran: there is no route, and nothing was measured.
    if (!(request.startedAt > 0)) return done(null, payload)
    const route = request.routeOptions.url ?? 'none'
    const byMethod = entryOf(byRoute, route, () => new Map<string, (Series | undefined)[]>())
    const byStatus = entryOf(byMethod, request.method, () => [])
    const status = Math.floor(reply.statusCode / 100)
    let series = byStatus[status]
    if (series === undefined) {
      const counts = new Array<number>(BUCKETS_S.length).fill(0)
      series = { method: request.method, route, status: `${status}xx`, counts, sum: 0, count: 0 }
      byStatus[status] = series
      all.push(series)
    }
    const seconds = (performance.now() - request.startedAt) / 1_000
    const bucket = BUCKETS_S.findIndex(end => seconds <= end)
    if (bucket !== -1) series.counts[bucket] = (series.counts[bucket] ?? 0) + 1
    series.sum += seconds
    series.count++
    done(null, payload)
  })
  return { series: () => all }
}

function entryOf<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
