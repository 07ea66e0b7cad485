import t from 'tap'
import { stories } from './all.ts'
import { play } from './stage.ts'

for (const story of stories) {
  t.test(story.title, async t => {
    const told = {
      say: (line: string) => t.comment(line),
      equal: (actual: unknown, expected: unknown, what: string) => {
        if (!t.strictSame(actual, expected, what)) throw new Error(`the story stopped: ${what}`)
      },
      ok: (value: unknown, what: string) => {
        if (!t.ok(value, what)) throw new Error(`the story stopped: ${what}`)
      },
    }
    await play(story, told, t.testdir())
  })
}
