/** The tools that are known: how each is read, and how its deliveries can prove that they are genuine. */
import type { Hook, HookAuth, HookSource } from '../../schemas/hook.ts'
import { type Adapter, at, type Headers } from './reading.ts'
import { generic as genericSignature, grafana as grafanaSignature, pagerduty as pagerdutySignature } from './signatures.ts'
import { sentry as sentrySignature, standard as standardSignature, type Verify } from './signatures.ts'
import { alertmanager, grafana } from './sources/alertmanager.ts'
import { cloudwatch } from './sources/cloudwatch.ts'
import { datadog } from './sources/datadog.ts'
import { generic, standard } from './sources/generic.ts'
import { honeycomb } from './sources/honeycomb.ts'
import { newrelic } from './sources/newrelic.ts'
import { pagerduty } from './sources/pagerduty.ts'
import { sentry } from './sources/sentry.ts'

export interface Source {
  readonly adapter: (hook: Pick<Hook, 'mapping'>) => Adapter
  /** What it can do; the first unless told otherwise. */
  readonly auths: readonly HookAuth[]
  /** Of a signature by a shared secret. */
  readonly verify: Verify | null
  /** Where the signature stands. */
  readonly signatureHeader: string
  /** Where the secret stands, with `auth: header`. */
  readonly secretHeader: string
  /** The tool makes the secret of a signature: it is given to us once it is known. */
  readonly makesSecret: boolean
  /** How long the tool tries again: a body that says it was sent before that is from another time. Null where nothing in the body says so. */
  readonly windowMs: number | null
}

/** Grafana has no usual name for it; this is the one that we tell people to set. */
export const GRAFANA_TIMESTAMP_HEADER = 'X-Grafana-Alerting-Timestamp'
const HOUR_MS = 3_600_000

const plain = { verify: null, signatureHeader: '', secretHeader: 'Authorization', makesSecret: false, windowMs: null } as const

export const SOURCES: Readonly<Record<HookSource, Source>> = {
  alertmanager: { ...plain, adapter: () => alertmanager, auths: ['header', 'path'] },
  grafana: {
    ...plain,
    adapter: () => grafana,
    auths: ['signature', 'header', 'path'],
    verify: grafanaSignature,
    signatureHeader: 'X-Grafana-Alerting-Signature',
  },
  datadog: { ...plain, adapter: () => datadog, auths: ['header', 'path'] },
  pagerduty: {
    ...plain,
    adapter: () => pagerduty,
    auths: ['signature', 'header', 'path'],
    verify: pagerdutySignature,
    signatureHeader: 'X-PagerDuty-Signature',
    makesSecret: true,
    // It tries for two days.
    windowMs: 72 * HOUR_MS,
  },
  sentry: {
    ...plain,
    adapter: () => sentry,
    auths: ['signature', 'path'],
    verify: sentrySignature,
    signatureHeader: 'Sentry-Hook-Signature',
    makesSecret: true,
  },
  honeycomb: { ...plain, adapter: () => honeycomb, auths: ['header', 'path'], secretHeader: 'X-Honeycomb-Webhook-Token' },
  newrelic: { ...plain, adapter: () => newrelic, auths: ['header', 'path'] },
  // Signed by Amazon's certificate: there is no secret. It tries for some minutes, by policies that can be set to an hour.
  'cloudwatch-sns': { ...plain, adapter: () => cloudwatch, auths: ['signature'], windowMs: HOUR_MS },
  'standard-webhooks': {
    ...plain,
    adapter: ({ mapping }) => standard(mapping),
    auths: ['signature', 'header', 'path'],
    verify: standardSignature,
    signatureHeader: 'webhook-signature',
    makesSecret: true,
  },
  generic: {
    ...plain,
    adapter: ({ mapping }) => generic(mapping),
    auths: ['header', 'signature', 'path'],
    verify: genericSignature,
    signatureHeader: 'X-Sluice-Signature',
  },
}

/** What a delivery looks like, as a hint for people; never a reason to trust it. */
export function looksLike(body: unknown, headers: Headers): HookSource | null {
  if (headers('x-amz-sns-message-type') !== '' || (at(body, 'TopicArn') !== undefined && at(body, 'Type') !== undefined))
    return 'cloudwatch-sns'
  if (headers('sentry-hook-resource') !== '' || at(body, 'data', 'metric_alert') !== undefined) return 'sentry'
  if (headers('x-pagerduty-signature') !== '' || at(body, 'event', 'event_type') !== undefined) return 'pagerduty'
  if (headers('x-honeycomb-webhook-token') !== '' || at(body, 'result_groups_triggered') !== undefined) return 'honeycomb'
  if (headers('x-grafana-alerting-signature') !== '' || (at(body, 'orgId') !== undefined && at(body, 'alerts') !== undefined))
    return 'grafana'
  if (at(body, 'groupKey') !== undefined && at(body, 'alerts') !== undefined) return 'alertmanager'
  if (at(body, 'issueUrl') !== undefined && at(body, 'workflowName') !== undefined) return 'newrelic'
  if (at(body, 'transition') !== undefined && at(body, 'cycle') !== undefined) return 'datadog'
  return headers('webhook-signature') === '' ? null : 'standard-webhooks'
}
