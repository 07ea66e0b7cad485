/** CloudWatch alarms, as SNS delivers them: the alarm is JSON in a text of the envelope. Who signed the envelope is looked at elsewhere. */
import type { AlertStatus } from '../../../schemas/alert.ts'
import { type Adapter, at, firstText, labels, list, moment, one, readAlert, reading, text } from '../reading.ts'

/** What is said of a body that asks whether the topic may send here. */
export const TO_CONFIRM = 'a subscription to confirm'

const STATES: Readonly<Record<string, AlertStatus>> = { ALARM: 'firing', OK: 'resolved', INSUFFICIENT_DATA: 'info' }

export const cloudwatch: Adapter = body => {
  const type = text(at(body, 'Type'))
  const externalId = text(at(body, 'MessageId')) || null
  const sentAt = moment(at(body, 'Timestamp'))
  if (type === 'SubscriptionConfirmation') return reading({ note: TO_CONFIRM, externalId, sentAt })
  if (type === 'UnsubscribeConfirmation') return reading({ note: 'the subscription was ended', externalId, sentAt })
  if (type !== 'Notification') return reading({ problems: ['Type is missing: this is no message of SNS'] })
  const alarm = parsedOf(at(body, 'Message'))
  const state = text(at(alarm, 'NewStateValue'))
  if (!Object.hasOwn(STATES, state)) return reading({ note: 'the message is no alarm of CloudWatch', externalId, sentAt })
  const changedAt = moment(at(alarm, 'StateChangeTime'))
  const trigger = at(alarm, 'Trigger')
  const dimensions = list(at(trigger, 'Dimensions')).map(each => [text(at(each, 'name')), at(each, 'value')] as const)
  const alert = readAlert({
    dedupKey: firstText(at(alarm, 'AlarmArn'), at(alarm, 'AlarmName')),
    status: STATES[state]!,
    title: firstText(at(alarm, 'AlarmName'), at(body, 'Subject')),
    description: firstText(at(alarm, 'AlarmDescription'), at(alarm, 'NewStateReason')),
    labels: labels(Object.fromEntries(dimensions), {
      alarm: at(alarm, 'AlarmName'),
      account: at(alarm, 'AWSAccountId'),
      region: at(alarm, 'Region'),
      namespace: at(trigger, 'Namespace'),
      metric: at(trigger, 'MetricName'),
    }),
    annotations: labels({
      reason: at(alarm, 'NewStateReason'),
      before: at(alarm, 'OldStateValue'),
      threshold: at(trigger, 'Threshold'),
      comparison: at(trigger, 'ComparisonOperator'),
      period: at(trigger, 'Period'),
    }),
    startsAt: changedAt,
    endsAt: changedAt,
  })
  return one(alert, 'the alarm has neither AlarmArn nor AlarmName', { externalId, sentAt })
}

function parsedOf(message: unknown): unknown {
  try {
    return typeof message === 'string' ? JSON.parse(message) : undefined
  } catch {
    return undefined
  }
}
