/** The OpenFeature provider for pages: a thin face of the web SDK, whose values the server evaluates for the page's context. */
import {
  type EvaluationContext,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  ProviderFatalError,
  ProviderNotReadyError,
  type ResolutionDetails,
  type TrackingEventDetails,
} from '@openfeature/web-sdk'
import type { Ready, ValueType } from '../types.ts'
import { connect } from '../web/connect.ts'
import type { Options, Sluice } from '../web/types.ts'
import { contextOf } from './context.ts'
import { PROVIDER_NAME, resolutionOf } from './resolution.ts'

/** What OpenFeature was last told. An error is a client without values for the context, or with those of the one before. */
type Told = 'ready' | 'stale' | 'error'

/**
 * ```ts
 * await OpenFeature.setContext({ targetingKey: 'user-1' })
 * await OpenFeature.setProviderAndWait(new SluiceWebProvider({ url: 'wss://flags.example.com', key: 'slc_client_…' }))
 * ```
 */
export class SluiceWebProvider implements Provider {
  readonly metadata = { name: PROVIDER_NAME }
  readonly runsOn = 'client'
  readonly events = new OpenFeatureEventEmitter()

  readonly #options: Omit<Options, 'context'>
  #client: Sluice | null = null
  /** Null while OpenFeature itself says what comes of it: at the start, and while a context is on its way. */
  #told: Told | null = null
  #turn = 0

  /** @param options what to connect with when OpenFeature starts the provider; the context is OpenFeature's */
  constructor(options: Omit<Options, 'context'>) {
    this.#options = options
  }

  /** Resolves with values for the context, be they old ones from the cache; rejects when there are none within `readyTimeoutMs`. */
  async initialize(context: EvaluationContext = {}): Promise<void> {
    this.#client?.close()
    const client = connect({ ...this.#options, context: contextOf(context) })
    this.#client = client
    client.on('change', keys => {
      if (this.#told !== null) this.events.emit(ProviderEvents.ConfigurationChanged, { flagsChanged: [...keys] })
    })
    client.on('stale', () => this.#tell())
    client.on('ready', () => this.#tell())
    await this.#settle(client.ready())
  }

  /** Resolves with the values of the new context; until then, and when none come, those of the old one stay. */
  async onContextChange(_before: EvaluationContext, context: EvaluationContext): Promise<void> {
    if (this.#client !== null) await this.#settle(this.#client.setContext(contextOf(context)))
  }

  async onClose(): Promise<void> {
    this.#told = null
    this.#client?.close()
  }

  resolveBooleanEvaluation(flag: string, fallback: boolean): ResolutionDetails<boolean> {
    return this.#resolve(flag, fallback, 'boolean')
  }

  resolveStringEvaluation(flag: string, fallback: string): ResolutionDetails<string> {
    return this.#resolve(flag, fallback, 'string')
  }

  resolveNumberEvaluation(flag: string, fallback: number): ResolutionDetails<number> {
    return this.#resolve(flag, fallback, 'number')
  }

  /** What comes out is shared by all who ask, and frozen. */
  resolveObjectEvaluation<T extends JsonValue>(flag: string, fallback: T): ResolutionDetails<T> {
    return this.#resolve(flag, fallback, 'object')
  }

  #resolve<T extends JsonValue>(flag: string, fallback: T, type: ValueType): ResolutionDetails<T> {
    if (this.#client === null) throw new ProviderNotReadyError('initialize() comes first.')
    return resolutionOf(this.#client.details(flag, fallback, type))
  }

  /** Counts the event and sums its value. Who it was, and everything else about it, stays here. */
  track(event: string, _context: EvaluationContext, { value }: TrackingEventDetails): void {
    this.#client?.track(event, value)
  }

  /** OpenFeature says READY, or what is wrong, when this ends. What is true beyond that is said afterwards. */
  async #settle(ready: Promise<Ready>): Promise<void> {
    const turn = ++this.#turn
    this.#told = null
    const { ok } = await ready
    // A later context is waited for, and OpenFeature with it.
    if (turn !== this.#turn) return
    this.#told = ok ? 'ready' : 'error'
    if (ok) queueMicrotask(() => queueMicrotask(() => this.#tell()))
    else if (this.#options.key?.startsWith('slc_client_') === true && URL.canParse(this.#options.url))
      throw new ProviderNotReadyError(NOT_READY)
    else throw new ProviderFatalError('The options url or key cannot be used; the console says why.')
  }

  #tell(): void {
    if (this.#told === null || this.#client === null) return
    const { epoch, stale } = this.#client.status()
    const now: Told = epoch === '' ? 'error' : stale ? 'stale' : 'ready'
    if (now === this.#told) return
    this.#told = now
    if (now === 'ready') this.events.emit(ProviderEvents.Ready)
    else if (now === 'stale') this.events.emit(ProviderEvents.Stale, { message: STALE })
  }
}

const STALE = 'The server cannot be reached: values are the last ones until it answers.'
const NOT_READY = 'No values have arrived for this context yet: others, or defaults, are used until the server answers.'
