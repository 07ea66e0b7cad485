/** What is said when a part of the log is not what was written. */
import { SluiceError } from '../../schemas/errors.ts'

/** @param what what is damaged and how it shows, as in `entry 12 of the log "shop/production" does not fit its hash` */
export function damaged(what: string): SluiceError {
  return new SluiceError(
    'LOG_DAMAGED',
    `The change log is damaged: ${what}. Stop the server, keep a copy of the data folder, and put the newest good backup of sluice.db in its place, without sluice.db-wal; leave head.json as it is, so that no revision is used twice.`,
  )
}
