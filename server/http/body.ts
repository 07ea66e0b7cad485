/** Which bodies are read: JSON in UTF-8 as it is, nothing compressed, one parser for all routes. */
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

export function addBodyParser(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      // Clients send the type out of habit, also with nothing after it.
      done(null, body.length === 0 ? undefined : parseJson(body as Buffer))
    } catch (error) {
      done(error as Error)
    }
  })
}

/** Error: `UNSUPPORTED_MEDIA_TYPE`. To be asked after the key: a caller without access does not learn what bodies are taken. */
export function checkBodyType({ headers }: FastifyRequest): void {
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
