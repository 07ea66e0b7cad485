/** The OpenFeature provider for servers: a thin face of the same client, which decides and stays current by itself. */
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
} from '@openfeature/server-sdk'
import { connect } from '../connect.ts'
import { readOptions } from '../options.ts'
import type { Options, Sluice, ValueType } from '../types.ts'
import { contextOf } from './context.ts'
import { PROVIDER_NAME, resolutionOf } from './resolution.ts'

/** What OpenFeature was last told. An error is a client without a ruleset: with one, however old, it evaluates. */
type Told = 'ready' | 'stale' | 'error'

/**
 * ```ts
 * await OpenFeature.setProviderAndWait(new SluiceProvider({ url: 'wss://flags.example.com', key: process.env.SLUICE_KEY }))
 * ```
 */
export class SluiceProvider implements Provider {
  readonly metadata = { name: PROVIDER_NAME }
  readonly runsOn = 'server'
  readonly events = new OpenFeatureEventEmitter()

  readonly #options: Options | null
  #client: Sluice | null
  /** Null until `initialize` has ended: OpenFeature itself says what came of it. */
  #told: Told | null = null
  #ends: readonly (() => void)[] = []

  /**
   * @param source what to connect with, when OpenFeature starts and closes the provider; or a client that is connected
   * already, for the sake of what OpenFeature has no word for. That one is closed by whoever opened it.
   */
  constructor(source: Options | Sluice) {
    const client = 'details' in source ? source : null
    this.#options = client === null ? (source as Options) : null
    this.#client = client
  }

  /** Resolves with a ruleset, be it an old one from the cache file; rejects when there is none within `readyTimeoutMs`. */
  async initialize(): Promise<void> {
    if (this.#options !== null) {
      void this.#client?.close()
      this.#client = connect(this.#options)
    }
    const client = this.#client!
    this.#stopListening()
    this.#told = null
    this.#ends = [
      client.on('change', keys => this.#changed(keys)),
      client.on('stale', () => this.#tell()),
      client.on('ready', () => this.#tell()),
    ]
    const { ok } = await client.ready()
    // Closed and started anew meanwhile: this start has nothing more to say.
    if (client !== this.#client) throw new ProviderNotReadyError('The provider was closed and started anew.')
    if (!ok) {
      this.#told = 'error'
      throw this.#whyNot()
    }
    this.#told = 'ready'
    // OpenFeature says READY in the turn after this function ends. What is true beyond that is said in the one after that.
    queueMicrotask(() => queueMicrotask(() => this.#tell()))
  }

  /** A client of our own sends what it has counted, and ends. Its values stay, for the requests still under way. */
  async onClose(): Promise<void> {
    this.#stopListening()
    this.#told = null
    if (this.#options !== null) await this.#client?.close()
  }

  resolveBooleanEvaluation(flag: string, fallback: boolean, context: EvaluationContext): Promise<ResolutionDetails<boolean>> {
    return this.#resolve(flag, fallback, context, 'boolean')
  }

  resolveStringEvaluation(flag: string, fallback: string, context: EvaluationContext): Promise<ResolutionDetails<string>> {
    return this.#resolve(flag, fallback, context, 'string')
  }

  resolveNumberEvaluation(flag: string, fallback: number, context: EvaluationContext): Promise<ResolutionDetails<number>> {
    return this.#resolve(flag, fallback, context, 'number')
  }

  /** What comes out is shared by all who ask, and frozen. */
  resolveObjectEvaluation<T extends JsonValue>(flag: string, fallback: T, context: EvaluationContext): Promise<ResolutionDetails<T>> {
    return this.#resolve(flag, fallback, context, 'object')
  }

  #resolve<T extends JsonValue>(flag: string, fallback: T, context: EvaluationContext, type: ValueType): Promise<ResolutionDetails<T>> {
    if (this.#client === null) return Promise.reject(new ProviderNotReadyError('initialize() comes first.'))
    return Promise.resolve(resolutionOf(this.#client.details(flag, contextOf(context), fallback, type)))
  }

  /** Counts the event and sums its value. Who it was, and everything else about it, stays here. */
  track(event: string, _context: EvaluationContext, { value }: TrackingEventDetails): void {
    this.#client?.track(event, value)
  }

  #changed(keys: readonly string[]): void {
    if (this.#told !== null) this.events.emit(ProviderEvents.ConfigurationChanged, { flagsChanged: [...keys] })
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

  #whyNot(): Error {
    const { base, problems } = this.#options === null ? { base: '', problems: [] } : readOptions(this.#options, '')
    return base === null ? new ProviderFatalError(`${problems.join('. ')}.`) : new ProviderNotReadyError(NOT_READY)
  }

  #stopListening(): void {
    for (const end of this.#ends) end()
    this.#ends = []
  }
}

const STALE = 'The server cannot be reached: values are those of the last ruleset until it answers.'
const NOT_READY =
  'No ruleset has arrived yet, and there is none in a cache file: every value is its default until the server answers. The log of the client says what keeps it.'
