/**
 * The kill dialog and its opposite. Before the press: who is covered, what is served instead, and who would notice; after it:
 * the receipts as they arrive, and the undo. The same for one flag and for many.
 */
import { useEffect, useRef, useState, useLayoutEffect } from 'preact/hooks'
import type { Clause } from '../../../schemas/clause.ts'
import type { Change } from '../../../schemas/change.ts'
import type { Flag } from '../../../schemas/flag.ts'
import type { Instance } from '../../../schemas/instance.ts'
import type { Kill } from '../../../schemas/kill.ts'
import { affectedText, clauseText, ruleText, serveText } from '../../../schemas/words.ts'
import { at, call, Failure, inEnvironment } from '../api.ts'
import { useResource } from '../resource.ts'
import { route } from '../route.ts'
import { NEW_CLAUSE, type ClauseDraft, ClausesEditor, clauseOf } from './clauses.tsx'
import { Command } from './copy.tsx'
import { countText, listText } from './counts.ts'
import { Dialog } from './dialog.tsx'
import { Moment } from './moment.tsx'
import { Problem } from './problem.tsx'
import { Arrival } from './receipts.tsx'

/** While somebody types, the server is not asked at every key. */
const ASK_AFTER_MS = 250
const PRESETS_MAX = 6
const RULES_SHOWN = 5
const MINUTE_MS = 60_000

/** How long a kill may stand, in minutes; null until somebody lifts it. */
const SPANS = [
  { name: 'until it is lifted', minutes: null },
  { name: 'for 30 minutes', minutes: 30 },
  { name: 'for 2 hours', minutes: 120 },
  { name: 'for 1 day', minutes: 1_440 },
] as const

interface Affected {
  readonly downstream: readonly string[]
  readonly lastHour: Readonly<Record<string, number>>
}

interface Request {
  readonly reason: string
  readonly clauses?: readonly Clause[]
  readonly variation?: string
  readonly until?: string
}

interface Killed {
  readonly revision: number
  readonly volatile?: true
  readonly kills: readonly { readonly flag: string; readonly kill: Kill; readonly existing: boolean }[]
  readonly skipped: readonly { readonly flag: string; readonly message: string }[]
  readonly affected: Affected
}

/** @param flags one, or many that are killed in one commit */
export function KillDialog({ flags, onClose }: { readonly flags: readonly Flag[]; readonly onClose: () => void }) {
  const [killed, setKilled] = useState<Killed | null>(null)
  const what = flags.length === 1 ? flags[0]!.key : countText(flags.length, 'flag')
  if (killed !== null) return <KilledDialog killed={killed} onClose={onClose} />
  return (
    <Dialog title={`Kill ${what} in ${route.value.environment}`} onClose={onClose}>
      <KillForm flags={flags} what={what} onClose={onClose} onKilled={setKilled} />
    </Dialog>
  )
}

interface FormProps {
  readonly flags: readonly Flag[]
  readonly what: string
  readonly onClose: () => void
  readonly onKilled: (killed: Killed) => void
}

function KillForm({ flags, what, onClose, onKilled }: FormProps) {
  const all = useResource<{ flags: readonly Flag[] }>(inEnvironment('/flags'), { on: () => false })
  const segments = useResource<{ segments: readonly { readonly key: string }[] }>(inEnvironment('/segments'), { on: () => false })
  // As they were when the dialog opened: what is chosen must not move under the hand.
  const presets = presetsOf(flags, all.data?.flags ?? [])
  const [scope, setScope] = useState('everyone')
  const [drafts, setDrafts] = useState<readonly ClauseDraft[]>([NEW_CLAUSE])
  const [variation, setVariation] = useState('')
  const [reason, setReason] = useState('')
  const [span, setSpan] = useState('0')
  const [moment, setMoment] = useState('')
  const [isBusy, setBusy] = useState(false)
  const [failure, setFailure] = useState<Failure | null>(null)

  const clauses = clausesOf(scope, drafts)
  const request = clauses === null ? null : { ...(clauses.length === 0 ? {} : { clauses }), ...(variation === '' ? {} : { variation }) }
  const kill = async (event: Event): Promise<void> => {
    event.preventDefault()
    if (request === null || isBusy) return
    setBusy(true)
    try {
      onKilled(await sendKill(flags, { ...request, ...untilOf(span, moment), reason: reason.trim() }))
    } catch (error) {
      setFailure(failureOf(error))
      setBusy(false)
    }
  }
  const standing = flags.flatMap(flag => flag.kills)
  return (
    <form class="kill" onSubmit={event => void kill(event)}>
      <fieldset class="scope">
        <legend>Who</legend>
        <Choice name="everyone" scope={scope} onChoose={setScope}>
          Everyone
        </Choice>
        {presets.map(clause => (
          <Choice key={JSON.stringify(clause)} name={JSON.stringify(clause)} scope={scope} onChoose={setScope}>
            {clause.op === 'segment' ? `segment ${String(clause.values[0])}` : String(clause.values[0])} only{' '}
            <small>{clause.op === 'segment' ? '' : clause.attribute}</small>
          </Choice>
        ))}
        <Choice name="some" scope={scope} onChoose={setScope}>
          Only some…
        </Choice>
      </fieldset>
      {scope === 'some' && (
        <ClausesEditor
          drafts={drafts}
          onChange={setDrafts}
          attributes={attributesOf([...flags, ...(all.data?.flags ?? [])])}
          segments={(segments.data?.segments ?? []).map(({ key }) => key)}
        />
      )}
      <label>
        Reason
        <input
          type="text"
          required
          maxLength={2_000}
          placeholder="What the next person reads, as: double charges on Android"
          value={reason}
          onInput={event => setReason(event.currentTarget.value)}
        />
      </label>
      <div class="pair">
        <label>
          Serves
          <select value={variation} onChange={event => setVariation(event.currentTarget.value)}>
            <option value="">{offText(flags)}</option>
            {commonVariations(flags).map(({ key, value }) => (
              <option key={key} value={key}>
                {flags.length === 1 ? `${key} (${JSON.stringify(value).slice(0, 40)})` : key}
              </option>
            ))}
          </select>
        </label>
        <label>
          Stands
          <select value={span} onChange={event => setSpan(event.currentTarget.value)}>
            {SPANS.map(({ name }, i) => (
              <option key={name} value={String(i)}>
                {name}
              </option>
            ))}
            <option value="moment">until a moment…</option>
          </select>
        </label>
      </div>
      {span === 'moment' && (
        <label>
          Until, in the time of this browser
          <input type="datetime-local" required value={moment} onInput={event => setMoment(event.currentTarget.value)} />
        </label>
      )}
      {standing.length > 0 && (
        <p class="hint">
          Standing already:{' '}
          {listText(
            standing.map(each => `${each.variation} for ${affectedText(each.clauses)} (${each.reason})`),
            3,
          )}
          .
        </p>
      )}
      <AffectedBy flags={flags} request={request} />
      <Problem failure={failure} />
      <div class="actions">
        <button type="button" class="secondary cancel" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class="danger" aria-busy={isBusy} disabled={request === null || isBusy}>
          Kill {what} {clauses === null ? '…' : clauses.length === 0 ? 'for everyone' : `where ${clauses.map(clauseText).join(' and ')}`}
        </button>
      </div>
    </form>
  )
}

function Choice({
  name,
  scope,
  onChoose,
  children,
}: {
  readonly name: string
  readonly scope: string
  readonly onChoose: (name: string) => void
  readonly children: preact.ComponentChildren
}) {
  return (
    <label class="choice">
      <input type="radio" name="scope" value={name} checked={scope === name} onChange={() => onChoose(name)} />
      <span>{children}</span>
    </label>
  )
}

/** Who would notice: asked of the server with every change of the scope, before anything is done. */
function AffectedBy({ flags, request }: { readonly flags: readonly Flag[]; readonly request: Omit<Request, 'reason'> | null }) {
  const instances = useResource<{ instances: readonly Instance[] }>(inEnvironment('/instances'), { on: () => false })
  const [asked, setAsked] = useState<{ readonly affected: Affected | null; readonly failure: Failure | null }>({
    affected: null,
    failure: null,
  })
  const question = request === null ? null : JSON.stringify(request)
  useEffect(() => {
    if (question === null) return
    const ending = new AbortController()
    const timer = setTimeout(() => {
      sendKill(flags, { ...(JSON.parse(question) as Omit<Request, 'reason'>), reason: 'to see who is affected' }, ending.signal).then(
        ({ affected }) => setAsked({ affected, failure: null }),
        (error: unknown) => !ending.signal.aborted && setAsked({ affected: null, failure: failureOf(error) }),
      )
    }, ASK_AFTER_MS)
    return () => {
      clearTimeout(timer)
      ending.abort()
    }
  }, [question])
  const { affected, failure } = asked
  return (
    <div class="affected" aria-live="polite">
      <Problem failure={failure ?? instances.failure} />
      <dl>
        <dt>Connected</dt>
        <dd>{instances.data === null ? '…' : servicesText(instances.data.instances)}</dd>
        <dt>Last hour</dt>
        <dd>{affected === null ? '…' : evaluationsText(affected, flags)}</dd>
        <dt>Also off</dt>
        <dd>
          {affected === null
            ? '…'
            : affected.downstream.length === 0
              ? 'no other flag needs it'
              : `${listText(affected.downstream, 8)}: ${affected.downstream.length === 1 ? 'it needs' : 'they need'} ${flags.length === 1 ? 'this flag' : 'these flags'}${request?.clauses === undefined ? '' : ', for the same contexts'}`}
        </dd>
      </dl>
    </div>
  )
}

/** After the press. */
function KilledDialog({ killed, onClose }: { readonly killed: Killed; readonly onClose: () => void }) {
  const [lifted, setLifted] = useState<number | null>(null)
  const [failure, setFailure] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  const [first] = killed.kills
  const fresh = killed.kills.filter(({ existing }) => !existing)
  const what = killed.kills.length === 1 ? first!.flag : countText(killed.kills.length, 'flag')
  const undo = async (): Promise<void> => {
    setBusy(true)
    try {
      let revision = 0
      for (const { flag, kill } of fresh) revision = (await sendLift(flag, kill.id, 'undone at once')).revision
      setLifted(revision)
    } catch (error) {
      setFailure(failureOf(error))
    }
    setBusy(false)
  }
  const title = lifted !== null ? `Lifted ${what}` : fresh.length === 0 ? `${what}: killed already` : `Killed ${what}`
  return (
    <Dialog title={title} onClose={onClose}>
      {lifted === null ? (
        <>
          {first !== undefined && (
            <p class="bad" role="status">
              <span aria-hidden="true">■</span> {what} serves <strong>{first.kill.variation}</strong> to {affectedText(first.kill.clauses)}
              {first.kill.clauses.length > 0 && '; everyone else is served as before'}.
            </p>
          )}
          {fresh.length === 0 && <p>The same kill stood already: nothing new was written.</p>}
          {killed.volatile === true && (
            <p class="warn">▲ Published, and not stored yet: the server keeps it in a file of its own until storage is well.</p>
          )}
          {killed.skipped.map(({ flag, message }) => (
            <p class="warn" key={flag}>
              ▲ Not killed: {message}
            </p>
          ))}
          <Arrival revision={killed.revision} key={killed.revision} />
        </>
      ) : (
        <>
          <p class="good" role="status">
            <span aria-hidden="true">●</span> What stood before serves again.
          </p>
          <Arrival revision={lifted} key={lifted} />
        </>
      )}
      <Problem failure={failure} />
      {lifted === null && fresh.length > 0 && (
        <>
          <p class="hint">To undo it from a terminal:</p>
          <Command
            text={liftCommand(
              fresh.map(({ flag }) => flag),
              fresh.map(({ kill }) => kill.id),
            )}
          />
        </>
      )}
      <div class="actions">
        {lifted === null && fresh.length > 0 && (
          <button type="button" class="secondary" onClick={() => void undo()} aria-busy={isBusy} disabled={isBusy}>
            Undo: lift it
          </button>
        )}
        <Done onClick={onClose} key={String(lifted)} />
      </div>
    </Dialog>
  )
}

/** The hands are at it once something is done. */
function Done({ onClick }: { readonly onClick: () => void }) {
  const button = useRef<HTMLButtonElement>(null)
  useLayoutEffect(() => button.current?.focus(), [])
  return (
    <button type="button" ref={button} onClick={onClick} autofocus>
      Done
    </button>
  )
}

/** Before a kill is lifted: what it was for, and what stands below it. */
export function LiftDialog({ flag: key, kill, onClose }: { readonly flag: string; readonly kill: Kill; readonly onClose: () => void }) {
  const { data: flag, failure } = useResource<Flag>(inEnvironment(at`/flags/${key}`))
  const [comment, setComment] = useState('')
  const [revision, setRevision] = useState<number | null>(null)
  const [problem, setProblem] = useState<Failure | null>(null)
  const [isBusy, setBusy] = useState(false)
  const lift = async (event: Event): Promise<void> => {
    event.preventDefault()
    setBusy(true)
    try {
      setRevision((await sendLift(key, kill.id, comment.trim())).revision)
    } catch (error) {
      setProblem(failureOf(error))
    }
    setBusy(false)
  }
  const covers = affectedText(kill.clauses)
  if (revision !== null) {
    return (
      <Dialog title={`Lifted ${key}`} onClose={onClose}>
        <p class="good" role="status">
          <span aria-hidden="true">●</span> The kill for {covers} is gone.
        </p>
        <Arrival revision={revision} />
        <div class="actions">
          <Done onClick={onClose} />
        </div>
      </Dialog>
    )
  }
  return (
    <Dialog title={`Lift the kill on ${key}`} onClose={onClose}>
      <form class="kill" onSubmit={event => void lift(event)}>
        <p>
          It serves <strong>{kill.variation}</strong> to {covers}, because “{kill.reason}” ({kill.actor}, <Moment at={kill.at} />
          ).
        </p>
        <h3>Below it stands</h3>
        <Problem failure={failure} />
        {flag === null ? <p aria-busy="true">…</p> : <Below flag={flag} without={kill.id} />}
        <label>
          Comment, if there is something to say
          <input
            type="text"
            autofocus
            maxLength={2_000}
            placeholder="fixed in 4.2.1"
            value={comment}
            onInput={event => setComment(event.currentTarget.value)}
          />
        </label>
        <Command text={liftCommand([key], [kill.id])} />
        <Problem failure={problem} />
        <div class="actions">
          <button type="button" class="secondary cancel" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" aria-busy={isBusy} disabled={isBusy}>
            Lift the kill
          </button>
        </div>
      </form>
    </Dialog>
  )
}

/** What a flag serves without one of its kills. */
function Below({ flag, without }: { readonly flag: Flag; readonly without: string }) {
  const kills = flag.kills.filter(({ id }) => id !== without)
  return (
    <ul class="below">
      {kills.map(kill => (
        <li key={kill.id} class="bad">
          ■ still killed: {kill.variation} to {affectedText(kill.clauses)}, “{kill.reason}” ({kill.actor})
        </li>
      ))}
      {!flag.enabled && <li>○ the flag is off: {flag.offVariation}</li>}
      {flag.enabled && (
        <>
          {flag.prerequisites.length > 0 && <li>it needs {listText(flag.prerequisites.map(each => each.flag))}</li>}
          {flag.targets.length > 0 && <li>{countText(flag.targets.length, 'target')}</li>}
          {flag.rules.slice(0, RULES_SHOWN).map(rule => (
            <li key={rule.id}>{ruleText(rule)}</li>
          ))}
          {flag.rules.length > RULES_SHOWN && <li>and {countText(flag.rules.length - RULES_SHOWN, 'more rule')}</li>}
          <li>
            {flag.rules.length + flag.targets.length === 0 ? 'everyone' : 'everyone else'} → {serveText(flag.fallthrough)}
          </li>
        </>
      )}
    </ul>
  )
}

/** @param signal given for a question: nothing is written then */
async function sendKill(flags: readonly Flag[], request: Request, signal?: AbortSignal): Promise<Killed> {
  const [flag] = flags
  const own = { method: 'POST', ...(signal === undefined ? {} : { query: { dryRun: true }, signal }) } as const
  if (flag === undefined || flags.length > 1) {
    return call<Killed>(inEnvironment('/kills'), { ...own, body: { ...request, flags: flags.map(({ key }) => key) } })
  }
  const one = await call<{ readonly flag: string; readonly kill: Kill; readonly existing: boolean } & Omit<Killed, 'kills' | 'skipped'>>(
    inEnvironment(at`/flags/${flag.key}/kills`),
    { ...own, body: request },
  )
  return { ...one, kills: [{ flag: one.flag, kill: one.kill, existing: one.existing }], skipped: [] }
}

function sendLift(flag: string, id: string, comment: string): Promise<{ readonly revision: number; readonly change: Change | null }> {
  return call(inEnvironment(at`/flags/${flag}/kills/${id}`), {
    method: 'DELETE',
    query: { comment: comment === '' ? undefined : comment },
  })
}

function liftCommand(flags: readonly string[], ids: readonly string[]): string {
  const { project, environment } = route.peek()
  const named = flags.length === 1 ? [flags[0]] : []
  return [
    'sluice',
    'lift',
    ...named,
    ...(project === 'default' ? [] : ['-p', project]),
    '-e',
    environment,
    ...ids.flatMap(id => ['--id', id]),
  ].join(' ')
}

function clausesOf(scope: string, drafts: readonly ClauseDraft[]): readonly Clause[] | null {
  if (scope === 'everyone') return []
  if (scope !== 'some') return [JSON.parse(scope) as Clause]
  const clauses = drafts.map(clauseOf)
  // None at all would be everyone, and that is said otherwise.
  return clauses.length === 0 || clauses.includes(null) ? null : (clauses as Clause[])
}

function untilOf(span: string, moment: string): { until?: string } {
  if (span === 'moment') return { until: new Date(moment).toISOString() }
  const minutes = SPANS[Number(span)]?.minutes ?? null
  return minutes === null ? {} : { until: new Date(Date.now() + minutes * MINUTE_MS).toISOString() }
}

function offText(flags: readonly Flag[]): string {
  const offs = [...new Set(flags.map(flag => flag.offVariation))]
  if (flags.length !== 1) return `its off variation (${listText(offs, 3)})`
  const [flag] = flags
  const value = flag!.variations.find(({ key }) => key === flag!.offVariation)?.value
  return `${flag!.offVariation} (${JSON.stringify(value ?? null).slice(0, 40)})`
}

/** Those that all of the flags have, without the one that is offered first. */
function commonVariations(flags: readonly Flag[]): Flag['variations'] {
  const [first, ...others] = flags
  return (first?.variations ?? []).filter(
    ({ key }) =>
      (others.length > 0 || key !== first!.offVariation) && others.every(flag => flag.variations.some(variation => variation.key === key)),
  )
}

/** One value each of what rules ask already: the flag's own first, then what others ask most. */
function presetsOf(flags: readonly Flag[], all: readonly Flag[]): readonly Clause[] {
  const counts = new Map<string, number>()
  for (const [list, weight] of [
    [flags, 1_000_000],
    [all, 1],
  ] as const) {
    for (const { attribute, op, values, negate = false, ignoreCase = false } of list.flatMap(clausesIn)) {
      if (negate || (op !== 'in' && op !== 'segment')) continue
      for (const value of values.slice(0, PRESETS_MAX)) {
        const clause = { ...(op === 'segment' ? {} : { attribute }), op, values: [value], ...(ignoreCase ? { ignoreCase } : {}) }
        const name = JSON.stringify(clause)
        counts.set(name, (counts.get(name) ?? 0) + weight)
      }
    }
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, PRESETS_MAX)
    .map(([name]) => JSON.parse(name) as Clause)
}

function attributesOf(flags: readonly Flag[]): readonly string[] {
  const names = flags.flatMap(flag => [...clausesIn(flag), ...flag.targets].map(({ attribute }) => attribute ?? ''))
  return [...new Set(names)].filter(name => name !== '').sort()
}

function clausesIn({ rules, kills }: Flag): readonly Clause[] {
  return [...kills, ...rules].flatMap(({ clauses }) => clauses)
}

/** `3 instances: checkout-web 2, mobile-api 1`. */
function servicesText(instances: readonly Instance[]): string {
  if (instances.length === 0) return 'no instance: each takes it when it comes'
  const counts = new Map<string, number>()
  for (const { service } of instances) counts.set(service, (counts.get(service) ?? 0) + 1)
  const services = [...counts].sort(([, a], [, b]) => b - a).map(([service, count]) => `${service} ${count.toLocaleString('en')}`)
  return `${countText(instances.length, 'instance')}: ${listText(services, 8)}`
}

function evaluationsText({ lastHour }: Affected, flags: readonly Flag[]): string {
  const own = flags.reduce((sum, { key }) => sum + (lastHour[key] ?? 0), 0)
  if (own === 0) return 'not evaluated once'
  return `evaluated ${own.toLocaleString('en')} ${own === 1 ? 'time' : 'times'}, by all contexts together`
}

function failureOf(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure('INTERNAL', 0, String(error))
}
