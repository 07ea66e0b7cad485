/** Segments: named groups of contexts, and the flags that lean on them. One segment is edited in `parts/segment.tsx`. */
import { useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import type { Segment } from '../../../schemas/segment.ts'
import { call, inEnvironment } from '../api.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Empty } from '../parts/empty.tsx'
import { Problem } from '../parts/problem.tsx'
import { SegmentPage } from '../parts/segment.tsx'
import { Users } from '../parts/segmentusers.tsx'
import { useResource } from '../resource.ts'
import { go, linkTo, route } from '../route.ts'
import { useSending } from '../sending.ts'
import { may, nameOf, place } from '../session.ts'
import './admin.css'

export function Segments() {
  const [key] = route.value.rest
  const here = place.value === null ? '' : nameOf(place.value)
  return key === undefined ? <List /> : <SegmentPage key={`${here}/${key}`} name={key} place={here} />
}

function List() {
  const { data, failure, refresh } = useResource<{ segments: readonly Segment[] }>(inEnvironment('/segments'))
  const flags = useResource<{ flags: readonly Flag[] }>(inEnvironment('/flags'))
  const [text, setText] = useState('')
  const [isNew, setNew] = useState(false)
  const segments = data?.segments ?? []
  const wanted = text.trim().toLowerCase()
  const shown = segments.filter(({ key, name = '', description = '' }) => `${key} ${name} ${description}`.toLowerCase().includes(wanted))
  return (
    <>
      <header class="title">
        <h1>Segments</h1>
        {may('editor') && (
          <button type="button" class="small" onClick={() => setNew(true)}>
            New segment
          </button>
        )}
      </header>
      <Problem failure={failure ?? flags.failure} onRetry={refresh} />
      {data === null && failure === null && <p aria-busy="true">Loading</p>}
      {data !== null && segments.length === 0 && (
        <Empty
          title="No segments here yet. A segment is a group of contexts that several flags can name."
          command="sluice segments create beta"
        >
          {may('editor') && (
            <button type="button" class="small" onClick={() => setNew(true)}>
              New segment
            </button>
          )}
        </Empty>
      )}
      {segments.length > 0 && (
        <input
          type="search"
          class="filter"
          aria-label="Find a segment by its key, name or description"
          placeholder="Find by key, name or description"
          value={text}
          onInput={event => setText(event.currentTarget.value)}
        />
      )}
      {segments.length > 0 && shown.length === 0 && <p>No segment here has “{text}” in its key, name or description.</p>}
      {shown.length > 0 && (
        <table class="cards">
          <thead>
            <tr>
              <th scope="col">Segment</th>
              <th scope="col" class="number">
                Included
              </th>
              <th scope="col" class="number">
                Excluded
              </th>
              <th scope="col" class="number">
                Rules
              </th>
              <th scope="col">Used by</th>
            </tr>
          </thead>
          <tbody>
            {shown.map(segment => (
              <tr key={segment.key}>
                <th scope="row">
                  <a href={linkTo('segments', [segment.key])}>{segment.key}</a>{' '}
                  {segment.name !== undefined && <small>{segment.name}</small>}
                  {segment.description !== undefined && <small class="below">{segment.description}</small>}
                </th>
                <td data-label="Included" class="number">
                  {countOf(segment.included)}
                </td>
                <td data-label="Excluded" class="number">
                  {countOf(segment.excluded)}
                </td>
                <td data-label="Rules" class="number">
                  {segment.rules.length}
                </td>
                <td data-label="Used by">
                  {flags.data !== null && <Users name={segment.key} flags={flags.data.flags} segments={segments} most={4} />}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {isNew && <NewSegment onClose={() => setNew(false)} />}
    </>
  )
}

function countOf(lists: Segment['included']): string {
  return lists.reduce((sum, { values }) => sum + values.length, 0).toLocaleString('en')
}

function NewSegment({ onClose }: { readonly onClose: () => void }) {
  const [key, setKey] = useState('')
  const [name, setName] = useState('')
  const { isBusy, failure, send } = useSending()
  return (
    <Dialog title="New segment" onClose={onClose}>
      <form
        onSubmit={event => {
          event.preventDefault()
          void send(async () => {
            await call(inEnvironment('/segments'), { method: 'POST', body: { key, ...(name === '' ? {} : { name }) } })
            go(linkTo('segments', [key]))
          }).then(isDone => isDone && onClose())
        }}
      >
        <label>
          Key
          <input
            type="text"
            required
            autofocus
            autocapitalize="off"
            spellcheck={false}
            placeholder="as in beta-testers"
            value={key}
            onInput={event => setKey(event.currentTarget.value.trim())}
          />
        </label>
        <label>
          Name <small>if it is another</small>
          <input type="text" value={name} onInput={event => setName(event.currentTarget.value)} />
        </label>
        <p class="hint">It begins empty: nobody is in it.</p>
        <Problem failure={failure} />
        <div class="buttons">
          <button type="submit" disabled={isBusy} aria-busy={isBusy}>
            Create the segment
          </button>
        </div>
      </form>
    </Dialog>
  )
}
