/** Lines for whoever runs the server: JSON on standard error. Only fields that are named here or by the caller are written, so that no header, body or key gets in by way of an object. */
import type { FastifyBaseLogger } from 'fastify'
import { pino } from 'pino'
import type { Config } from './config.ts'

/** Causes of causes that are still written. */
const CAUSES_MAX = 4

export function openLogger({ logLevel }: Pick<Config, 'logLevel'>): FastifyBaseLogger {
  return pino(
    { level: logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: error => errorLine(error) } },
    pino.destination({ dest: 2, sync: true }),
  )
}

interface ErrorLine {
  readonly name: string
  readonly code?: string
  readonly message: string
  readonly stack?: string
  readonly cause?: ErrorLine
}

/** Errors of libraries carry whole packets and requests: name, code, message, stack and cause are enough. */
function errorLine(error: unknown, depth = 0): ErrorLine {
  if (!(error instanceof Error)) return { name: typeof error, message: 'not an Error was thrown' }
  const { code } = error as { code?: unknown }
  return {
    name: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    message: error.message,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth >= CAUSES_MAX ? {} : { cause: errorLine(error.cause, depth + 1) }),
  }
}
