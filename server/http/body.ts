/** Which bodies are read: JSON in UTF-8 as it is, nothing compressed, one parser for all routes but those of outside tools. */
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SluiceError } from '../../schemas/errors.ts'
import { parseJson } from './json.ts'

/** One spelling, and the one parameter that says nothing new. Anything else is a different body to some parser. */
const JSON_TYPES: readonly string[] = [
  'application/json',
  'application/json; charset=utf-8',
  'application/json;charset=utf-8',
  'application/json; charset=UTF-8',
  'application/json;charset=UTF-8',
]

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route takes the bytes of any type of body, and checks them itself. */
    rawBody?: boolean
  }
  interface FastifyRequest {
    /** The most that the route reads of a body. */
    bodyBytesMax: number
  }
}

/**
 * Bodies are collected here and not by Fastify, which would copy each of them once more: nearly all arrive in one piece,
 * and are parsed where they lie.
 */
export function addBodyParser(app: FastifyInstance): void {
  app.decorateRequest('bodyBytesMax', 0)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', (request, payload, done) => {
    collect(request, payload, (error, body) => {
      if (error !== null) return done(error)
      try {
        // Clients send the type out of habit, also with nothing after it.
        done(null, body.length === 0 ? undefined : parseJson(body))
      } catch (problem) {
        done(problem as Error)
      }
    })
  })
}

/**
 * Routes whose `request.body` is the bytes as they were sent, whatever their type: signatures are made over those. Each of
 * the routes has `rawBody` in its description, and reads and checks the body itself; without one it is empty.
 */
export function addRawRoutes(app: FastifyInstance, add: (scope: FastifyInstance) => void): void {
  app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (request, payload, parsed) => {
      collect(request, payload, (error, body) => parsed(error, body))
    })
    scope.addHook('preHandler', (request, _reply, next) => {
      request.body ??= Buffer.alloc(0)
      next()
    })
    add(scope)
    done()
  })
}

/** All of a body, or why not; `finish` is called once. */
function collect(request: FastifyRequest, payload: IncomingMessage, finish: (error: Error | null, body: Buffer) => void): void {
  const { bodyBytesMax } = request
  const said = Number(request.headers['content-length'])
  const none = Buffer.alloc(0)
  if (said > bodyBytesMax) return finish(tooLarge(bodyBytesMax), none)
  const pieces: Buffer[] = []
  let length = 0
  let isOver = false
  payload.on('data', (piece: Buffer) => {
    length += piece.length
    if (isOver) return
    if (length <= bodyBytesMax) return void pieces.push(piece)
    isOver = true
    finish(tooLarge(bodyBytesMax), none)
  })
  payload.on('error', (error: Error) => {
    if (isOver) return
    isOver = true
    // It ended half way, by whoever sent it.
    finish(Object.assign(error, { statusCode: 400 }), none)
  })
  payload.on('end', () => {
    if (isOver) return
    isOver = true
    if (length !== said && !Number.isNaN(said))
      return finish(new SluiceError('INVALID_REQUEST', 'The body is not as long as Content-Length says. Send it again.'), none)
    finish(null, pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length))
  })
}

function tooLarge(bytesMax: number): SluiceError {
  return new SluiceError('BODY_TOO_LARGE', `The body has more than ${bytesMax} bytes. Send less at a time.`)
}

/** Error: `UNSUPPORTED_MEDIA_TYPE`. To be asked after the key: a caller without access does not learn what bodies are taken. */
export function checkBodyType({ headers, routeOptions }: FastifyRequest): void {
  if (routeOptions.config.rawBody === true) return
  const type = headers['content-type']
  const length = headers['content-length']
  const isEmpty = (length === undefined || length === '0') && headers['transfer-encoding'] === undefined
  if (type === undefined ? isEmpty : JSON_TYPES.includes(type)) {
    const encoding = headers['content-encoding']
    if (encoding === undefined || encoding === 'identity') return
    throw new SluiceError('UNSUPPORTED_MEDIA_TYPE', 'Compressed bodies are not taken. Send the body without Content-Encoding.')
  }
  if (isEmpty) return
  throw new SluiceError('UNSUPPORTED_MEDIA_TYPE', 'The body must be JSON. Send it with "Content-Type: application/json".')
}
