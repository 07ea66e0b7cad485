#!/usr/bin/env node
// The command as npm links it. The program itself is compiled to dist/ by `npm run build`.
import { existsSync } from 'node:fs'

const program = new URL('../dist/cli/main.js', import.meta.url)
if (!existsSync(program)) {
  process.stderr.write('sluice: not built yet. Run `npm run build` in the project first.\n')
  process.exit(1)
}
await import(program.href)
