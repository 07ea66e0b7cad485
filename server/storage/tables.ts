/** The tables as both databases hold them. Texts that are JSON are written and read by the log; here they are only texts. */

export interface Tables {
  logs: LogRow
  changes: ChangeRow & { log: string }
  /** Which documents an entry touched, so that the history of one flag is found without reading the whole log. */
  changed_documents: { log: string; type: string; key: string; revision: number }
  documents: DocumentRow & { log: string }
  counted_flags: CountedFlagRow
  /** Evaluations of one flag in one hour (hours since 1970), by the minute. */
  minute_counts: { hour: number; flag: number; counts: Uint8Array }
  /** Evaluations of one flag on one day (days since 1970, UTC), by the hour. */
  hour_counts: { day: number; flag: number; counts: Uint8Array }
  problems: ProblemRow
  secrets: SecretRow
  evidence: EvidenceRow
  alerts: AlertRow
  outbox: OutboxRow & { seq: number }
  /** Up to which revision the changes of a log have been turned into messages. */
  outbox_cursors: { log: string; revision: number }
  /** Messages that found no room, and how many of them have been told of. */
  outbox_left_out: { log: string; notifier: string; count: number; told: number }
  deliveries: DeliveryRow
}

/** Where a log stands. */
export interface LogRow {
  readonly name: string
  readonly epoch: string
  readonly revision: number
  /** The newest entry's hash; 64 zeros before the first. */
  readonly hash: string
  /** The hashes of all documents of the log, combined: tells a missing or an exchanged document. */
  readonly digest: string
  /** Hash over this row, so that damage to it is noticed. */
  readonly seal: string
}

/** One entry of a log. */
export interface ChangeRow {
  readonly revision: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** JSON. */
  readonly actor: string
  readonly action: string
  readonly comment: string | null
  /** JSON. */
  readonly edits: string
  readonly reverts: number | null
  readonly hash: string
  readonly previousHash: string
}

/** One document as it stands now. */
export interface DocumentRow {
  readonly type: string
  readonly key: string
  /** JSON. */
  readonly body: string
  /** Over log, type, key and body. */
  readonly hash: string
}

/** A flag that was evaluated at least once; `id` stands for it where it is counted, so that a row there is small. */
export interface CountedFlagRow {
  readonly id: number
  readonly log: string
  readonly flag: string
  /** Milliseconds since 1970, as is `lastSeen`. */
  readonly firstSeen: number
  readonly lastSeen: number
  /** JSON: who asked, with when last. */
  readonly services: string
}

/** What applications asked for in vain, or could not understand. */
export interface ProblemRow {
  readonly log: string
  readonly code: string
  readonly subject: string
  readonly detail: string
  readonly service: string
  readonly count: number
  /** Milliseconds since 1970, as is `lastSeen`. */
  readonly firstSeen: number
  readonly lastSeen: number
  readonly instance: string
  readonly sdk: string
}

/** A secret that the server uses; sealed by a key that is not in the database. */
export interface SecretRow {
  readonly id: string
  readonly sealed: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

/** One edge of an alert: that it began to fire, was resolved, or was only told. */
export interface AlertRow {
  /** Sorts by when it came in. */
  readonly id: string
  readonly log: string
  readonly hook: string
  readonly dedupKey: string
  readonly status: string
  /** Milliseconds since 1970, as are the other moments. */
  readonly startsAt: number
  readonly endsAt: number | null
  readonly externalId: string | null
  /** 1 while it fires. */
  readonly standing: number
  /** 1 once everyone who listens was told. */
  readonly told: number
  /** 1 when triggers may do more than hold and tell. */
  readonly mayAct: number
  /** 1 when triggers only say what they would do. */
  readonly dryRun: number
  readonly receivedAt: number
  /** When it was delivered last, the repetitions included. */
  readonly seenAt: number
  /** JSON: the alert in its normal form. */
  readonly body: string
}

/** One request to a way in, and what became of it. */
export interface DeliveryRow {
  /** Sorts by when it came in. */
  readonly id: string
  /** Empty, as is `hook`, where no hook has the path. */
  readonly log: string
  readonly hook: string
  /** 1 when it proved to be from who knows the secret: those are kept apart, so that nobody else can push them out. */
  readonly taken: number
  readonly at: number
  readonly verdict: string
  readonly reason: string
  readonly bytes: number
  readonly remote: string
  /** JSON: a few headers that say what it is; none that prove who sent it. */
  readonly headers: string
  /** The beginning of the body. */
  readonly payload: string
  /** JSON: what alerts came of it. */
  readonly alerts: string
  /** Refused ones like it before it that were not kept. */
  readonly skipped: number
}

/** A message to be sent by a notifier, or sent. */
export interface OutboxRow {
  readonly id: string
  readonly log: string
  readonly notifier: string
  /** Milliseconds since 1970, as are the other moments. */
  readonly createdAt: number
  /** JSON: what is told. */
  readonly body: string
  /** `waiting`, `sent`, or `refused` for good. */
  readonly state: string
  /** That failed. */
  readonly tries: number
  /** Not before. */
  readonly nextAt: number
  readonly lastAt: number | null
  /** Of the last answer; null when there was none. */
  readonly lastStatus: number | null
  readonly lastText: string | null
}

/** What the guards of a rollout plan have seen so far. */
export interface EvidenceRow {
  readonly log: string
  readonly flag: string
  /** Of the plan: evidence of another run is none of this. */
  readonly run: string
  /** JSON. */
  readonly body: string
}
