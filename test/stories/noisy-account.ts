/** One account hammers the service: it is held to a rate of its own, everywhere at once, and nobody else notices. */
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import type { LimitUsage } from '../../schemas/limitusage.ts'
import type { Shop } from './shop.ts'
import type { Stage, Story } from './stage.ts'

const FLAG = 'api-requests'
const NOISY = 'a-17'
/** Tokens a second that every account has, and what the noisy one is held to. */
const USUAL = 100
const HELD = 20
const OTHERS = 300
const INSTANCES = 50

interface Sums {
  readonly ms: number
  readonly allowed: number
  readonly denied: number
  /** Of all other accounts. */
  readonly othersDenied: number
  readonly othersAsked: number
}

export const noisyAccount: Story = {
  title: 'One noisy account',
  async play(stage) {
    await stage.flag({
      key: FLAG,
      kind: 'rate-limit',
      enabled: true,
      variations: [{ key: 'standard', value: { rate: USUAL, per: 'second', burst: 2 * USUAL, keyBy: ['/account/id'] } }],
      offVariation: 'standard',
      fallthrough: { variation: 'standard' },
    })
    const near = await stage.shops(INSTANCES / 2)
    const far = await stage.shopsFarAway(INSTANCES / 2)
    const shops = [...near, ...far.shops]
    stage.say(`${INSTANCES} shops share one limit: ${USUAL} requests a second for each account. ${NOISY} sends three times as many.`)
    const before = await traffic(shops, 3_000)
    stage.say(`${NOISY}: ${before.allowed} allowed, ${before.denied} denied in 3 s. Denied of ${OTHERS} others: ${before.othersDenied}.`)
    stage.ok(before.denied > 0, `${NOISY} is denied what is beyond its limit`)
    spared(stage, before, 'nobody else is')

    stage.say('That is still too much for the database. One command holds this one account:')
    const held = await stage.sluice(`limit ${FLAG} -e production --where /account/id=${NOISY} --rate ${HELD}/s -m "hammering"`)
    const settling = await traffic(shops, 2_000)
    spared(stage, settling, 'nobody else is touched by the change')
    const during = await traffic(shops, 3_000)
    await within(stage, during, 'two seconds after the command it is held to its rate')
    spared(stage, during, 'and nobody else is denied')
    await stage.sluice(`limits top ${FLAG} -e production --keys 3`)

    stage.say('Half of the shops lose the server: nothing gets through in either direction.')
    far.cutOff(true)
    const apart = await traffic(shops, 4_000)
    await within(stage, apart, 'the whole fleet together stays within the bound all the same')
    stage.say(
      `Until a shop knows that it is alone, keys without tokens wait there: ${apart.othersDenied} of ${4 * OTHERS} requests of others did.`,
    )
    const alone = await traffic(shops, 2_000)
    spared(stage, alone, 'then nobody else is denied, with or without a server')
    far.cutOff(false)

    stage.say('The server is restarted, as for an upgrade.')
    await stage.serverRestarts()
    const after = await traffic(shops, 3_000)
    await within(stage, after, 'nothing bursts')
    spared(stage, after, 'and nobody else is denied')

    stage.say('They have mended their loop. The command that held them said how to let them go:')
    await stage.sluice(undoOf(held))
    const free = (shop: Shop) => shop.flags.explain(FLAG, contextFor(NOISY), undefined).variation === 'standard'
    await stage.until(near, free, `${NOISY} has the usual limit again`)
  },
}

/**
 * What limits promise exactly, in any span of time: rate × time, what a counter holds, what may be lent beside it, one
 * seed for each instance, and, of those that were cut off, one token of their own.
 */
async function within(stage: Stage, { ms, allowed }: Sums, what: string): Promise<void> {
  const usage = (await stage.api('GET', `/environments/production/limits/${FLAG}/usage`)) as LimitUsage
  const bound = usage.keys.find(({ key }) => key === NOISY)?.overAdmissionMax ?? INSTANCES
  const most = Math.ceil((HELD * ms) / 1_000 + 2 * HELD + bound + 2 * INSTANCES)
  stage.say(`${NOISY}: ${allowed} allowed in ${(ms / 1_000).toFixed(1)} s, at most ${most} by the documented bound.`)
  stage.ok(allowed <= most, what)
}

/**
 * On a machine with time to spare it is none. On one without, a request that comes within one round trip after another
 * of its key may find no token there, for those are where the traffic was.
 */
function spared(stage: Stage, { othersDenied, othersAsked }: Sums, what: string): void {
  stage.ok(othersDenied <= othersAsked / 100, `${what} (${othersDenied} of ${othersAsked} requests)`)
}

function contextFor(account: string) {
  return { targetingKey: account, account: { id: account } }
}

/** Requests for so long: three times the usual limit by one account, one a second by each of the others, spread over all shops. */
async function traffic(shops: readonly Shop[], ms: number): Promise<Sums> {
  const sums = { allowed: 0, denied: 0, othersDenied: 0 }
  let [noisy, others] = [0, 0]
  const start = performance.now()
  const ask = (i: number, account: string): boolean => shops[i % shops.length]!.flags.limit(FLAG, contextFor(account)).allowed
  const timer = setInterval(() => {
    const seconds = (performance.now() - start) / 1_000
    for (; noisy < seconds * 3 * USUAL; noisy++) {
      if (ask(noisy, NOISY)) sums.allowed++
      else sums.denied++
    }
    for (; others < seconds * OTHERS; others++) if (!ask(others * 7, `other-${others % OTHERS}`)) sums.othersDenied++
  }, 10)
  await once(AbortSignal.timeout(ms), 'abort')
  clearInterval(timer)
  return { ...sums, othersAsked: others, ms: performance.now() - start }
}

/** The line of the command's output that undoes it. */
function undoOf(output: string): string {
  const line = output.split('\n').find(candidate => /^\s*sluice limit .*--remove/.test(candidate))
  if (line === undefined) throw new Error(`no line of the output says how to undo it:\n${output}`)
  return line.trim().slice('sluice '.length)
}
