/** Rate limits as they are used now: the busiest keys, what they were denied, how far a limit can be overdrawn; and holding one account. */
import { useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import type { Hold } from '../../../schemas/hold.ts'
import type { CounterUsage, LimitUsage } from '../../../schemas/limitusage.ts'
import type { RateValue } from '../../../schemas/values.ts'
import { affectedText, countedText, rateText } from '../../../schemas/words.ts'
import { at, call, inEnvironment } from '../api.ts'
import { Act, type Done, Outcome } from '../parts/act.tsx'
import { Empty } from '../parts/empty.tsx'
import { Gauge, numberText, Table, Tile, Tiles } from '../parts/figure.tsx'
import { flagState } from '../parts/flagstate.tsx'
import { History } from '../parts/history.tsx'
import { HoldAccount } from '../parts/holdaccount.tsx'
import { Moment } from '../parts/moment.tsx'
import { Problem } from '../parts/problem.tsx'
import { useResource } from '../resource.ts'
import { linkTo, route } from '../route.ts'
import { may } from '../session.ts'

const LOOK_MS = 2_000
const KEYS_OF_ALL = 3
const KEYS_OF_ONE = 50

export function Limits() {
  const [flag] = route.value.rest
  return flag === undefined ? <AllLimits /> : <OneLimit key={flag} flag={flag} />
}

function AllLimits() {
  const { data, failure, refresh } = useResource<{ flags: readonly Flag[] }>(inEnvironment('/flags?kind=rate-limit'))
  return (
    <>
      <div class="pagehead">
        <h1>Limits</h1>
      </div>
      <Problem failure={failure} onRetry={refresh} />
      {data?.flags.length === 0 && (
        <Empty
          title="No rate limit yet. One counts over the whole fleet, each account for itself:"
          command="sluice flags create api-requests --kind rate-limit"
        />
      )}
      {data?.flags.map(flag => (
        <Summary key={flag.key} flag={flag} />
      ))}
    </>
  )
}

/** One limit among the others: its rate, its busiest keys. */
function Summary({ flag }: { readonly flag: Flag }) {
  const { data, failure } = useUsage(flag.key, KEYS_OF_ALL)
  const value = servedValue(flag)
  return (
    <section>
      <div class="sectionhead">
        <h2>
          <a href={linkTo('limits', [flag.key])}>{flag.key}</a> {flagState(flag)}
        </h2>
        <span class="hint">{value === null ? 'as its rules say' : `${rateText(value)}, ${countedText(value)}`}</span>
      </div>
      <Problem failure={failure} />
      {data !== null && <Keys usage={data} />}
    </section>
  )
}

function OneLimit({ flag }: { readonly flag: string }) {
  const here = useResource<Flag>(inEnvironment(at`/flags/${flag}`))
  const usage = useUsage(flag, KEYS_OF_ONE)
  const holds = useResource<{ limits: readonly Hold[] }>(inEnvironment(at`/flags/${flag}/limits`))
  const [asked, setAsked] = useState<{ readonly account: string } | { readonly remove: Hold } | null>(null)
  const [done, setDone] = useState<Done | null>(null)
  const value = here.data === null ? null : servedValue(here.data)
  const finish = (what: Done): void => {
    setDone(what)
    holds.refresh()
    usage.refresh()
  }
  return (
    <>
      <p class="crumb">
        <a href={linkTo('limits')}>Limits</a> ›
      </p>
      <div class="pagehead">
        <h1>{flag}</h1>
        {here.data !== null && flagState(here.data)}
        <a href={linkTo('flags', [flag])}>its flag</a>
        {may('operator') && (
          <span class="buttons">
            <button type="button" onClick={() => setAsked({ account: '' })}>
              Hold an account
            </button>
          </span>
        )}
      </div>
      <Outcome done={done} onClose={() => setDone(null)} onDone={finish} />
      <Problem failure={here.failure ?? usage.failure ?? holds.failure} onRetry={usage.refresh} />
      {value !== null && (
        <p class="said">
          {rateText(value)}, {countedText(value)}.
        </p>
      )}
      {usage.data !== null && <Figures usage={usage.data} />}
      {holds.data !== null && holds.data.limits.length > 0 && (
        <section>
          <h2>Held to a rate of their own: the first that matches holds</h2>
          {holds.data.limits.map(hold => (
            <div key={hold.id} class="notice warn">
              <div class="line">
                <p>
                  <strong>▲ {rateText(hold.value)}</strong> for {affectedText(hold.clauses)}, {countedText(hold.value)}
                  {hold.reason !== null && <>: “{hold.reason}”</>}
                </p>
                {may('operator') && (
                  <button type="button" class="secondary small" onClick={() => setAsked({ remove: hold })}>
                    Let them go
                  </button>
                )}
              </div>
            </div>
          ))}
        </section>
      )}
      {usage.data !== null && (
        <section>
          <h2>The busiest keys</h2>
          <Keys usage={usage.data} {...(may('operator') ? { onHold: (account: string) => setAsked({ account }) } : {})} />
        </section>
      )}
      <History flag={flag} title="What changed who is limited" isShown={action => /^flag\.(limit|kill|lift|edit)$/.test(action)} />
      {asked !== null && 'account' in asked && (
        <HoldAccount
          flag={flag}
          attribute={value !== null ? ((value.keyBy ?? ['targetingKey'])[0] ?? '') : ''}
          account={asked.account}
          onClose={() => setAsked(null)}
          onDone={finish}
        />
      )}
      {asked !== null && 'remove' in asked && <LetGo flag={flag} hold={asked.remove} onClose={() => setAsked(null)} onDone={finish} />}
    </>
  )
}

function Figures({ usage: { counters, instances, silent, learningUntil, keys } }: { readonly usage: LimitUsage }) {
  const bounds = keys.flatMap(({ overAdmissionMax }) => (overAdmissionMax === null ? [] : [overAdmissionMax]))
  return (
    <>
      {learningUntil !== null && (
        <p class="notice warn">
          ▲ The server has restarted and learns what instances hold: it lends no tokens until <Moment at={learningUntil} />. Instances go on
          with what they have.
        </p>
      )}
      <Tiles>
        <Tile name="Keys counted">{numberText(counters)}</Tile>
        <Tile name="Instances">
          {numberText(instances)} {silent > 0 && <small>▲ {numberText(silent)} out of reach, on their safe shares</small>}
        </Tile>
        <Tile name="Admitted in the last minute">{numberText(sumOf(keys, 'admitted'))}</Tile>
        <Tile name="Denied in the last minute" tone={sumOf(keys, 'denied') > 0 ? 'warn' : ''}>
          {numberText(sumOf(keys, 'denied'))}
        </Tile>
        <Tile name="Over-admission, at most">{bounds.length === 0 ? '–' : numberText(Math.max(...bounds))}</Tile>
      </Tiles>
    </>
  )
}

function sumOf(keys: readonly CounterUsage[], name: 'admitted' | 'denied'): number {
  return keys.reduce((sum, each) => sum + each[name].minute, 0)
}

function Keys({ usage: { flag, keys }, onHold }: { readonly usage: LimitUsage; readonly onHold?: (account: string) => void }) {
  if (keys.length === 0) return <p class="hint">Nobody has asked for it in the last hour.</p>
  return (
    <Table
      name={`The busiest keys of ${flag}`}
      heads={[
        ...['Key', 'Variation', '#Admitted/min', '#Denied/min', '#Admitted/h', '#Denied/h', '#Remaining', 'Used'],
        ...(onHold === undefined ? [] : ['By hand']),
      ]}
      rows={keys.map(({ key, variation, admitted, denied, remaining, usedShare }) => ({
        key: `${variation} ${key}`,
        cells: [
          key === '' ? '(none)' : key,
          variation,
          numberText(admitted.minute),
          denied.minute > 0 ? <strong class="warn">▲ {numberText(denied.minute)}</strong> : '0',
          numberText(admitted.hour),
          numberText(denied.hour),
          remaining === null ? 'unlimited' : numberText(remaining),
          usedShare === null ? (
            '–'
          ) : (
            <Gauge share={usedShare} tone={usedShare >= 1 ? 'bad' : usedShare >= 0.8 ? 'warn' : 'good'}>
              {Math.round(usedShare * 100)} %
            </Gauge>
          ),
          ...(onHold === undefined
            ? []
            : [
                <button
                  type="button"
                  class="secondary small"
                  onClick={() => onHold(key)}
                  aria-label={`Hold ${key === '' ? 'those without a key' : key}`}
                >
                  Hold
                </button>,
              ]),
        ],
      }))}
    />
  )
}

function LetGo({ flag, hold, onClose, onDone }: { flag: string; hold: Hold; onClose: () => void; onDone: (done: Done) => void }) {
  const run = async (reason: string): Promise<Done> => {
    const { revision } = await call<{ revision: number }>(inEnvironment(at`/flags/${flag}/limits/${hold.id}`), {
      method: 'DELETE',
      query: reason === '' ? {} : { comment: reason },
    })
    return {
      text: `${affectedText(hold.clauses)}: let go.`,
      next: 'They are served as all others.',
      undo: {
        what: 'hold them again',
        run: () => call(inEnvironment(at`/changes/${String(revision)}/revert`), { method: 'POST', body: {} }),
      },
    }
  }
  return (
    <Act title={`Let go: ${flag}`} verb="Let them go" reason="may" run={run} onClose={onClose} onDone={onDone}>
      <p>
        {rateText(hold.value)} for {affectedText(hold.clauses)} goes; they are served as all others.
      </p>
    </Act>
  )
}

function useUsage(flag: string, keys: number) {
  return useResource<LimitUsage>(inEnvironment(`${at`/limits/${flag}/usage`}?keys=${keys}`), { everyMs: LOOK_MS })
}

/** What everyone is served whom no rule sets apart; null where that is no single rate. */
function servedValue({ fallthrough, variations, enabled, offVariation }: Flag): RateValue | null {
  const key = !enabled ? offVariation : 'variation' in fallthrough ? fallthrough.variation : null
  return (variations.find(each => each.key === key)?.value as RateValue | undefined) ?? null
}
