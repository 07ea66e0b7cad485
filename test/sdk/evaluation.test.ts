/** The shared evaluation cases through a whole client: the ruleset as JSON over the stream, the answer from `value` and `explain`. */
import t from 'tap'
import { startClient } from '../../sdk/client.ts'
import { readOptions } from '../../sdk/options.ts'
import type { LinkEvents } from '../../sdk/transport.ts'
import type { Json } from '../../sdk/types.ts'
import { manualClock } from '../clock.ts'
import { evaluationCases } from '../evaluator/cases.ts'
import { KEY } from './server.ts'

/** A client that has taken this text from the stream. */
function holding(text: string) {
  const clock = manualClock()
  let events: LinkEvents | undefined
  const client = startClient(readOptions({ url: 'ws://localhost:1', key: KEY, logger: {} }, 'i'), {
    clock,
    random: () => 0,
    transport: () => ({
      open(its) {
        events = its
        return { send: () => undefined, drop: () => undefined, bytesRead: () => 0 }
      },
      poll: () => new Promise(() => undefined),
      report: () => Promise.resolve(true),
      close: () => Promise.resolve(),
    }),
  })
  clock.advance(0)
  events?.opened()
  events?.message(text)
  return client
}

const groups = evaluationCases()
t.ok(groups.length > 0)

for (const group of groups) {
  // What is no document at all (a flag without a key) is refused by the stream, and the evaluator's own test has it.
  const isKeyed = (list: readonly unknown[]): boolean => list.every(item => typeof (item as { key?: unknown } | null)?.key === 'string')
  if (!isKeyed(group.ruleset.flags) || !isKeyed(group.ruleset.segments)) continue
  t.test(`${group.file}: ${group.name}`, async t => {
    const client = holding(JSON.stringify({ type: 'ruleset', epoch: 'e', revision: 1, ...group.ruleset }))
    t.equal(client.status().revision, 1)
    for (const one of group.cases) {
      const { expect } = one
      // A default that no flag yields shows whether it was taken; one of the type that the case asks for.
      const standIn = { boolean: undefined, string: 'a default', number: -987_654, object: { a: 'default' } }[one.type ?? 'boolean']
      const fallback = (one.default ?? standIn) as Json
      const isError = expect.reason === 'ERROR'
      const value = client.value(one.flag, one.context, fallback)
      const explained = client.explain(one.flag, one.context, fallback)
      const { reason, ruleId, killId, prerequisite, error, unbucketed } = explained
      t.strictSame(
        { value, explained: explained.value, variation: explained.variation, reason, ruleId, killId, prerequisite, error, unbucketed },
        {
          value: isError ? fallback : 'value' in expect ? expect.value : value,
          explained: value,
          variation: expect.variation === undefined ? explained.variation : expect.variation,
          reason: expect.reason,
          ruleId: expect.ruleId,
          killId: expect.killId,
          prerequisite: expect.prerequisite,
          error: expect.error,
          unbucketed: expect.unbucketed,
        },
        one.name,
      )
    }
    // Of two documents with one key the later counts, for both.
    const keys = [...new Set(group.ruleset.flags.map(flag => (flag as { readonly key: string }).key))]
    for (const context of new Set(group.cases.map(({ context }) => context))) {
      const single = keys.map((key): [string, Json | undefined] => [key, client.value(key, context, undefined)])
      t.strictSame(
        { ...client.all(context) },
        Object.fromEntries(single.filter(([, value]) => value !== undefined)),
        'all() gives what value() gives',
      )
    }
    await client.close()
  })
}

t.test('all() is for a page too: then it holds what browsers may see alone', async t => {
  const flag = (key: string, clientVisible: boolean): object => ({
    ...{ key, clientVisible, kind: 'release', version: 1, seed: 1, enabled: true, offVariation: 'a', fallthrough: { variation: 'a' } },
    ...{ variations: [{ key: 'a', value: key }], kills: [], prerequisites: [], targets: [], rules: [] },
  })
  const flags = [flag('open', true), flag('hidden', false), { key: 'broken', clientVisible: true }]
  const client = holding(JSON.stringify({ type: 'ruleset', epoch: 'e', revision: 1, flags, segments: [] }))
  t.same(client.all({}, { clientVisible: true }), { open: 'open' })
  t.same(client.all({}), { open: 'open', hidden: 'hidden' })
  await client.close()
  t.same(holding(JSON.stringify({ type: 'nonsense' })).all({}), {}, 'without a ruleset there are none')
})
