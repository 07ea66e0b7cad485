/** A verdict, done to a response of `node:http`, which those of Express and Connect are. */
import type { ServerResponse } from 'node:http'
import { joined, type Verdict } from './guard.ts'

/** @returns whether the request goes on */
export function answer(response: ServerResponse, verdict: Verdict | null): boolean {
  if (verdict === null) return true
  if (verdict.release !== null) whenDone(response, verdict.release)
  if (response.headersSent) return verdict.problem === null
  for (const [name, value] of Object.entries(verdict.headers)) response.setHeader(name, joined(name, value, response.getHeader(name)))
  if (verdict.problem === null) return true
  const { status, body } = verdict.problem
  response.statusCode = status
  response.setHeader('Content-Length', Buffer.byteLength(body))
  response.end(response.req.method === 'HEAD' ? undefined : body)
  return false
}

/** Also when the client has gone, and when it had before this came to be called. */
export function whenDone(response: ServerResponse, release: () => void): void {
  if (response.destroyed || response.writableFinished) release()
  else response.once('finish', release).once('close', release)
}
