/** Evaluation counts of SDKs that have no stream to send them on, and what they say: per flag over time, and what went wrong. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { SluiceError } from '../../schemas/errors.ts'
import { momentSchema } from '../../schemas/key.ts'
import { countsSchema } from '../../schemas/stream.ts'
import { problemSchema, seriesSchema, UNKNOWN_OPERATOR, usageSchema } from '../../schemas/usage.ts'
import { typeOfValue } from '../../sdk/evaluator/evaluation.ts'
import { kinds, role } from '../access/policy.ts'
import { pointSchema, readPoint } from '../changes/point.ts'
import { moment } from '../clock.ts'
import { environmentLog } from '../environments/find.ts'
import { findFlag, nearest } from '../flags/find.ts'
import { route } from '../http/route.ts'
import type { Services } from '../services.ts'
import { logOfKey } from '../stream/handshake.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS } from './flagcounts.ts'
import { isAbout } from './problems.ts'
import type { UsageHandle } from './usage.ts'

const ENVIRONMENT = '/api/v1/projects/:project/environments/:environment'

const STEPS_MS = { '1m': MINUTE_MS, '5m': 5 * MINUTE_MS, '15m': 15 * MINUTE_MS, '1h': HOUR_MS, '1d': DAY_MS } as const
type Step = keyof typeof STEPS_MS
const STEPS = Object.keys(STEPS_MS) as [Step, ...Step[]]
/** Most steps of one answer: a day of minutes, or five years of days. */
const STEPS_MAX = 2_000
/** Steps of an answer when nobody has said how long one is. */
const STEPS_USUAL = 400

const unknownFlagSchema = problemSchema.extend({ meant: z.string().nullable() })
const wrongTypeSchema = problemSchema.extend({ type: z.string().nullable() })

export function telemetryRoutes(app: FastifyInstance, services: Services, handle: Pick<UsageHandle, 'total' | 'storing'>): void {
  const { usage, clock } = services
  const tag = 'telemetry'

  route(app, {
    method: 'POST',
    url: '/telemetry',
    policy: kinds('server'),
    tag,
    summary: 'Evaluation counts and outcomes since the last report',
    body: countsSchema,
    response: z.object({ accepted: z.number().int() }),
    handler: ({ access, body }) => {
      const { service = '', instance = '', sdk = '' } = body
      const log = logOfKey(services.log, access)
      usage.add(log, body, { service, instance, sdk })
      services.outcomes.add(log, body.outcomes ?? [], { service, instance })
      return { accepted: body.counts.length }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/flags/:flag/evaluations`,
    policy: role('viewer', 'environment'),
    tag,
    summary: 'How a flag is used: the last hour and day, and its evaluations over time by variation and reason',
    description: [
      'since and until are moments or revisions: the last 24 hours unless given, widened to whole steps (UTC).',
      'Evaluations that are no longer known by the minute stand in the step in which their hour begins.',
      'A flag that was archived still answers, as long as its evaluations are kept.',
    ].join(' '),
    query: z.strictObject({ since: pointSchema.optional(), until: pointSchema.optional(), step: z.enum(STEPS).optional() }),
    response: z.object({
      flag: z.string(),
      since: momentSchema,
      until: momentSchema,
      step: z.enum(STEPS),
      usage: usageSchema,
      problems: z.array(problemSchema),
      series: z.array(seriesSchema),
    }),
    async handler({ params, query }) {
      const log = environmentLog(services, params)
      const key = params.flag ?? ''
      if (!usage.isCounted(log, key)) findFlag(services.log.state(log), key)
      // What is not over yet is part of it.
      const until = query.until === undefined ? clock.now() + 1 : await momentOf(services, log, query.until, 'until')
      const since = query.since === undefined ? until - DAY_MS : await momentOf(services, log, query.since, 'since')
      const step = query.step ?? STEPS.find(each => (until - since) / STEPS_MS[each] <= STEPS_USUAL) ?? '1d'
      const range = wholeSteps(since, until, step)
      const [summary, series] = await Promise.all([usage.flag(log, key), usage.series(log, key, range)])
      const problems = usage.problems(log).filter(problem => isAbout(problem, key))
      return { flag: key, since: moment(range.since), until: moment(range.until), step, usage: summary, problems, series }
    },
  })

  route(app, {
    method: 'GET',
    url: `${ENVIRONMENT}/telemetry`,
    policy: role('viewer', 'environment'),
    tag,
    summary: 'What applications asked for in vain or could not understand, and what could not be counted',
    description: [
      'Most recent first: flags that do not exist (with the flag that may have been meant), flags asked for as another type than theirs,',
      'operators that an SDK does not know, and other errors; each with the service that reported it.',
    ].join(' '),
    response: z.object({
      unknownFlags: z.array(unknownFlagSchema),
      wrongTypes: z.array(wrongTypeSchema),
      unknownOperators: z.array(problemSchema),
      errors: z.array(problemSchema),
      /** Since the start of the server. */
      evaluations: z.number().int(),
      dropped: z.object({ sdk: z.number().int(), server: z.number().int(), since: momentSchema }),
      storing: z.object({ waiting: z.number().int(), problem: z.string().nullable() }),
    }),
    handler({ params }) {
      const log = environmentLog(services, params)
      const flags = services.log.state(log).documents.flag
      const problems = usage.problems(log)
      const of = (...codes: string[]) => problems.filter(problem => codes.includes(problem.code))
      return {
        // One that has been made since, or that an instance did not have yet, is no slip.
        unknownFlags: of('FLAG_NOT_FOUND')
          .filter(problem => !flags.has(problem.subject))
          .map(problem => ({ ...problem, meant: nearest(problem.subject, flags.keys()) ?? null })),
        wrongTypes: of('TYPE_MISMATCH').map(problem => ({
          ...problem,
          type: typeOfValue(flags.get(problem.subject)?.variations[0]?.value),
        })),
        unknownOperators: of(UNKNOWN_OPERATOR),
        errors: problems.filter(({ code }) => code !== 'FLAG_NOT_FOUND' && code !== 'TYPE_MISMATCH' && code !== UNKNOWN_OPERATOR),
        evaluations: handle.total(log),
        dropped: usage.dropped(log),
        storing: handle.storing(),
      }
    },
  })
}

/** Errors: `INVALID_REQUEST`, `CHANGE_NOT_FOUND`. */
async function momentOf(services: Services, log: string, text: string, field: string): Promise<number> {
  const point = readPoint(text, field)
  return point.kind === 'moment' ? point.at : Date.parse((await services.log.change(log, point.revision)).at)
}

/** Error: `INVALID_REQUEST` for a range that is empty, or of too many steps. */
function wholeSteps(since: number, until: number, step: Step): { since: number; until: number; stepMs: number } {
  const stepMs = STEPS_MS[step]
  if (since >= until) {
    throw new SluiceError(
      'INVALID_REQUEST',
      `The query cannot be taken: since is ${moment(since)} and until ${moment(until)}, so nothing is between. Exchange them, or leave one out.`,
      { details: [{ path: 'since', code: 'not_before', message: 'must be before until' }] },
    )
  }
  const range = { since: Math.floor(since / stepMs) * stepMs, until: Math.ceil(until / stepMs) * stepMs, stepMs }
  const steps = (range.until - range.since) / stepMs
  if (steps <= STEPS_MAX) return range
  throw new SluiceError(
    'INVALID_REQUEST',
    `The query cannot be taken: from ${moment(since)} to ${moment(until)} are ${steps} steps of ${step}, and at most ${STEPS_MAX} are answered. Ask for a longer step or a shorter time.`,
    { details: [{ path: 'step', code: 'too_many_steps', message: `at most ${STEPS_MAX} steps are answered` }] },
  )
}
