/**
 * A payment vendor fails most of its calls and slows down: the valve narrows by itself until the vendor's load is near what it can take, and
 * opens again when it heals. The second time a person cuts it meanwhile, and automation leaves it cut.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Change } from '../../schemas/change.ts'
import type { ValveUsage } from '../../schemas/valveusage.ts'
import type { Shop } from './shop.ts'
import { randomFrom } from '../random.ts'
import { type Stage, type Story, undoLine } from './stage.ts'

const FLAG = 'payments-vendor'
const SHOPS = 3
/** Of the calls that are offered, what the vendor can take while it is sick. By calls and not by seconds: the same on a slow machine. */
const CAPACITY = 0.2
/** A valve lets through K times what the vendor answers well. */
const K = 2
const PAUSE_MS = 20
const PATIENCE_MS = 60_000

const random = randomFrom(7)

const SETTING = {
  mode: 'auto',
  breaker: { windowMs: 1_500, buckets: 10, minCalls: 6, openMs: 500, maxOpenMs: 1_000, probes: 3 },
  adaptive: { enabled: true, K, minRps: 1 },
}

export const sickVendor: Story = {
  title: 'A sick vendor',
  async play(stage) {
    await stage.flag({
      key: FLAG,
      kind: 'safety-valve',
      variations: [
        { key: 'auto', value: SETTING },
        { key: 'cut', value: { mode: 'cut' } },
      ],
    })
    const shops = await stage.shops(SHOPS)
    const vendor = await openVendor()
    try {
      await tell(stage, shops, vendor)
    } finally {
      await vendor.close()
    }
  },
}

async function tell(stage: Stage, shops: readonly Shop[], vendor: Vendor): Promise<void> {
  stage.say(`${SHOPS} shops call a payment vendor, each through the valve ${FLAG}.`)
  const well = await offer(shops, vendor, 100)
  stage.equal(well.heard, well.offered, 'while it is well, every call reaches it')

  stage.say(`The vendor falls ill: it can take ${CAPACITY * 100} % of what it is asked, slowly, and fails the rest.`)
  await narrows(stage, shops, vendor, true)
  await stage.sluice('valves -e production')
  const { actor, comment } = await firstMove(stage)
  stage.equal(actor.id, 'valve', 'the log says who narrowed it')
  stage.ok(/^(throttled|cut): .+ of \d+ calls failed/.test(comment ?? ''), `and why: ${comment ?? ''}`)

  stage.say('It heals. Nobody does anything.')
  await heals(stage, shops, vendor)

  stage.say('It falls ill again, and this time somebody is called: they are asked to stop altogether.')
  await narrows(stage, shops, vendor, false)
  const cut = await stage.sluice(`valve ${FLAG} -e production --cut -m "they asked us to stop"`)
  await stage.until(shops, shop => stateOf(shop) === 'cut', 'the valve is cut')
  vendor.isSick = false
  stage.say('It heals. The valve would open by now, but a person has cut it.')
  const held = await offer(shops, vendor, 200, undefined, 2 * SETTING.breaker.maxOpenMs)
  stage.equal(held.heard, 0, 'not one call reaches the vendor, not even a probe')
  const { valve } = await read(stage)
  stage.equal([valve.state, valve.setting.by], ['cut', 'kill'], 'and whoever looks is told')

  stage.say('The command that cut it said how to undo it:')
  await stage.sluice(undoLine(cut))
  await heals(stage, shops, vendor)
  const entries = (await changes(stage)).map(({ action, actor }) => `${action} by ${actor.name}`)
  stage.equal(
    entries
      .filter(entry => entry.startsWith('flag.'))
      .slice(-2)
      .map(entry => entry.split(' ')[0]),
    ['flag.kill', 'flag.lift'],
    'a person cut it, and a person opened it',
  )
}

/** The vendor is ill from here on. */
async function narrows(stage: Stage, shops: readonly Shop[], vendor: Vendor, isMeasured: boolean): Promise<void> {
  vendor.isSick = true
  await offer(shops, vendor, 100, () => shops.every(shop => stateOf(shop) !== 'flowing'))
  stage.say(`The valve has narrowed by itself in all shops: ${shops.map(stateOf).join(', ')}.`)
  if (!isMeasured) return
  // The window is to turn over: what was before the illness is not to count.
  await offer(shops, vendor, 100, undefined, SETTING.breaker.windowMs)
  const ill = await offer(shops, vendor, 300)
  const share = ill.heard / ill.offered
  stage.say(`Of ${ill.offered} calls ${ill.heard} reach the vendor (${Math.round(share * 100)} %); it can take ${CAPACITY * 100} %.`)
  stage.ok(share <= 1.5 * K * CAPACITY, `its load is near ${K} times what it can take, and not all that is asked`)
  stage.ok(ill.good > 0, 'what it can take, it is still given')
}

/** The vendor is well from here on. */
async function heals(stage: Stage, shops: readonly Shop[], vendor: Vendor): Promise<void> {
  vendor.isSick = false
  const back = await offer(shops, vendor, 100, () => shops.every(shop => stateOf(shop) === 'flowing' && lets(shop) === 1))
  stage.say(`After ${back.offered} more calls all shops let everything through again.`)
  const well = await offer(shops, vendor, 100)
  stage.equal([well.heard, well.good], [well.offered, well.offered], 'full flow is back')
}

const CONTEXT = { targetingKey: 'a-17' }

function stateOf({ flags }: Shop): string {
  return flags.valve(FLAG).state(CONTEXT).state
}

function lets({ flags }: Shop): number {
  return flags.valve(FLAG).state(CONTEXT).admit
}

async function changes(stage: Stage): Promise<readonly Change[]> {
  return ((await stage.api('GET', `/environments/production/changes?order=oldest&limit=500`)) as { changes: Change[] }).changes
}

async function read(stage: Stage): Promise<{ readonly valve: ValveUsage }> {
  return (await stage.api('GET', `/environments/production/valves/${FLAG}`)) as { valve: ValveUsage }
}

/** The entry of the fleet's first move: instances report by the second. */
async function firstMove(stage: Stage): Promise<Change> {
  const start = performance.now()
  for (;;) {
    const entry = (await changes(stage)).find(({ action }) => action === 'valve.move')
    if (entry !== undefined) return entry
    if (performance.now() - start > PATIENCE_MS) throw new Error('the log does not say that the valve has moved')
    await wait(250)
  }
}

interface Sums {
  readonly offered: number
  /** Those that reached the vendor, and those of them that went well. */
  readonly heard: number
  readonly good: number
}

/**
 * Calls by all shops in turn: at least so many, for at least so long, and until it holds. All of them have ended when it is over.
 */
async function offer(shops: readonly Shop[], vendor: Vendor, least: number, holds?: () => boolean, leastMs = 0): Promise<Sums> {
  const start = performance.now()
  const before = vendor.heard
  const calls: Promise<boolean>[] = []
  const good = (): boolean => true
  const bad = (): boolean => false
  for (;;) {
    // In an order that changes: what the vendor can take is nobody's before the others.
    for (const { flags } of shuffled(shops)) {
      vendor.earn()
      calls.push(
        flags
          .valve(FLAG)
          .run(CONTEXT, () => vendor.call())
          .then(good, bad),
      )
    }
    await wait(PAUSE_MS)
    const ms = performance.now() - start
    if (calls.length >= least && ms >= leastMs && (holds === undefined || holds())) break
    if (ms > PATIENCE_MS) throw new Error(`after ${calls.length} calls the valve still is ${shops.map(stateOf).join(', ')}`)
  }
  const ended = await Promise.all(calls)
  return { offered: calls.length, heard: vendor.heard - before, good: ended.filter(Boolean).length }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map(item => ({ item, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item)
}

interface Vendor {
  isSick: boolean
  readonly heard: number
  /** A call was offered: while it is sick, that is what it lives on. */
  earn(): void
  call(): Promise<void>
  close(): Promise<void>
}

/** A real server. Sick, it answers well as often as it has earned, and slowly. */
async function openVendor(): Promise<Vendor> {
  let heard = 0
  let tokens = 0
  const vendor = {
    isSick: false,
    get heard() {
      return heard
    },
    earn() {
      tokens = vendor.isSick ? Math.min(20, tokens + CAPACITY) : 0
    },
    async call() {
      const response = await fetch(url)
      await response.arrayBuffer()
      if (!response.ok) throw new Error(`the vendor answered ${response.status}`)
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  const server = createServer((_request, response) => {
    heard++
    const isGood = !vendor.isSick || tokens >= 1
    if (vendor.isSick && isGood) tokens--
    const answer = (): void => void response.writeHead(isGood ? 200 : 503).end()
    if (vendor.isSick) setTimeout(answer, isGood ? 50 : 100)
    else answer()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return vendor
}
