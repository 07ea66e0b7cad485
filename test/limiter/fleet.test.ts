/** Limiters and the ledger together, in virtual time: what is promised of a limit that many instances share. */
import t from 'tap'
import { LEASE_TTL_MS } from '../../schemas/protocol.ts'
import { Fleet, mostBeyond, poisson, zipf } from './fleet.ts'

type Traffic = (now: number, stepMs: number) => void

/** A fleet that is connected and past the learning of a new server. */
function running(instances: number, rate: number, options: { seed?: number; more?: Record<string, string | number> } = {}): Fleet {
  const fleet = new Fleet({ instances, value: { rate, per: 'second', ...options.more }, seed: options.seed ?? 1 })
  fleet.connectAll()
  fleet.run(3_000)
  return fleet
}

/** One key at so many requests per second, by Zipf over the instances; after `shiftAt` the busy ones are others. */
function skewed(fleet: Fleet, perSecond: number, shiftAt = Infinity, instances = fleet.nodes.length): Traffic {
  const draw = zipf(fleet.random, instances)
  return (now, stepMs) => {
    const shift = now < shiftAt ? 0 : Math.floor(instances / 2)
    for (let i = poisson(fleet.random, (perSecond * stepMs) / 1_000); i > 0; i--) fleet.take(draw(shift), 'acme')
  }
}

/** Admitted ÷ limit, by second. */
function shares(fleet: Fleet, from: number, until: number, rate: number): number[] {
  return Array.from({ length: until - from }, (_, i) => (fleet.admitted[from + i] ?? 0) / rate)
}

function beyond(fleet: Fleet, rate: number, from = 0): { spent: number; issued: number; lent: number } {
  const history = fleet.history.filter(({ now }) => now >= from)
  const of = (what: 'spent' | 'issued'): number =>
    mostBeyond(
      history.map(point => ({ now: point.now, sum: point[what] })),
      rate / 1_000,
    )
  return { spent: of('spent'), issued: of('issued'), lent: Math.max(...history.map(({ lent }) => lent)) }
}

t.test('in every window of every run the bounds hold exactly', async t => {
  for (const [instances, rate] of [
    [1, 100],
    [3, 40],
    [10, 1_000],
    [50, 50],
    [50, 1_000],
  ] as const) {
    for (let seed = 1; seed <= 4; seed++) {
      const fleet = running(instances, rate, { seed })
      const traffic = skewed(fleet, rate * (1 + seed), 6_000)
      fleet.run(3_000, traffic)
      // Links break and come back, one instance after the other.
      for (let i = 0; i < 5; i++) {
        const node = fleet.nodes[Math.floor(fleet.random() * instances)]!
        if (node.isUp) fleet.cut(node, 100)
        fleet.run(300, traffic)
        fleet.connectAll()
        fleet.run(300, traffic)
      }
      fleet.run(3_000, traffic)
      const depth = Math.ceil(rate / 4)
      const seeds = instances * Math.max(1, Math.floor(depth / instances))
      const { spent, issued, lent } = beyond(fleet, rate)
      const name = `${instances} instances, ${rate}/s, seed ${seed}`
      const { overAdmissionMax } = fleet.ledger.usage('api', fleet.now).keys[0]!
      t.ok(issued <= depth + 1e-6, `${name}: issued ${issued.toFixed(1)} beyond the rate, depth ${depth}`)
      t.ok(lent <= rate / 4 + instances, `${name}: lent at once ${lent}`)
      t.ok(spent <= depth + rate / 4 + instances + seeds, `${name}: spent ${spent.toFixed(1)} beyond the rate`)
      t.ok(spent <= depth + overAdmissionMax!, `${name}: and no more than is printed`)
    }
  }
})

t.test('ten and fifty instances admit 0.95 to 1.10 of the limit in every second after the first three', async t => {
  for (const instances of [10, 50]) {
    for (let seed = 1; seed <= 3; seed++) {
      const fleet = running(instances, 1_000, { seed })
      fleet.run(12_000, skewed(fleet, 3_000, 9_000))
      // The last second may be told in part.
      const each = shares(fleet, 6, 14, 1_000)
      t.ok(
        Math.min(...each) >= 0.95 && Math.max(...each) <= 1.1,
        `${instances}, seed ${seed}: ${each.map(one => one.toFixed(2)).join(' ')}`,
      )
      const mean = each.reduce((sum, one) => sum + one, 0) / each.length
      t.ok(mean >= 0.97 && mean <= 1.03, `on average ${mean.toFixed(3)}`)
    }
  }
})

t.test('five hundred instances use the limit, and a shift of all traffic is followed within a second', async t => {
  const fleet = running(500, 1_000)
  fleet.run(10_000, skewed(fleet, 3_000, 9_000))
  const each = shares(fleet, 6, 12, 1_000)
  t.ok(Math.min(...each.slice(0, 3), ...each.slice(4)) >= 0.93 && Math.max(...each) <= 1.12, each.map(one => one.toFixed(2)).join(' '))
  t.ok(each[3]! >= 0.8, `in the second of the shift ${each[3]?.toFixed(2)}`)
})

t.test('what one instance does not want goes to those who want more', async t => {
  const fleet = running(3, 300)
  fleet.run(6_000, (now, stepMs) => {
    for (const [index, perSecond] of [20, 80, 900].entries())
      for (let i = poisson(fleet.random, (perSecond * stepMs) / 1_000); i > 0; i--) fleet.take(index, 'acme')
  })
  const [small, middle, large] = fleet.admittedBy.map(total => total / 6)
  t.ok(small! > 13, `${small} of 20`)
  t.ok(middle! > 65, `${middle} of 80`)
  t.ok(large! > 170 && large! < 240, `${large} of what remains`)
})

t.test('a rate that is lowered or raised applies at once, and brings no burst', async t => {
  const fleet = running(10, 1_000)
  fleet.run(3_000, skewed(fleet, 3_000))
  fleet.setRate({ rate: 100, per: 'second' })
  fleet.run(1_000, skewed(fleet, 3_000))
  const lowered = fleet.admitted[6]!
  t.ok(lowered <= 100 + 25 + 25 + 20, `in the first second after it was lowered: ${lowered}`)
  fleet.run(3_000, skewed(fleet, 3_000))
  t.ok(
    shares(fleet, 8, 10, 100).every(share => share > 0.85 && share < 1.15),
    'then the new rate',
  )
  fleet.setRate({ rate: 1_000, per: 'second' })
  fleet.run(1_000, skewed(fleet, 3_000))
  const raised = fleet.admitted[10]!
  t.ok(raised > 700 && raised <= 1_050, `in the first second after it was raised: ${raised}`)
})

t.test('a key that moves to a lower rate is held to it within two seconds, and takes no burst along', async t => {
  const fleet = running(50, 1_000)
  fleet.run(2_000, skewed(fleet, 1_500))
  fleet.setRate({ rate: 50, per: 'second' }, 'held')
  fleet.run(4_000, skewed(fleet, 1_500))
  const each = shares(fleet, 5, 9, 50)
  t.ok(each[0]! <= (50 + 13 + 13 + 50) / 50, `the first second ${each[0]}`)
  t.ok(
    each.slice(2).every(share => share <= 1.3),
    each.join(' '),
  )
})

t.test('with half of the instances cut off the total stays within the bound', async t => {
  const fleet = running(20, 1_000)
  const traffic = skewed(fleet, 3_000)
  fleet.run(3_000, traffic)
  const from = fleet.now
  for (const node of fleet.nodes.filter((_, i) => i % 2 === 0)) fleet.cut(node)
  fleet.run(10_000, traffic)
  const each = shares(fleet, 6, 16, 1_000)
  t.ok(
    each.every(share => share <= 1.1),
    each.map(one => one.toFixed(2)).join(' '),
  )
  t.ok(
    each.slice(3).every(share => share >= 0.75),
    'and most of it is used',
  )
  const { spent } = beyond(fleet, 1_000, from)
  t.ok(spent <= 250 + 250 + 20 + 250, `spent ${spent.toFixed(0)} beyond the rate`)
  // They come back, and nothing is charged twice.
  fleet.connectAll()
  fleet.run(4_000, traffic)
  const after = shares(fleet, 16, 20, 1_000)
  t.ok(after.every(share => share <= 1.12) && after.slice(2).every(share => share > 0.95), after.map(one => one.toFixed(2)).join(' '))
})

t.test('with the whole fleet cut off, safe shares admit about the limit', async t => {
  const fleet = running(10, 1_000)
  const traffic: Traffic = () => {
    for (let i = 0; i < 10; i++) if (fleet.random() < 0.8) fleet.take(i, 'acme')
  }
  fleet.run(2_000, traffic)
  for (const node of fleet.nodes) fleet.cut(node)
  fleet.run(8_000, traffic)
  const each = shares(fleet, 8, 13, 1_000)
  t.ok(
    each.every(share => share > 0.95 && share < 1.05),
    each.join(' '),
  )
})

t.test('last-share goes on with the share that an instance had', async t => {
  const fleet = running(10, 1_000, { more: { onPartition: 'last-share' } })
  const traffic = skewed(fleet, 1_500)
  fleet.run(6_000, traffic)
  for (const node of fleet.nodes) fleet.cut(node)
  const before = [...fleet.admittedBy]
  fleet.run(3_000, traffic)
  const middle = [...fleet.admittedBy]
  fleet.run(3_000, traffic)
  const share = shares(fleet, 12, 15, 1_000)
  t.ok(
    share.every(one => one > 0.7 && one < 1.1),
    share.join(' '),
  )
  t.ok(fleet.admittedBy[0]! - middle[0]! > 2 * (fleet.admittedBy[9]! - middle[9]!), 'the busy one admits more')
  t.ok(before[0]! > 0)
})

t.test('open admits all, closed nothing, once tokens have run out', async t => {
  for (const [onPartition, expected] of [
    ['open', 500],
    ['closed', 0],
  ] as const) {
    const fleet = running(5, 100, { more: { onPartition } })
    const traffic: Traffic = now => {
      if (now % 10 === 0) for (let i = 0; i < 5; i++) fleet.take(i, 'acme')
    }
    fleet.run(2_000, traffic)
    for (const node of fleet.nodes) fleet.cut(node)
    fleet.run(3_000, traffic)
    fleet.run(1_000, traffic)
    t.equal(fleet.admitted[8] ?? 0, expected, onPartition)
  }
})

t.test('nothing bursts when the server restarts', async t => {
  for (let seed = 1; seed <= 3; seed++) {
    const fleet = running(20, 1_000, { seed })
    const traffic = skewed(fleet, 3_000)
    fleet.run(4_000, traffic)
    fleet.stopServer()
    fleet.run(500, traffic)
    fleet.startServer()
    // They come back one after the other, the last of them after the learning.
    for (const node of fleet.nodes) {
      fleet.run(150, traffic)
      fleet.connect(node)
    }
    fleet.run(6_500, traffic)
    const each = shares(fleet, 7, 17, 1_000)
    t.ok(
      each.every(share => share <= 1.15),
      each.map(one => one.toFixed(2)).join(' '),
    )
    t.ok(
      each.slice(-3).every(share => share > 0.95),
      'and the limit is used again',
    )
    const { spent } = beyond(fleet, 1_000, 6_000)
    t.ok(spent <= 250 + 250 + 20 + 250, `spent ${spent.toFixed(0)} beyond the rate`)
  }
})

t.test('keys far below the limit are not denied, however their requests are spread over the instances', async t => {
  // Beyond what an instance keeps for a key, what comes within one round trip is too much for it.
  for (const [burst, most] of [
    [60, 0.01],
    [20, 0.04],
  ] as const) {
    const fleet = running(20, 10, { more: { burst } })
    fleet.run(12_000, (_, stepMs) => {
      for (let i = poisson(fleet.random, (200 * stepMs) / 1_000); i > 0; i--)
        fleet.take(Math.floor(fleet.random() * 20), `account-${Math.floor(fleet.random() * 100)}`)
    })
    const denied = fleet.denied.reduce((sum, one) => sum + (one ?? 0), 0)
    const admitted = fleet.admitted.reduce((sum, one) => sum + (one ?? 0), 0)
    t.ok(denied <= admitted * most, `${denied} denied, ${admitted} admitted with a depth of ${burst}`)
  }
})

t.test('cold keys admit their seed at most, before the ledger knows them', async t => {
  const fleet = running(10, 100)
  for (let i = 0; i < 10; i++) for (let ask = 0; ask < 50; ask++) fleet.take(i, 'cold')
  // The depth is 25: a seed of 2 each.
  t.strictSame(fleet.admittedBy, Array(10).fill(2))
})

t.test('requests that cost more than one token share as well, and nobody hoards what is of no use', async t => {
  const fleet = running(20, 1_000)
  fleet.run(8_000, () => {
    for (let i = 0; i < 20; i++) if (fleet.random() < 0.05) fleet.take(i, 'acme', 50)
  })
  const each = shares(fleet, 6, 11, 1_000)
  const mean = each.reduce((sum, one) => sum + one, 0) / each.length
  t.ok(mean > 0.9 && mean < 1.05, each.map(one => one.toFixed(2)).join(' '))
})

t.test('a server that never lends is answered by the safe share', async t => {
  const fleet = new Fleet({ instances: 1, value: { rate: 100, per: 'second' } })
  fleet.run(LEASE_TTL_MS + 1_000)
  fleet.run(5_000, () => void fleet.take(0, 'acme'))
  // How many instances there are was never told: ten are assumed.
  const each = shares(fleet, 4, 8, 10)
  t.ok(
    each.every(share => share > 0.8 && share < 1.3),
    each.join(' '),
  )
})
