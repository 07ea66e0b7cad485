/** The version of this CLI, as in its package. A test holds the two equal. */
export const VERSION = '0.1.0'
