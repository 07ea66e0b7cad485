/**
 * What clients (browsers) are sent: the evaluations of their one context, and after a commit those that it changed for
 * them. The one evaluator decides here; rules, segments, kills and flags that are not `clientVisible` never leave. When
 * something is sent is decided in `session.ts`, as for SDKs, and the sockets are `hub.ts`'s.
 */
import type { ClientCounts } from '../../schemas/clientstream.ts'
import type { Context } from '../../schemas/context.ts'
import { type Reason, REASONS } from '../../schemas/reason.ts'
import { Dependents } from '../../sdk/evaluator/dependents.ts'
import { type Evaluation, evaluate } from '../../sdk/evaluator/evaluate.ts'
import type { ChangeLog, State } from '../log/types.ts'
import { answerOf } from '../ofrep/answer.ts'
import type { Access } from '../access/policy.ts'
import type { Asker, Rulesets, Usage } from '../services.ts'
import { textFrame } from './frame.ts'
import type { Step } from './messages.ts'
import { type Recent, stepsFrom } from './recent.ts'
import type { SessionAction } from './session.ts'

/** Evaluations of one flag that a report of a client may name: its key is public, and what it says is not to be trusted far. */
export const CLIENT_COUNT_MAX = 100_000
/** Names of events that the clients of one environment may track: they must not crowd out those of applications. */
export const CLIENT_EVENTS_MAX = 100
/** Messages kept for the next client that is to be sent the same. */
const FRAMES_KEPT = 1_000

/** What is known of one client. */
export interface View {
  /** Whose evaluations are counted: its key, as a page has no name of its own. */
  readonly asker: Asker
  context: Context
  /** The client's own number for this context. */
  contextId: number
  /** What it holds, as it was sent, by flag. Null until a hello is answered. About 30 bytes per flag: the texts are shared. */
  sent: Map<string, string> | null
}

export interface Clients {
  /**
   * Do what a session has decided, where that is about what is sent.
   * @returns whether it was; pings, beats and ends are the same for clients and SDKs
   */
  perform(
    view: View,
    channel: { readonly log: string; readonly recent: Recent },
    action: SessionAction,
    send: (frame: Buffer) => void,
  ): boolean
  /** One more entry of a log, in order. */
  published(log: string, step: Step): void
  /** A log has moved without an entry, or is gone. */
  forget(log: string): void
}

/** What the clients of one log share. */
interface Scene {
  readonly dependents: Dependents
  /** Keys of the flags that clients may see; null when that may have changed. */
  visible: readonly string[] | null
  /** Since a revision: the flags that may yield something else. For the newest revision, as are the frames. */
  readonly affected: Map<number, readonly string[]>
  readonly frames: Map<string, Buffer>
}

export function openView(key: Pick<Access, 'id' | 'name'>): View {
  return { asker: { service: key.name, instance: key.id, sdk: 'browser' }, context: {}, contextId: 0, sent: null }
}

export function openClients(options: {
  readonly log: Pick<ChangeLog, 'state'>
  readonly rulesets: Pick<Rulesets, 'current'>
  readonly usage: Pick<Usage, 'add'>
}): Clients {
  const { rulesets, usage } = options
  const scenes = new Map<string, Scene>()
  const events = new Map<string, Set<string>>()
  // Results are few and shared, clients are many. Gone with the ruleset they belong to.
  const texts = new WeakMap<Evaluation, { readonly key: string; readonly text: string }>()

  function sceneOf(name: string, { documents }: State): Scene {
    let scene = scenes.get(name)
    if (scene === undefined) {
      scene = { dependents: new Dependents(documents.flag, documents.segment), visible: null, affected: new Map(), frames: new Map() }
      scenes.set(name, scene)
    }
    return scene
  }

  /** A flag for a context, as JSON; undefined for one that clients may not see. */
  function textOf(name: string, { documents }: State, key: string, context: Context): string | undefined {
    const flag = documents.flag.get(key)
    if (flag?.clientVisible !== true) return undefined
    const evaluation = evaluate(rulesets.current(name), key, context)
    const known = texts.get(evaluation)
    if (known !== undefined && known.key === key) return known.text
    const answer = answerOf(key, evaluation, flag, 0, false)
    // The revision is said once per message: with it a flag would differ after every commit to any other.
    const { revision: _, ...metadata } = answer.metadata ?? {}
    const text = JSON.stringify({ ...answer, metadata })
    texts.set(evaluation, { key, text })
    return text
  }

  function evaluateAll(view: View, name: string): Map<string, string> {
    const state = options.log.state(name)
    const scene = sceneOf(name, state)
    scene.visible ??= [...state.documents.flag.values()].filter(flag => flag.clientVisible === true).map(flag => flag.key)
    const sent = new Map<string, string>()
    for (const key of scene.visible) {
      const text = textOf(name, state, key, view.context)
      if (text !== undefined) sent.set(key, text)
    }
    view.sent = sent
    return sent
  }

  function everything(view: View, name: string, recent: Recent, isReset: boolean): Buffer {
    const flags = [...evaluateAll(view, name).values()].join(',')
    const reset = isReset ? '"reset":true,' : ''
    return textFrame(`{"type":"evaluations",${reset}"contextId":${view.contextId},${placeOf(recent)},"flags":[${flags}]}`)
  }

  /** What commits since a revision changed of what the client holds. */
  function changed(view: View, sent: Map<string, string>, name: string, recent: Recent, from: number): Buffer {
    const state = options.log.state(name)
    const scene = sceneOf(name, state)
    const flags: string[] = []
    const removed: string[] = []
    for (const key of affectedSince(scene, recent, from)) {
      const text = textOf(name, state, key, view.context)
      if (text === undefined) {
        if (sent.delete(key)) removed.push(key)
      } else if (sent.get(key) !== text) {
        sent.set(key, text)
        flags.push(text)
      }
    }
    const message = `{"type":"changed",${placeOf(recent)},"from":${from},"flags":[${flags.join(',')}],"removed":${JSON.stringify(removed)}}`
    let frame = scene.frames.get(message)
    if (frame === undefined) {
      frame = textFrame(message)
      if (scene.frames.size < FRAMES_KEPT) scene.frames.set(message, frame)
    }
    return frame
  }

  /** Only what clients may see says anything about which flags they lack; the rest is passed over later. */
  function affectedSince(scene: Scene, recent: Recent, from: number): readonly string[] {
    let affected = scene.affected.get(from)
    if (affected === undefined) {
      const touched = stepsFrom(recent, from).flatMap(step => step.touched)
      const keys = (type: 'flag' | 'segment'): string[] => touched.filter(one => one.type === type).map(one => one.key)
      affected = scene.dependents.affected(keys('flag'), keys('segment'))
      scene.affected.set(from, affected)
    }
    return affected
  }

  /** A report from a page, cut down to what can be true. */
  function count(view: View, name: string, { counts, tracked = [] }: Pick<ClientCounts, 'counts' | 'tracked'>): void {
    const { documents } = options.log.state(name)
    const credible = counts.filter(({ flag: key, variation, reason, count }) => {
      const flag = documents.flag.get(key)
      if (flag?.clientVisible !== true || count > CLIENT_COUNT_MAX || !REASONS.includes(reason as Reason)) return false
      // A document that cannot be understood may lack them.
      return variation === null || (Array.isArray(flag.variations) && flag.variations.some(one => one.key === variation))
    })
    const named = events.get(name) ?? new Set<string>()
    events.set(name, named)
    const known = tracked.filter(({ event, count }) => {
      const hasRoom = count <= CLIENT_COUNT_MAX && (named.has(event) || named.size < CLIENT_EVENTS_MAX)
      if (hasRoom) named.add(event)
      return hasRoom
    })
    if (credible.length + known.length > 0)
      usage.add(name, { counts: credible, tracked: known, dropped: 0, unknownOperators: [] }, view.asker)
  }

  return {
    perform(view, { log: name, recent }, action, send) {
      switch (action.kind) {
        case 'sendRuleset':
          send(everything(view, name, recent, action.isReset))
          return true
        case 'sendChanges':
          send(view.sent === null ? everything(view, name, recent, false) : changed(view, view.sent, name, recent, action.from))
          return true
        case 'sendCurrent':
          // What it holds is what it would be sent now: the next change is told from that.
          evaluateAll(view, name)
          send(textFrame(`{"type":"current","contextId":${view.contextId},${placeOf(recent)}}`))
          return true
        case 'count':
          count(view, name, action.counts)
          return true
        case 'sendChange':
        case 'join':
        case 'confirm':
          // Frames for SDKs, instances and receipts: clients are none.
          return true
        default:
          return false
      }
    },
    published(name, step) {
      const scene = scenes.get(name)
      if (scene === undefined) return
      const { documents } = options.log.state(name)
      const keys = (type: 'flag' | 'segment'): string[] => step.touched.filter(one => one.type === type).map(one => one.key)
      scene.dependents.update(documents.flag, documents.segment, keys('flag'), keys('segment'))
      scene.visible = null
      scene.affected.clear()
      scene.frames.clear()
    },
    forget: name => void scenes.delete(name),
  }
}

function placeOf({ epoch, revision, hash }: Recent): string {
  return `"epoch":${JSON.stringify(epoch)},"revision":${revision},"hash":"${hash}"`
}
