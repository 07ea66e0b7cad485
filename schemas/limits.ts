/**
 * Every limit that a person or a program can run into, named once. Plain constants without imports, so that the
 * evaluator and the SDK may use them too. Sizes are bytes of UTF-8 unless the name says otherwise.
 */

/** Longest key of a project, environment, flag, variation, segment or rule, in characters. */
export const KEY_LENGTH_MAX = 128
/** The keys people choose. ASCII only, so that no two keys look alike and none needs escaping in a path. */
export const KEY_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
/** Keys that would collide with what every JavaScript object inherits. */
export const KEYS_REFUSED: readonly string[] = ['__proto__', 'constructor', 'prototype']

/** Longest name, owner or tag, in characters. */
export const NAME_LENGTH_MAX = 200
/** Longest description, reason or comment, in characters. */
export const TEXT_LENGTH_MAX = 4_000
/** Longest text among the values of a clause, target or context, in characters. */
export const VALUE_LENGTH_MAX = 4_096
/** Longest attribute name or JSON Pointer, in characters. */
export const ATTRIBUTE_LENGTH_MAX = 256
/** Longest regular expression, in characters. */
export const PATTERN_LENGTH_MAX = 256
/** Longest text that `matches` looks at, in characters; a longer one does not match. */
export const PATTERN_SUBJECT_MAX = 1_024

export const VARIATIONS_MAX = 100
export const TAGS_MAX = 50
export const METADATA_MAX = 50
export const PREREQUISITES_MAX = 50
export const TARGETS_MAX = 100
export const RULES_MAX = 1_000
export const CLAUSES_MAX = 50
/** Values of one clause, target or segment list. */
export const VALUES_MAX = 100_000
export const KILLS_MAX = 100
/** Flags of one environment. */
export const FLAGS_MAX = 20_000
/** Segments of one environment. */
export const SEGMENTS_MAX = 5_000
/** In an environment; each has something to send for every change. */
export const NOTIFIERS_MAX = 50
export const PROJECTS_MAX = 1_000
/** Hooks of one environment. */
export const HOOKS_MAX = 200
/** Environments of one project. */
export const ENVIRONMENTS_MAX = 100
/** Keys of one server. */
export const KEYS_MAX = 10_000
/** Grants of one admin key. */
export const GRANTS_MAX = 100
/** Longest chain of prerequisites, and of segments within segments. */
export const CHAIN_MAX = 50

/** One flag or segment as JSON, without its kills. */
export const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
/** All flags and segments of one environment as JSON. */
export const RULESET_BYTES_MAX = 64 * 1024 * 1024
/** One variation's value as JSON. */
export const VALUE_BYTES_MAX = 64 * 1024

/** Deepest nesting of a context or of a variation's value. */
export const DEPTH_MAX = 20
/** Attributes of a context, counted at its top level. */
export const ATTRIBUTES_MAX = 256
/** Elements of one array attribute. */
export const ARRAY_MAX = 1_000

/** Body of an ordinary request. */
export const BODY_BYTES_MAX = 1024 * 1024
/** Body of a request that evaluates. */
export const EVALUATE_BYTES_MAX = 64 * 1024

/** What a rollout's weights add up to: one is a thousandth of a percent. */
export const WEIGHT_TOTAL = 100_000
/** Seeds are unsigned 32-bit integers, 0 to this. */
export const SEED_MAX = 0xffff_ffff
