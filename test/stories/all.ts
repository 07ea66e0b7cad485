/** The stories, in the order they are told. */
import { alertAtNight } from './alert-at-night.ts'
import { alertStorm } from './alert-storm.ts'
import { auditLog } from './audit-log.ts'
import { darkServer } from './dark-server.ts'
import { forgedDeliveries } from './forged-deliveries.ts'
import { ledgerMigration } from './ledger-migration.ts'
import { misspeltFlag } from './misspelt-flag.ts'
import { noisyAccount } from './noisy-account.ts'
import { restartMidPlan } from './restart-mid-plan.ts'
import { sharedOutage } from './shared-outage.ts'
import { sickUpstream } from './sick-upstream.ts'
import { sickVendor } from './sick-vendor.ts'
import { someAffected } from './some-affected.ts'
import type { Story } from './stage.ts'

export const stories: readonly Story[] = [
  auditLog,
  sickUpstream,
  someAffected,
  ledgerMigration,
  sharedOutage,
  restartMidPlan,
  darkServer,
  misspeltFlag,
  noisyAccount,
  sickVendor,
  alertAtNight,
  forgedDeliveries,
  alertStorm,
]
