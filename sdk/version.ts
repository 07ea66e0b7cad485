/** This package's version, as it is told to the server. A test holds it equal to `package.json`. */
export const VERSION = '0.1.0'
