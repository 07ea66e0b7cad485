/** One place where failures become answers: `{ code, message, details }`, and never the text of an error that is not ours. */
import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ErrorCode, SluiceError } from '../../schemas/errors.ts'

/** Longest part of a path that an error repeats. */
const PATH_SHOWN_MAX = 200

export function addErrorAnswers(app: FastifyInstance, logger: FastifyBaseLogger): void {
  app.setErrorHandler((error: FastifyError | SluiceError, request, reply) => answerError(error, request, reply, logger))
  app.setNotFoundHandler(request => {
    throw new SluiceError('ROUTE_NOT_FOUND', `There is no ${request.method} ${pathOf(request)} here. /docs lists what there is.`)
  })
}

/** Also for failures that Fastify meets before it has found a route. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: FastifyBaseLogger): FastifyReply {
  const known = knownError(error, request)
  if (known.status >= 500) {
    const route = request.routeOptions.url ?? null
    logger.error({ err: error, requestId: request.id, method: request.method, route }, `a request failed with ${known.code}`)
  }
  if (known.status === 401) reply.header('www-authenticate', 'Bearer')
  return reply.code(known.status).send(known.toJSON())
}

/** Requests that are not HTTP, or stop half way: answered on the socket itself. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  // Gone already, or an answer is on its way.
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return void socket.destroy()
  const [line, message] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'The headers are too large. Leave out what is not needed.']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'The request did not arrive in time. Send it again.']
        : ['400 Bad Request', 'This is not an HTTP request that can be understood.']
  const body = JSON.stringify({ code: 'INVALID_REQUEST' satisfies ErrorCode, message, details: [] })
  socket.end(
    `HTTP/1.1 ${line}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

function knownError(error: unknown, request: FastifyRequest): SluiceError {
  if (error instanceof SluiceError) return error
  const { code, statusCode } = (typeof error === 'object' && error !== null ? error : {}) as { code?: unknown; statusCode?: unknown }
  if (statusCode === 415)
    return new SluiceError('UNSUPPORTED_MEDIA_TYPE', 'The body must be JSON. Send it with "Content-Type: application/json".')
  if (statusCode === 404 || code === 'FST_ERR_MAX_PARAM_LENGTH' || statusCode === 414) {
    return new SluiceError('ROUTE_NOT_FOUND', `There is no ${request.method} ${pathOf(request)} here. /docs lists what there is.`)
  }
  if (code === 'FST_ERR_BAD_URL')
    return new SluiceError('INVALID_REQUEST', 'The path is not a URL that can be decoded. Correct its % signs.')
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new SluiceError('INVALID_REQUEST', 'The request cannot be understood. Check its headers and body.')
  }
  return new SluiceError('INTERNAL', `Something failed inside the server. Its log says what, under the request "${request.id}".`, {
    cause: error,
  })
}

/** The path without its query, which may hold what should not be repeated. */
function pathOf(request: FastifyRequest): string {
  const path = request.url.split('?', 1)[0] ?? ''
  return path.length > PATH_SHOWN_MAX ? `${path.slice(0, PATH_SHOWN_MAX)}…` : path
}
