/** `npm run demo`: plays the stories and prints what an operator would see. Ends with 1 when one does not hold. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { findProgram } from '../prometheus.ts'
import { stories } from './all.ts'
import { play, type Told } from './stage.ts'

const told: Told = {
  say: line => process.stdout.write(`${line}\n`),
  equal(actual, expected, what) {
    if (!isDeepStrictEqual(actual, expected))
      throw new Error(`this did not hold: ${what}\n  got      ${JSON.stringify(actual)}\n  expected ${JSON.stringify(expected)}`)
    told.say(`  ✓ ${what}`)
  },
  ok(value, what) {
    if (value !== true) throw new Error(`this did not hold: ${what}`)
    told.say(`  ✓ ${what}`)
  },
}

let leftOut = 0
for (const [i, story] of stories.entries()) {
  told.say(`\n── ${i + 1} of ${stories.length}: ${story.title} ${'─'.repeat(Math.max(0, 60 - story.title.length))}\n`)
  if (story.needs !== undefined && findProgram(story.needs) === null) {
    told.say(`Left out: no ${story.needs} on this machine. Install the package of that name to see it.`)
    leftOut++
    continue
  }
  const folder = await mkdtemp(join(tmpdir(), 'sluice-demo-'))
  try {
    await play(story, told, folder)
  } catch (error) {
    process.stderr.write(`\nThe story "${story.title}" did not hold: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
told.say(`\nAll ${stories.length - leftOut} stories held.${leftOut === 0 ? '' : ` ${leftOut} left out.`}`)
