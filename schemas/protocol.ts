/** The constants of the stream. Without imports, so that the SDK uses them and needs no zod. */

export const PROTOCOL = 'sluice.v1'
/** Largest frame the server accepts from an SDK, in bytes. */
export const UPSTREAM_BYTES_MAX = 64 * 1024
/** Most rows in one `counts` message. */
export const COUNTS_MAX = 1_000
/** Most operators in one `counts` message that an SDK does not know. */
export const UNKNOWN_OPERATORS_MAX = 100
/** Most tracked events in one `counts` message. */
export const TRACKED_MAX = 100
/** The stream for client keys, as browsers have them: evaluations of one context, never rules. */
export const CLIENT_PATH = '/stream/client'
export const CLIENT_PROTOCOL = 'sluice.client.v1'
/**
 * A browser can set no header on a websocket, and a key in a URL ends in logs: so the key is a second subprotocol that is
 * offered, this and the key behind it. The server never selects it.
 */
export const CLIENT_KEY_PREFIX = 'key.'
/** Largest message the server accepts from a client, in bytes: it keeps the context for as long as the socket is open. */
export const CLIENT_UPSTREAM_BYTES_MAX = 16 * 1024
/** How often the server says which revision it has. */
export const BEAT_INTERVAL_MS = 5_000
/** An SDK that has heard nothing for so long takes the link for dead. */
export const DEAD_LINK_MS = 15_000
/** How long a connection may stay without its hello. */
export const HELLO_WITHIN_MS = 10_000

/** At most one `lease` and one `grant` frame per connection in so many milliseconds. */
export const LEASE_INTERVAL_MS = 50
/** How long granted tokens are good for; without an answer for as long, an SDK decides by `onPartition`. */
export const LEASE_TTL_MS = 2_000
/** A server answers whoever waits for tokens at least so often, if only that there are none now. */
export const LEASE_ANSWER_MS = 1_000
/** An SDK drops a counter that nobody asked for so long; so does the server. */
export const LEASE_IDLE_MS = 60_000
/** Most counters in one frame, either way. */
export const LEASE_KEYS_MAX = 500
/** Longest text of a counter's key. What is longer is cut and ends in a hash. */
export const LEASE_KEY_LENGTH_MAX = 256
/** Most tokens that one row may speak of. */
export const LEASE_TOKENS_MAX = 1e12
/** The key of the one counter for all keys that an SDK has no room for. */
export const REST_KEY = '\u0000rest'

/** How often an instance reports its valves, and the most valves in one frame, either way. */
export const VALVES_INTERVAL_MS = 1_000
export const VALVES_MAX = 200
/** The key of the counter in the ledger whose tokens are a valve's probes. */
export const PROBE_KEY = '\u0000probe'

/** Outcomes are summed over so long, and one context counts at most one error in it. */
export const SLICE_MS = 10_000
/** Most rows of outcomes in one `counts` message. */
export const OUTCOMES_MAX = 500
/** Most marks of one row of outcomes for each of errors and slow calls, and how many different ones there are. */
export const MARKS_MAX = 100
export const MARK_VALUES = 65_536

/** Why the server closes a socket. After each an SDK comes back as after any loss, but see `KEY`. */
export const CLOSE_CODES = {
  /** A message that breaks the protocol, too many of them, or an environment that was deleted. */
  PROTOCOL: 1008,
  /** A message larger than `UPSTREAM_BYTES_MAX`. */
  TOO_LARGE: 1009,
  /** The server restarts: come back as the `drain` before it said. */
  RESTART: 1012,
  /** This socket could not keep up: come back later. */
  TRY_LATER: 1013,
  /** The key was revoked or has expired: coming back with it is refused with 401. */
  KEY: 4401,
} as const
