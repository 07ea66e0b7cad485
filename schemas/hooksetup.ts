/** What to paste into a monitoring tool so that it delivers to a hook: its own configuration, whole. Pure. */
import type { Hook } from './hook.ts'

/** Shown where the secret was shown before. */
const SHOWN_ONCE = '<the secret that was shown when it was made>'

/**
 * @param hook   with the whole address that the tool shall use, and the environment for commands that name it
 * @param secret as it was just made; undefined when it is not known any more, or the tool's own
 */
export function setUp(hook: Hook & { readonly address: string; readonly environment?: string }, secret: string | undefined): string[] {
  const shown = secret ?? SHOWN_ONCE
  const { address } = hook
  const header = hook.header ?? (hook.source === 'honeycomb' ? 'X-Honeycomb-Webhook-Token' : 'Authorization')
  const value = header.toLowerCase() === 'authorization' ? `Bearer ${shown}` : shown
  switch (hook.source) {
    case 'alertmanager':
      return [
        'In alertmanager.yml:',
        '',
        'receivers:',
        '  - name: sluice',
        '    webhook_configs:',
        `      - url: ${address}`,
        '        send_resolved: true',
        ...(hook.auth === 'path'
          ? []
          : header.toLowerCase() === 'authorization'
            ? ['        http_config:', '          authorization:', `            credentials: ${shown}`]
            : ['        http_config:', '          http_headers:', `            ${header}:`, `              secrets: ['${shown}']`]),
      ]
    case 'grafana':
      return [
        'In Grafana: Alerting, Contact points, New contact point, of the type Webhook:',
        '',
        `URL          ${address}`,
        'HTTP method  POST',
        ...(hook.auth === 'signature'
          ? [
              `HMAC secret  ${shown}`,
              `HMAC header  ${hook.header ?? 'X-Grafana-Alerting-Signature'}`,
              `HMAC timestamp header  ${hook.timestampHeader ?? '(leave it empty)'}`,
            ]
          : hook.auth === 'header'
            ? [`Extra header ${header}: ${value}`]
            : []),
      ]
    case 'datadog':
      return [
        'In Datadog: Integrations, Webhooks, New; then name @webhook-sluice in the message of a monitor:',
        '',
        'Name            sluice',
        `URL             ${address}`,
        ...(hook.auth === 'path' ? [] : [`Custom headers  ${JSON.stringify({ [header]: value })}`]),
        'Payload:',
        DATADOG_PAYLOAD,
      ]
    case 'pagerduty':
      return [
        'In PagerDuty: Integrations, Generic Webhooks (v3), New Webhook:',
        '',
        `Webhook URL         ${address}`,
        'Event subscription  incident.triggered, incident.reopened, incident.resolved',
        ...(hook.auth === 'header'
          ? [`Custom header       ${header}: ${value}`]
          : theirSecret(hook, 'PagerDuty shows the signing secret once, when it is made.')),
      ]
    case 'sentry':
      return [
        'In Sentry: Settings, Custom Integrations, New internal integration:',
        '',
        `Webhook URL          ${address}`,
        'Alert Rule Action    on',
        'Webhooks             issue',
        ...theirSecret(hook, 'Sentry shows the client secret of the integration.'),
      ]
    case 'honeycomb':
      return [
        'In Honeycomb: Integrations, Trigger recipients, Add, Webhook:',
        '',
        `Webhook URL           ${address}`,
        ...(hook.auth === 'path' ? [] : [`Webhook shared secret ${shown}`]),
      ]
    case 'newrelic':
      return [
        'In New Relic: Alerts, Destinations, Webhook; then a workflow with this destination and the payload that it proposes:',
        '',
        `Endpoint URL   ${address}`,
        ...(hook.auth === 'path'
          ? []
          : header.toLowerCase() === 'authorization'
            ? [`Authorization  Bearer token ${shown}`]
            : [`Custom header  ${header}: ${value}`]),
      ]
    case 'cloudwatch-sns':
      return [
        'With the AWS command line; the subscription confirms itself when this server can be reached:',
        '',
        `aws sns subscribe --topic-arn ${hook.topicArn ?? ''} --protocol https --notification-endpoint ${address}`,
        `aws sns set-topic-attributes --topic-arn ${hook.topicArn ?? ''} --attribute-name SignatureVersion --attribute-value 2`,
        '',
        'and name the topic in the alarm, for OK as well as for ALARM.',
      ]
    case 'standard-webhooks':
      return [
        'In the tool that sends Standard Webhooks:',
        '',
        `Endpoint  ${address}`,
        ...(hook.auth === 'header' ? [`Header    ${header}: ${value}`] : theirSecret(hook, 'It shows a secret, whsec_… or whpk_….')),
      ]
    case 'generic':
      return [
        ...(hook.mapping === undefined
          ? ['To see it work, from a shell:', '', `body='{"dedupKey":"test","status":"info","title":"a test"}'`]
          : ['To see it work, from a shell, with what the tool sends in sample.json:', '', 'body=$(cat sample.json)']),
        ...(hook.auth === 'signature'
          ? [
              `signature=$(printf %s "$body" | openssl dgst -sha256 -hmac '${shown}' -hex | sed 's/.* //')`,
              `curl -X POST ${address} -H "${hook.header ?? 'X-Sluice-Signature'}: sha256=$signature" -d "$body"`,
            ]
          : [`curl -X POST ${address}${hook.auth === 'header' ? ` -H '${header}: ${value}'` : ''} -d "$body"`]),
      ]
  }
}

function theirSecret(hook: Hook & { readonly environment?: string }, where: string): string[] {
  if (hook.auth !== 'signature' || hook.secrets.length > 0) return []
  return [
    '',
    `${where} Until it is known here, every delivery is refused. Give it with:`,
    `sluice hooks rotate ${hook.key}${hook.environment === undefined ? '' : ` -e ${hook.environment}`} --secret-file -`,
  ]
}

/** The same as `DATADOG_TEMPLATE` of the server, which a test holds it to. */
export const DATADOG_PAYLOAD = `{
  "id": "$ID",
  "alertId": "$ALERT_ID",
  "cycle": "$ALERT_CYCLE_KEY",
  "aggregate": "$AGGREG_KEY",
  "transition": "$ALERT_TRANSITION",
  "type": "$ALERT_TYPE",
  "priority": "$ALERT_PRIORITY",
  "title": "$EVENT_TITLE",
  "text": "$TEXT_ONLY_MSG",
  "metric": "$ALERT_METRIC",
  "query": "$ALERT_QUERY",
  "scope": "$ALERT_SCOPE",
  "tags": "$TAGS",
  "host": "$HOSTNAME",
  "date": "$DATE",
  "link": "$LINK"
}`
