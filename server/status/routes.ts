/** Who am I to this server, and how is it? */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { grantSchema, KEY_KINDS } from '../../schemas/accesskey.ts'
import type { ValveState } from '../../schemas/valve.ts'
import { type ValveSetting, valveSettingSchema, valveUsageSchema } from '../../schemas/valveusage.ts'
import { type Plan, PLAN_STATES } from '../../schemas/plan.ts'
import { keySchema, momentSchema } from '../../schemas/key.ts'
import { anyKey, kinds } from '../access/policy.ts'
import { seesEnvironment } from '../access/visible.ts'
import { moment } from '../clock.ts'
import { route } from '../http/route.ts'
import type { Lifecycle } from '../lifecycle.ts'
import { SERVER_LOG } from '../log/types.ts'
import type { Notifying } from '../notifiers/notifying.ts'
import type { Services } from '../services.ts'
import { SEVERITY } from '../valves/book.ts'
import { usageOf } from '../valves/usage.ts'
import type { TriggersHandle } from '../triggers/triggers.ts'
import { undoText } from '../triggers/words.ts'
import type { ValvesHandle } from '../valves/valves.ts'
import { VERSION } from '../version.ts'

const trippedBySchema = z.object({
  trigger: keySchema,
  flags: z.array(keySchema),
  at: momentSchema,
  alert: z.string(),
  hook: z.string(),
  text: z.string(),
  undo: z.string(),
})

export function statusRoutes(
  app: FastifyInstance,
  services: Services,
  lifecycle: Lifecycle,
  {
    valves,
    notifying,
    triggers,
  }: {
    readonly valves: Pick<ValvesHandle, 'known' | 'record'>
    readonly notifying: Pick<Notifying, 'trouble'>
    readonly triggers: Pick<TriggersHandle, 'standing'>
  },
): void {
  const { log, hub } = services

  route(app, {
    method: 'GET',
    url: '/api/v1/whoami',
    policy: anyKey,
    tag: 'status',
    summary: 'What the key sent is, and what it gives',
    response: z.object({
      id: z.string(),
      kind: z.enum(KEY_KINDS),
      name: z.string(),
      grants: z.array(grantSchema),
      project: z.string().nullable(),
      environment: z.string().nullable(),
    }),
    handler: ({ access: { id, kind, name, grants, project, environment } }) => ({ id, kind, name, grants, project, environment }),
  })

  route(app, {
    method: 'GET',
    url: '/api/v1/status',
    // Not for client keys: those are public.
    policy: kinds('admin', 'server', 'hook'),
    tag: 'status',
    summary: 'The server, its storage, and the environments that the key gives access to',
    response: z.object({
      version: z.string(),
      startedAt: z.string(),
      storage: z.object({ healthy: z.boolean(), problem: z.string().nullable(), volatile: z.number().int() }),
      environments: z.array(
        z.object({
          project: z.string(),
          environment: z.string(),
          revision: z.number().int(),
          instances: z.number().int(),
          kills: z.number().int(),
          notifiers: z.object({ paused: z.number().int(), failing: z.number().int() }),
          /** Plans that move, are held, or were turned back and not cleared. */
          rollouts: z.array(
            z.object({
              flag: keySchema,
              state: z.enum(PLAN_STATES),
              step: z.number().int().nullable(),
              steps: z.number().int(),
              why: z.string(),
            }),
          ),
          /** Valves that do not flow, those that stand worst first. */
          valves: z.array(valveUsageSchema.pick({ flag: true, state: true, admit: true }).extend({ by: valveSettingSchema.shape.by })),
          /** What triggers did that is in force, the newest first. */
          tripped: z.array(trippedBySchema),
        }),
      ),
    }),
    handler: ({ access }) => {
      const environments = [...log.state(SERVER_LOG).documents.environment.values()]
        .filter(({ project, environment }) => seesEnvironment(access, project, environment))
        .map(({ key, project, environment }) => {
          const { revision, documents } = log.state(key)
          let kills = 0
          for (const flag of documents.flag.values()) kills += flag.kills.length
          return {
            project,
            environment,
            revision,
            instances: hub.instances(key).length,
            kills,
            notifiers: notifying.trouble(key),
            valves: notFlowing(key),
            rollouts: standing(documents.plan.values()),
            tripped: trippedIn(key),
          }
        })
      return { version: VERSION, startedAt: moment(lifecycle.startedAt), storage: log.status(), environments }
    },
  })

  function trippedIn(key: string): z.infer<typeof trippedBySchema>[] {
    const found = [...log.state(key).documents.trigger.values()].flatMap(trigger => {
      const flags = [...triggers.standing(key, trigger)]
      if (trigger.tripped === null || flags.length === 0) return []
      const { at, title, hook, text } = trigger.tripped
      return [{ trigger: trigger.key, flags, at, alert: title, hook, text, undo: undoText(key, trigger.key) }]
    })
    return found.sort((a, b) => Date.parse(b.at) - Date.parse(a.at))
  }

  function notFlowing(key: string): { flag: string; state: ValveState; admit: number; by: ValveSetting['by'] }[] {
    const now = { wall: services.clock.now(), monotonic: services.clock.monotonic() }
    const flags = [...log.state(key).documents.flag.values()].filter(({ kind }) => kind === 'safety-valve')
    return flags
      .map(flag => usageOf(flag, valves.record(key, flag.key), valves.known(key, flag.key), now))
      .filter(({ state }) => state !== 'flowing')
      .sort((a, b) => SEVERITY[b.state] - SEVERITY[a.state] || (a.flag < b.flag ? -1 : 1))
      .map(({ flag, state, admit, setting }) => ({ flag, state, admit, by: setting.by }))
  }
}

const SHOWN: ReadonlySet<string> = new Set(['scheduled', 'running', 'held', 'reverting', 'reverted'])

function standing(plans: Iterable<Plan>): { flag: string; state: Plan['state']; step: number | null; steps: number; why: string }[] {
  return [...plans]
    .filter(plan => SHOWN.has(plan.state))
    .map(plan => ({
      flag: plan.key,
      state: plan.state,
      step: plan.step,
      steps: plan.steps.length,
      why: plan.held?.text ?? plan.reverted?.text ?? '',
    }))
}
