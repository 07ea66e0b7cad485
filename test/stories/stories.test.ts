import t, { type Test } from 'tap'
import { programTest } from '../prometheus.ts'
import { stories } from './all.ts'
import { play, type Story } from './stage.ts'

for (const story of stories) {
  if (story.needs === undefined) t.test(story.title, async t => told(t, story))
  else programTest(t, story.needs, story.title, async t => told(t, story))
}

async function told(t: Test, story: Story): Promise<void> {
  const listener = {
    say: (line: string) => t.comment(line),
    equal: (actual: unknown, expected: unknown, what: string) => {
      if (!t.strictSame(actual, expected, what)) throw new Error(`the story stopped: ${what}`)
    },
    ok: (value: unknown, what: string) => {
      if (!t.ok(value, what)) throw new Error(`the story stopped: ${what}`)
    },
  }
  await play(story, listener, t.testdir())
}
