/**
 * An OpenFeature hook that tells OpenTelemetry of every evaluation, with the names of the semantic conventions 1.44
 * (`feature_flag.evaluation`, a release candidate there). It fits the SDKs for servers and for the web, and any provider.
 */
import type { EvaluationDetails, FlagValue, HookContext } from '@openfeature/core'
import { type Attributes, trace } from '@opentelemetry/api'
import { PROVIDER_NAME } from './resolution.ts'

const EVENT = 'feature_flag.evaluation'
/** A value is told where there is no variation to name; a longer one is left out. */
const VALUE_LENGTH_MAX = 256

export interface OpenTelemetryOptions {
  /**
   * Where events go, as `logs.getLogger('shop')` of `@opentelemetry/api-logs` answers it: an event is a log record of the
   * trace under way. Default: an event on the active span, and nothing where there is none.
   */
  readonly logger?: EventLogger
  /** Tell who asked, as `feature_flag.context.id`: the targeting key. Default: false, nothing about a person is told. */
  readonly contextId?: boolean
  /** Names the environment, as `feature_flag.set.id`. Default: what the provider says in `flagSetId`. */
  readonly setId?: string
}

/** What of OpenTelemetry's Logger is used. Named here, so that its package, which has no stable version yet, is not needed. */
export interface EventLogger {
  emit(record: { eventName: string; attributes: Attributes }): void
}

/** What is common to the hooks of both OpenFeature SDKs. */
export interface TelemetryHook {
  finally(hookContext: Readonly<HookContext>, details: EvaluationDetails<FlagValue>): void
}

/** `OpenFeature.addHooks(openTelemetryHook())` */
export function openTelemetryHook(options: OpenTelemetryOptions = {}): TelemetryHook {
  const { logger } = options
  return {
    finally(hookContext, details) {
      if (logger !== undefined) return logger.emit({ eventName: EVENT, attributes: attributesOf(hookContext, details, options) })
      const span = trace.getActiveSpan()
      if (span?.isRecording() === true) span.addEvent(EVENT, attributesOf(hookContext, details, options))
    },
  }
}

function attributesOf(
  { flagKey, providerMetadata, context }: Readonly<HookContext>,
  { value, variant, reason, errorCode, errorMessage, flagMetadata }: EvaluationDetails<FlagValue>,
  { contextId, setId }: OpenTelemetryOptions,
): Attributes {
  const attributes: Attributes = {
    'feature_flag.key': flagKey,
    'feature_flag.provider.name': providerMetadata.name,
    'feature_flag.result.reason': (reason ?? 'UNKNOWN').toLowerCase(),
  }
  const set = (name: string, told: string | number | boolean | undefined): void => {
    if (told !== undefined && told !== '') attributes[name] = told
  }
  if (variant !== undefined) set('feature_flag.result.variant', variant)
  else set('feature_flag.result.value', shown(value))
  const version = flagMetadata.flagVersion ?? flagMetadata.version
  set('feature_flag.version', version === undefined ? undefined : String(version))
  set('feature_flag.set.id', setId ?? flagMetadata.flagSetId)
  if (contextId === true) set('feature_flag.context.id', flagMetadata.contextId ?? context.targetingKey)
  if (reason === 'ERROR') {
    set('error.type', (errorCode ?? 'GENERAL').toLowerCase())
    set('feature_flag.error.message', errorMessage)
  }
  // What only Sluice knows: DISABLED is off, killed or held back, and the revision says which change to look at.
  if (providerMetadata.name === PROVIDER_NAME) {
    set('sluice.reason', flagMetadata.reason)
    set('sluice.kill.id', flagMetadata.killId)
    set('sluice.revision', flagMetadata.revision)
  }
  return attributes
}

function shown(value: FlagValue): string | number | boolean | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') return value
  try {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return text.length <= VALUE_LENGTH_MAX ? text : undefined
  } catch {
    // A default that JSON cannot hold: the application's own matter.
    return undefined
  }
}
