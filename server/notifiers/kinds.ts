/** The kinds of notifiers there are. */
import type { NotifierKind } from '../../schemas/notifier.ts'
import type { Kind } from './kinds/kind.ts'
import { pagerdutyAlerts, pagerdutyChanges } from './kinds/pagerduty.ts'
import { slack } from './kinds/slack.ts'
import { statuspage } from './kinds/statuspage.ts'
import { webhook } from './kinds/webhook.ts'

export const KINDS: Readonly<Record<NotifierKind, Kind>> = {
  webhook,
  slack,
  'pagerduty-alerts': pagerdutyAlerts,
  'pagerduty-changes': pagerdutyChanges,
  statuspage,
}
