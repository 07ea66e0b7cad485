/** The entries of the log about one flag that matter here, newest first, with what they say. */
import type { Action, Change } from '../../../schemas/change.ts'
import { ACTION_WORDS } from '../../../schemas/words.ts'
import { at, inEnvironment } from '../api.ts'
import { useResource } from '../resource.ts'
import { linkTo } from '../route.ts'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import './live.css'

export function useHistory(flag: string) {
  return useResource<{ readonly changes: readonly Change[] }>(inEnvironment(`${at`/changes?flag=${flag}`}&limit=100`), {
    on: message => message.type === 'change' && message.edits.some(({ key }) => key === flag),
  })
}

export function History({ flag, isShown, title }: { flag: string; isShown: (action: Action) => boolean; title: string }) {
  const { data, failure } = useHistory(flag)
  const changes = data?.changes.filter(({ action }) => isShown(action)) ?? []
  return (
    <section>
      <h2>{title}</h2>
      <Problem failure={failure} />
      {data !== null && changes.length === 0 && <p class="hint">Nothing yet.</p>}
      <ul class="entries">
        {changes.slice(0, 30).map(({ revision, at: moment, actor, action, comment }) => (
          <li key={revision}>
            <span class="when">
              <Moment at={moment} /> ·{' '}
              <a href={linkTo('audit', [], { query: { revision: String(revision) } })} title="In the audit">
                r{revision}
              </a>{' '}
              · {actor.name}
            </span>
            <br />
            {ACTION_WORDS[action]}
            {comment !== null && <>: {comment}</>}
          </li>
        ))}
      </ul>
      {changes.length > 30 && <p class="hint">Older ones are in the audit.</p>}
    </section>
  )
}
