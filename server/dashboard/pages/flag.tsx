/** One flag: what it is, what it does in the environment at hand, and everything one may want to know or do about it. */
import { lazy, Suspense } from 'preact/compat'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import type { LiveMessage } from '../../../schemas/live.ts'
import type { Usage } from '../../../schemas/usage.ts'
import { affectedText } from '../../../schemas/words.ts'
import { at, call, type Failure, inEnvironment, inProject } from '../api.ts'
import { type Draft, draftOf, dropDraft, keepDraft } from '../drafts.ts'
import { useShortcut } from '../keyboard.ts'
import { isSame, type Settings, settingsOf } from '../merge.ts'
import { About } from '../parts/about.tsx'
import { ArchiveDialog } from '../parts/archive.tsx'
import { Builder } from '../parts/builder.tsx'
import { Dialog } from '../parts/dialog.tsx'
import { Empty } from '../parts/empty.tsx'
import { flagState } from '../parts/flagstate.tsx'
import { KillDialog, LiftDialog } from '../parts/kill.tsx'
import { Moment } from '../parts/moment.tsx'
import { Problem } from '../parts/problem.tsx'
import { Problems } from '../parts/problems.tsx'
import { Arrival } from '../parts/receipts.tsx'
import { Conflict, failureOf, Review, type Saved, saveSettings, withField } from '../parts/save.tsx'
import { useResource } from '../resource.ts'
import { go, linkTo, route } from '../route.ts'
import { may, mayInProject } from '../session.ts'

const Playground = lazy(async () => (await import('../parts/playground.tsx')).Playground)
const History = lazy(async () => (await import('../parts/flaghistory.tsx')).History)
const Evaluations = lazy(async () => (await import('../parts/evaluations.tsx')).Evaluations)
const Compare = lazy(async () => (await import('../parts/compare.tsx')).Compare)
const JsonView = lazy(async () => (await import('../parts/json.tsx')).JsonView)

const TABS = [
  { name: 'rules', title: 'Rules' },
  { name: 'try', title: 'Try it' },
  { name: 'history', title: 'History' },
  { name: 'evaluations', title: 'Evaluations' },
  { name: 'compare', title: 'Compare' },
  { name: 'json', title: 'JSON' },
] as const

interface Everywhere {
  readonly environments: Readonly<Record<string, Flag>>
  readonly usage: Readonly<Record<string, Usage>>
}

type Open = 'kill' | 'archive' | 'switch' | { readonly lift: Flag['kills'][number] } | null

export function FlagPage({ flag: key }: { readonly flag: string }) {
  const { project, environment, rest } = route.value
  const tab = TABS.find(({ name }) => name === rest[1])?.name ?? 'rules'
  const isMine = (message: LiveMessage): boolean =>
    message.type === 'change' &&
    message.project === project &&
    (message.editCount > message.edits.length || message.edits.some(edit => edit.type === 'flag' && edit.key === key))
  const { data: flag, failure, refresh } = useResource<Flag>(inEnvironment(at`/flags/${key}`), { on: isMine })
  const everywhere = useResource<Everywhere>(mayInProject('viewer') ? inProject(at`/flags/${key}`) : null, { on: isMine })
  const [open, setOpen] = useState<Open>(null)
  useShortcut('k', 'Kill this flag', () => may('operator') && flag !== null && setOpen('kill'))
  useShortcut('e', 'Try it: what would a context get', () => go(linkTo('flags', [key, 'try'])))
  useShortcut('u', 'Back to all flags', () => go(linkTo('flags')))
  if (flag === null) {
    return (
      <>
        <h1>{key}</h1>
        <Problem failure={failure} onRetry={refresh} />
        {failure?.code === 'FLAG_NOT_FOUND' ? (
          <Empty title={`There is no flag “${key}” in ${environment}.`} command={`sluice flag create ${key} --kind release`}>
            <a href={linkTo('flags')}>All flags</a>
          </Empty>
        ) : (
          failure === null && <p aria-busy="true">Loading</p>
        )}
      </>
    )
  }
  const environments = everywhere.data?.environments
  const version = environments === undefined ? null : Object.values(environments).reduce((sum, each) => sum + each.version, 0)
  const changed = (): void => {
    refresh()
    everywhere.refresh()
  }
  return (
    <>
      <header class="flagshead flaghead">
        <div>
          <p class="crumbs">
            <a href={linkTo('flags')}>Flags</a> / {environment}
          </p>
          <h1>{flag.key}</h1>
          {flag.name !== undefined && flag.name !== flag.key && <p class="name">{flag.name}</p>}
        </div>
        <div class="presses">
          <span class="big">{flagState(flag)}</span>
          {may('editor') && (
            <button type="button" class="secondary outline small" onClick={() => setOpen('switch')}>
              Turn {flag.enabled ? 'off' : 'on'}
            </button>
          )}
          {may('operator') && (
            <button type="button" class="danger small" onClick={() => setOpen('kill')}>
              Kill <kbd>k</kbd>
            </button>
          )}
        </div>
      </header>
      <Problem failure={failure} onRetry={refresh} />
      <Kills flag={flag} onLift={lift => setOpen({ lift })} />
      <nav class="tabs" aria-label={`About ${flag.key}`}>
        {TABS.map(({ name, title }) => (
          <a key={name} href={linkTo('flags', name === 'rules' ? [key] : [key, name])} aria-current={tab === name ? 'page' : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <Editing flag={flag} tab={tab} refresh={changed}>
        <Standings flag={flag} everywhere={everywhere.data} environment={environment} />
        <About flag={flag} version={version} onChanged={changed} />
        {may('editor') && (
          <p>
            <button type="button" class="secondary outline small" onClick={() => setOpen('archive')}>
              Archive…
            </button>
          </p>
        )}
      </Editing>
      {open === 'kill' && <KillDialog flags={[flag]} onClose={() => setOpen(null)} />}
      {open === 'switch' && <Switch flag={flag} environment={environment} onClose={() => setOpen(null)} onDone={changed} />}
      {open === 'archive' && (
        <ArchiveDialog keys={[key]} environment={environment} onClose={() => setOpen(null)} onDone={() => go(linkTo('flags'))} />
      )}
      {open !== null && typeof open === 'object' && <LiftDialog flag={key} kill={open.lift} onClose={() => setOpen(null)} />}
    </>
  )
}

/** What lies over the flag comes before everything else. */
function Kills({ flag, onLift }: { readonly flag: Flag; readonly onLift: (kill: Flag['kills'][number]) => void }) {
  if (flag.kills.length === 0) return null
  return (
    <section class="kills" aria-label="Kills">
      {flag.kills.map(kill => (
        <div key={kill.id} class="overlay">
          <p>
            <strong class="bad">■ Killed</strong> for {affectedText(kill.clauses)}: they get <strong>{kill.variation}</strong>.
            <br />“{kill.reason}” <small>{kill.actor}</small> <Moment at={kill.at} />
            {kill.until !== null && (
              <>
                , ends <Moment at={kill.until} />
              </>
            )}
            {kill.incident !== undefined && <>, incident {kill.incident}</>}
          </p>
          {may('operator') && (
            <button type="button" class="secondary small" onClick={() => onLift(kill)}>
              Lift…
            </button>
          )}
        </div>
      ))}
    </section>
  )
}

function Standings({
  flag,
  everywhere,
  environment,
}: {
  readonly flag: Flag
  readonly everywhere: Everywhere | null
  readonly environment: string
}) {
  const { project, rest } = route.value
  const all = everywhere?.environments ?? { [environment]: flag }
  return (
    <section class="card" aria-labelledby="standings">
      <h2 id="standings">Environments</h2>
      <ul class="standings">
        {Object.entries(all).map(([name, each]) => (
          <li key={name}>
            {name === environment ? <strong>{name}</strong> : <a href={linkTo('flags', rest, { project, environment: name })}>{name}</a>}
            <span>{flagState(each)}</span>
            <small>{usageText(everywhere?.usage[name])}</small>
          </li>
        ))}
      </ul>
    </section>
  )
}

function usageText(usage: Usage | undefined) {
  if (usage === undefined) return null
  if (usage.lastSeen === null) return 'never evaluated'
  if (usage.lastHour > 0) return `${usage.lastHour.toLocaleString('en')} in the last hour`
  return (
    <>
      evaluated last <Moment at={usage.lastSeen} />
    </>
  )
}

interface EditingProps {
  readonly flag: Flag
  readonly tab: (typeof TABS)[number]['name']
  readonly refresh: () => void
  readonly children: preact.ComponentChildren
}

type Step = { readonly kind: 'review' } | { readonly kind: 'conflict'; readonly theirs: Flag } | null

/** The pages of the flag over one draft: whatever edits it, it is saved in one way. */
function Editing({ flag, tab, refresh, children }: EditingProps) {
  const { project, environment } = route.value
  const name = `${project}/${environment}/${flag.key}`
  const draft = draftOf(name)
  const settings = draft?.settings ?? settingsOf(flag)
  const [step, setStep] = useState<Step>(null)
  const [failure, setFailure] = useState<Failure | null>(null)
  const [saved, setSaved] = useState<Saved | null>(null)
  const [isBusy, setBusy] = useState(false)
  const bar = useRef<HTMLDivElement>(null)
  const others = useOthers(tab === 'rules')

  // A kill or a lift lies over the flag and touches nothing that is edited: the edits move onto it by themselves.
  useEffect(() => {
    if (draft !== null && draft.base.version < flag.version && isSame(settingsOf(draft.base), settingsOf(flag)))
      keepDraft(name, flag, draft.settings)
  }, [draft, flag])
  const isBehind = draft !== null && draft.base.version < flag.version && !isSame(settingsOf(draft.base), settingsOf(flag))

  const edit = (next: Settings): void => {
    keepDraft(name, draft?.base ?? flag, next)
    setSaved(null)
  }
  const failed = async (found: Failure): Promise<void> => {
    if (found.code !== 'VERSION_CONFLICT') {
      setFailure(found)
      setStep(null)
      return
    }
    try {
      setStep({ kind: 'conflict', theirs: await call<Flag>(inEnvironment(at`/flags/${flag.key}`)) })
    } catch (error) {
      setFailure(failureOf(error))
      setStep(null)
    }
  }
  const review = async (own: Draft | null = draft): Promise<void> => {
    if (own === null) return
    setBusy(true)
    setFailure(null)
    try {
      await saveSettings(own, { dryRun: true })
      setStep({ kind: 'review' })
    } catch (error) {
      await failed(failureOf(error))
    }
    setBusy(false)
  }
  const discard = (): void => {
    dropDraft(name)
    setFailure(null)
    setStep(null)
  }
  useShortcut('s', 'Review and save', () => void review())
  const canEdit = may('editor')

  return (
    <Problems.Provider value={failure?.details ?? []}>
      {saved !== null && (
        <div class="saved" role="status">
          <p>
            <strong class="good">● Saved</strong> as revision {saved.revision}, version {saved.flag.version}.
          </p>
          <Arrival revision={saved.revision} />
        </div>
      )}
      <Suspense fallback={<p aria-busy="true">Loading</p>}>
        {tab === 'rules' && (
          <div class="columns">
            <Builder settings={settings} flag={flag} flags={others.flags} segments={others.segments} canEdit={canEdit} onChange={edit} />
            <aside>{children}</aside>
          </div>
        )}
        {tab === 'try' && <Playground flag={flag} hasDraft={draft !== null} />}
        {tab === 'history' && <History flag={flag} />}
        {tab === 'evaluations' && <Evaluations flag={flag} />}
        {tab === 'compare' && <Compare flag={flag} onCopied={refresh} />}
        {tab === 'json' && <JsonView flag={flag} settings={settings} canEdit={canEdit} onChange={edit} />}
      </Suspense>
      {draft !== null && (
        <div class="unsaved" ref={bar} role="region" aria-label="Edits that are not saved">
          {isBehind && (
            <p class="warn">
              ▲ It was changed while you edited: version {flag.version} stands, you edit version {draft.base.version}. Your edits are kept.{' '}
              <button type="button" class="secondary outline small" onClick={() => setStep({ kind: 'conflict', theirs: flag })}>
                See theirs beside yours
              </button>
            </p>
          )}
          <Problem failure={failure} />
          <div class="presses">
            <span>Edits that are not saved</span>
            <button type="button" class="secondary outline small" onClick={discard}>
              Discard
            </button>
            <button type="button" class="small" aria-busy={isBusy} disabled={isBusy} onClick={() => void review()}>
              Review and save
            </button>
          </div>
        </div>
      )}
      {step?.kind === 'review' && draft !== null && (
        <Review
          draft={draft}
          environment={environment}
          onClose={() => setStep(null)}
          onFailed={found => void failed(found)}
          onSaved={done => {
            dropDraft(name)
            setStep(null)
            setSaved(done)
            refresh()
          }}
        />
      )}
      {step?.kind === 'conflict' && draft !== null && (
        <Conflict
          draft={draft}
          theirs={step.theirs}
          onClose={() => setStep(null)}
          onDiscard={discard}
          onReapply={next => {
            keepDraft(name, next.base, next.settings)
            setStep(null)
            refresh()
            // With nothing of ones own left there is nothing to save.
            if (!isSame(settingsOf(next.base), next.settings)) void review(next)
          }}
        />
      )}
    </Problems.Provider>
  )
}

/** The other flags and the segments of the environment: asked once, for choosing among them. */
function useOthers(isWanted: boolean): { flags: readonly Flag[]; segments: readonly string[] } {
  const on = (): boolean => false
  const flags = useResource<{ flags: readonly Flag[] }>(isWanted ? inEnvironment('/flags') : null, { on })
  const segments = useResource<{ segments: readonly { readonly key: string }[] }>(isWanted ? inEnvironment('/segments') : null, { on })
  return { flags: flags.data?.flags ?? [], segments: segments.data?.segments.map(({ key }) => key) ?? [] }
}

interface SwitchProps {
  readonly flag: Flag
  readonly environment: string
  readonly onDone: () => void
  readonly onClose: () => void
}

function Switch({ flag, environment, onDone, onClose }: SwitchProps) {
  const [comment, setComment] = useState('')
  const [failure, setFailure] = useState<Failure | null>(null)
  const [saved, setSaved] = useState<Saved | null>(null)
  const [isBusy, setBusy] = useState(false)
  const [wanted] = useState(!flag.enabled)
  const save = async (event: Event): Promise<void> => {
    event.preventDefault()
    setBusy(true)
    try {
      setSaved(await saveSettings(withField(flag, { enabled: wanted }), { comment }))
      onDone()
    } catch (error) {
      setFailure(failureOf(error))
    }
    setBusy(false)
  }
  const word = wanted ? 'on' : 'off'
  return (
    <Dialog title={`Turn ${flag.key} ${word} in ${environment}`} onClose={onClose}>
      {saved === null ? (
        <form onSubmit={event => void save(event)}>
          <p>
            {wanted
              ? `Its prerequisites, targets and rules decide again${flag.kills.length > 0 ? ', below the kills that stand on it' : ''}.`
              : `Everybody gets “${flag.offVariation}”. In an emergency kill it instead: that needs no version, and lifting it restores all.`}
          </p>
          <label>
            Comment
            <input type="text" autofocus value={comment} onInput={event => setComment(event.currentTarget.value)} />
          </label>
          <Problem failure={failure} />
          <div class="presses">
            <button type="button" class="secondary" onClick={onClose}>
              Cancel
            </button>
            <button type="submit" aria-busy={isBusy} disabled={isBusy}>
              Turn {word}
            </button>
          </div>
        </form>
      ) : (
        <>
          <p>
            <strong class="good">●</strong> It is {word}.
          </p>
          <Arrival revision={saved.revision} />
          <div class="presses">
            <button type="button" autofocus onClick={onClose}>
              Close
            </button>
          </div>
        </>
      )}
    </Dialog>
  )
}
