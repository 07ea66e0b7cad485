/**
 * Asks a Prometheus (or what speaks its API) what a hard limit is about: one number, no data, or in words why it is neither.
 * API: https://prometheus.io/docs/prometheus/latest/querying/api/
 */
import { z } from 'zod'
import { type ErrorDetail, SluiceError } from '../../schemas/errors.ts'
import type { Guard, GuardInput, PlanInput } from '../../schemas/plan.ts'
import { ANSWER_BYTES_MAX, type Egress, type Incoming, URL_LENGTH_MAX } from '../egress/egress.ts'
import type { Measure } from './watch.ts'

/** How long Prometheus may think, in its own words; less than an answer is waited for. */
const THINKS = '10s'
/** Of what it says of a query that it refuses. */
const SAID_LENGTH_MAX = 300

/** A value is text there: numbers of JSON know no infinity. */
const sampleSchema = z.tuple([z.number(), z.string()])
const answerSchema = z.union([
  z.object({ status: z.literal('error'), errorType: z.string(), error: z.string() }),
  z.object({ status: z.literal('success'), data: z.object({ resultType: z.string(), result: z.unknown() }) }),
])

export function measureThrough(egress: Pick<Egress, 'send'>): Measure {
  return async ({ address, query }) => {
    const url = queryUrl(address)
    const form = new URLSearchParams({ query, timeout: THINKS }).toString()
    const whole = `${url}?${form}`
    // A query that makes too long a URL goes the other way that the API has.
    const request =
      whole.length <= URL_LENGTH_MAX
        ? ({ url: whole, method: 'GET' } as const)
        : ({ url, method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: form } as const)
    try {
      return numberOf(await egress.send(request))
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error
      throw new Error(`${address} ${error.details[0]?.message ?? error.message}`, { cause: error })
    }
  }
}

/** What is wrong with the addresses of a plan's guards, as far as it can be said now. */
export async function addressProblems(input: PlanInput, egress: Pick<Egress, 'check'>): Promise<ErrorDetail[]> {
  const places = [
    { path: 'guards', guards: input.guards ?? [] },
    ...(input.steps ?? []).map((step, i) => ({ path: `steps[${i}].guards`, guards: step.guards ?? [] })),
  ]
  const problems = await Promise.all(
    places.flatMap(({ path, guards }) => guards.map((guard, i) => addressProblem(guard, `${path}[${i}].address`, egress))),
  )
  return problems.filter(problem => problem !== null)
}

async function addressProblem(guard: GuardInput | Guard, path: string, egress: Pick<Egress, 'check'>): Promise<ErrorDetail | null> {
  if (guard.type !== 'promql') return null
  const { address } = guard
  const { search, hash } = new URL(address)
  if (search !== '' || hash !== '')
    return { path, code: 'invalid', message: `is "${address}". Leave out what follows "?" or "#": the query has a field of its own.` }
  try {
    await egress.check(queryUrl(address))
    return null
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error
    const { protocol, hostname, port } = new URL(address)
    const place = `${hostname}:${port === '' ? (protocol === 'https:' ? '443' : '80') : port}`
    const [detail] = error.details
    const cure =
      error.code === 'EGRESS_REFUSED' && error.message.includes('SLUICE_EGRESS_ALLOW') ? `, as in SLUICE_EGRESS_ALLOW=${place}` : ''
    return { path, code: 'egress_refused', message: `is "${address}", which ${detail?.message ?? error.message}${cure}.` }
  }
}

/** The address is where Prometheus itself answers, with the prefix it may have. */
function queryUrl(address: string): string {
  const url = new URL(address)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/v1/query`
  return url.href
}

/** @returns null for an answer without a sample */
function numberOf({ status, body, isCut }: Incoming): number | null {
  if (isCut) throw new Error(`the answer is longer than ${ANSWER_BYTES_MAX / 1_024} KiB: the query must give one number, as in sum(…)`)
  const answer = answerSchema.safeParse(jsonOf(body.toString('utf8'))).data
  if (answer === undefined)
    throw new Error(`what answered (status ${status}) is no Prometheus: the address is its root, as in http://prometheus:9090`)
  if (answer.status === 'error')
    throw new Error(`Prometheus refuses the query (${answer.errorType.slice(0, 50)}): ${answer.error.slice(0, SAID_LENGTH_MAX)}`)
  const { resultType, result } = answer.data
  if (resultType === 'scalar') return valueOf(result)
  if (resultType !== 'vector' || !Array.isArray(result))
    throw new Error(`the query gives a ${resultType}, and one number is needed: a scalar, or a vector of one element`)
  if (result.length > 1)
    throw new Error(`the query gives ${result.length} series, and one number is needed: bring them together, as in sum(…) or max(…)`)
  if (result.length === 0) return null
  const element = z.looseObject({ value: z.unknown().optional() }).safeParse(result[0]).data
  if (element?.value === undefined)
    throw new Error('the query gives a histogram, and one number is needed: take it as in histogram_quantile(…)')
  return valueOf(element.value)
}

function valueOf(sample: unknown): number {
  const parsed = sampleSchema.safeParse(sample).data
  if (parsed === undefined) throw new Error('the answer holds a sample that cannot be understood')
  const [, text] = parsed
  // What is kept is JSON, which has no infinity: the largest number breaks the same limits.
  if (/^[+-]?Inf$/i.test(text)) return text.startsWith('-') ? -Number.MAX_VALUE : Number.MAX_VALUE
  return Number(text)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
