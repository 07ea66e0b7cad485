/** The tables as both databases hold them. Texts that are JSON are written and read by the log; here they are only texts. */

export interface Tables {
  logs: LogRow
  changes: ChangeRow & { log: string }
  /** Which documents an entry touched, so that the history of one flag is found without reading the whole log. */
  changed_documents: { log: string; type: string; key: string; revision: number }
  documents: DocumentRow & { log: string }
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
