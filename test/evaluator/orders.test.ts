/** Versions, moments and networks as clauses see them: against the published tables and grammars, list by list. */
import t from 'tap'
import type { Clause } from '../../schemas/clause.ts'
import type { Flag } from '../../schemas/flag.ts'
import type { Operator } from '../../schemas/operator.ts'
import { checkClause } from '../../sdk/evaluator/check.ts'
import { evaluate } from '../../sdk/evaluator/evaluate.ts'
import { prepare } from '../../sdk/evaluator/prepare.ts'
import { below, pick, type Random } from './documents.ts'
import { tryCases } from './tried.ts'
import { countedMoment } from './twin.ts'

type Value = string | number

/** Whether an attribute of this value matches; asked of the whole evaluator. */
function asking(op: Operator, ...values: Value[]): (value: unknown, negate?: boolean) => boolean {
  const clause = (negate: boolean): Clause => ({ attribute: 'a', op, values, ...(negate && { negate }) })
  const flag: Flag = {
    key: 'plain',
    kind: 'release',
    version: 1,
    seed: 1,
    variations: [
      { key: 'on', value: true },
      { key: 'off', value: false },
    ],
    enabled: true,
    offVariation: 'off',
    kills: [],
    prerequisites: [],
    targets: [],
    rules: [{ id: 'r', clauses: [clause(false)], serve: { variation: 'on' } }],
    fallthrough: { variation: 'off' },
  }
  const negated: Flag = { ...flag, key: 'negated', rules: [{ id: 'r', clauses: [clause(true)], serve: { variation: 'on' } }] }
  const prepared = prepare({ flags: [flag, negated], segments: [] }, 1)
  return (value, negate = false) => {
    const result = evaluate(prepared, negate ? 'negated' : 'plain', { a: value as string })
    if (result.error !== undefined) throw new Error(result.message)
    return result.value === true
  }
}

function isRefused(op: Operator, value: unknown): boolean {
  return checkClause({ attribute: 'a', op, values: [value as string] }).length > 0
}

/** Lowest first; those in one list are equal. The middle is the example of semver.org, clause 11. */
const VERSIONS: readonly (readonly string[])[] = [
  ['0.0.0-0'],
  ['0.0.0', '0', '0.0', '0+x', '0.0.0+0'],
  ['0.0.1'],
  ['0.9.10'],
  ['0.10.9'],
  ['1.0.0-0'],
  ['1.0.0-2'],
  ['1.0.0-10'],
  ['1.0.0-99999999999999999999'],
  ['1.0.0-100000000000000000000'],
  ['1.0.0--'],
  ['1.0.0-0a'],
  ['1.0.0-A'],
  ['1.0.0-a'],
  ['1.0.0-alpha', '1.0.0-alpha+exp.sha.5114f85', '1-alpha', '1.0-alpha+001'],
  ['1.0.0-alpha.1', '1.0.0-alpha.1+20130313144700'],
  ['1.0.0-alpha.1.0'],
  ['1.0.0-alpha.beta'],
  ['1.0.0-alpha-1'],
  ['1.0.0-beta'],
  ['1.0.0-beta.2'],
  ['1.0.0-beta.11'],
  ['1.0.0-rc.1'],
  ['1.0.0', '1', '1.0', '1.0.0+21AF26D3---117B344092BD', '1.0.0+x.01'],
  ['1.0.1-0'],
  ['1.0.1'],
  ['1.2'],
  ['1.10'],
  ['2.0.0'],
  ['2.1.0'],
  ['2.1.1'],
  ['10'],
  ['9007199254740992.0.0'],
  ['9007199254740993.0.0'],
  ['18446744073709551616.0.0'],
  ['99999999999999999999999.999999999999999999.99999999999999999'],
]

t.test('versions stand in the order that semver.org publishes, all pairs, build data ignored', async t => {
  let pairs = 0
  for (const [i, ones] of VERSIONS.entries()) {
    for (const one of ones) {
      const asked = (
        ['semverEqual', 'semverLessThan', 'semverLessThanOrEqual', 'semverGreaterThan', 'semverGreaterThanOrEqual'] as const
      ).map(op => asking(op, one))
      for (const [j, others] of VERSIONS.entries()) {
        for (const other of others) {
          pairs++
          const got = asked.map(asks => asks(other))
          const wanted = [j === i, j < i, j <= i, j > i, j >= i]
          if (got.join() !== wanted.join()) t.fail(`${other} to ${one}: ${got.join()}`)
          if (asked.some((asks, op) => asks(other, true) === wanted[op])) t.fail(`${other} to ${one}, negated`)
        }
      }
    }
  }
  t.ok(pairs > 2_000, `${pairs} pairs`)
})

t.test('what semver.org calls valid is a version, and what it calls invalid is none', async t => {
  const valid =
    '0.0.4 1.2.3 10.20.30 1.1.2-prerelease+meta 1.1.2+meta 1.1.2+meta-valid 1.0.0-alpha.beta.1 1.0.0-alpha0.valid 1.0.0-alpha.0valid ' +
    '1.0.0-alpha-a.b-c-somethinglong+build.1-aef.1-its-okay 1.0.0-rc.1+build.1 1.2.3-beta 10.2.3-DEV-SNAPSHOT 1.2.3-SNAPSHOT-123 ' +
    '2.0.0+build.1848 2.0.1-alpha.1227 1.0.0-alpha+beta 1.2.3----RC-SNAPSHOT.12.9.1--.12+788 1.2.3----R-S.12.9.1--.12+meta ' +
    '1.0.0+0.build.1-rc.10000aaa-kk-0.1 1.0.0-0A.is.legal 1.0.0-0-0 1.0.0-a.0.b'
  // Three numbers are what semver.org asks for; fewer are ours, as people write them.
  const ours = '1 1.2 0 1-rc.1 1.2-SNAPSHOT 1.2-RC-SNAPSHOT 1+b'
  const invalid =
    '1.2.3-0123 1.2.3-0123.0123 1.1.2+.123 +invalid -invalid -invalid+invalid -invalid.01 alpha alpha.beta alpha.beta.1 alpha.1 alpha+beta ' +
    'alpha_beta alpha. alpha.. 1.0.0-alpha_beta -alpha. 1.0.0-alpha.. 1.0.0-alpha..1 1.0.0-alpha...1 01.1.1 1.01.1 1.1.01 1.2.3.DEV ' +
    '1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788 -1.0.3-gamma+b7718 +justmeta 9.8.7+meta+meta 9.8.7-whatever+meta+meta 1.2.3.4 v1.2.3 V1 ' +
    '=1.2.3 ^1.2.3 ~1 >=1 1.x * latest 1..2 1. .1 1.2. 1.0.0- 1.0.0+ 1.0.0-+b 1.0.0-a. 1e3 0x1 00 -1 1,2 1.0.0-é １.0.0 ١.0.0 1.0.0-a+é'
  const odd = ['', ' ', ' 1.0.0', '1.0.0 ', '1.0.0\n', '1.0.0\0', '1. 0', '1.0.0 - 2.0.0', `1.0.0-${'a'.repeat(251)}`]
  const [below, above] = [asking('semverGreaterThanOrEqual', '0.0.0-0'), asking('semverLessThan', '0.0.0-0')]
  for (const text of [...valid.split(' '), ...ours.split(' '), `1.0.0-${'a'.repeat(250)}`]) {
    if (!below(text) || above(text) || isRefused('semverEqual', text)) t.fail(`${text} is a version`)
    if (!asking('semverEqual', text)(text)) t.fail(`${text} is itself`)
  }
  for (const text of [...invalid.split(' '), ...odd]) {
    if (below(text) || above(text) || !below(text, true)) t.fail(`${JSON.stringify(text)} is none`)
    if (!isRefused('semverEqual', text)) t.fail(`${JSON.stringify(text)} is refused as an operand`)
  }
  for (const value of [1, 1.2, true, { major: 1 }]) t.notOk(below(value), `a ${typeof value} is none`)
})

/** Earliest first; those in one list are the same moment. */
const MOMENTS: readonly (readonly Value[])[] = [
  [-1e15],
  ['0000-01-01T00:00:00+23:59'],
  ['0000-01-01T00:00:00Z', -62167219200000],
  ['0000-02-29T00:00:00Z'],
  ['0000-03-01T00:00:00Z'],
  ['0099-12-31T23:59:59Z'],
  ['1900-02-28T23:59:59Z'],
  ['1900-03-01T00:00:00Z', -2203891200000],
  ['1937-01-01T12:00:27.87+00:20', '1937-01-01T11:40:27.870Z'],
  ['1969-12-31T23:59:59.999Z', -1],
  [
    '1970-01-01T00:00:00Z',
    '1970-01-01t00:00:00z',
    '1970-01-01T00:00:00-00:00',
    '1969-12-31T00:01:00-23:59',
    '1970-01-01T23:59:00+23:59',
    0,
    -0,
  ],
  ['1970-01-01T00:00:00.0005Z', 0.5],
  ['1985-04-12T23:20:50.52Z', '1985-04-12T23:20:50.520000000Z', 482196050520],
  ['1990-12-31T23:59:59.999999Z'],
  ['1990-12-31T23:59:60Z', '1990-12-31T15:59:60-08:00', '1991-01-01T00:00:00Z', '1991-01-01T00:59:60+01:00'],
  ['1990-12-31T23:59:60.5Z', '1991-01-01T00:00:00.5Z'],
  ['1996-12-19T16:39:57-08:00', '1996-12-20T00:39:57Z', 851042397000],
  ['2000-02-29T12:00:00Z', '2000-03-01T00:00:00+12:00', '2000-02-29T12:00:00.000Z'],
  ['2024-02-29T23:59:59Z'],
  ['2024-03-01T00:00:00Z', '2024-02-29T23:00:00-01:00'],
  ['2026-11-21T03:12:00Z', '2026-11-21T04:12:00+01:00', '2026-11-20T21:42:00-05:30', 1795230720000],
  ['2026-11-21T03:12:00.001Z', 1795230720001],
  ['9999-12-31T23:59:59.999Z'],
  ['9999-12-31T23:59:60Z'],
  ['9999-12-31T23:59:59-23:59'],
  [1e15],
]

t.test('moments stand in their order, all pairs, however they are written', async t => {
  let pairs = 0
  for (const [i, ones] of MOMENTS.entries()) {
    for (const one of ones) {
      const [before, after] = [asking('before', one), asking('after', one)]
      if (typeof one === 'string' && typeof ones.at(-1) === 'number' && countedMoment(one) !== ones.at(-1)) t.fail(`${one} counted`)
      for (const [j, others] of MOMENTS.entries()) {
        for (const other of others) {
          pairs++
          if (before(other) !== j < i || after(other) !== j > i) t.fail(`${other} to ${one}`)
          if (before(other, true) !== j >= i || after(other, true) !== j <= i) t.fail(`${other} to ${one}, negated`)
        }
      }
    }
  }
  t.ok(pairs > 1_500, `${pairs} pairs`)
})

t.test('RFC 3339 is read strictly', async t => {
  const invalid = [
    // No offset, no time, no date.
    '2026-11-21T03:12:00',
    '2026-11-21T03:12:00.5',
    '2026-11-21',
    '03:12:00Z',
    '2026-11-21T03:12Z',
    '2026-11-21T03Z',
    '2026-11Z',
    // Of other standards, or none.
    '2026-11-21 03:12:00Z',
    '2026-11-21T03:12:00 Z',
    '2026-11-21T03:12:00+0100',
    '2026-11-21T03:12:00+01',
    '2026-11-21T03:12:00+1:00',
    '2026-11-21T03:12:00−01:00',
    '2026-11-21T03:12:00UTC',
    '2026-11-21T03:12:00,5Z',
    '2026-11-21T03:12:00.Z',
    '20261121T031200Z',
    '2026-W47-6T03:12:00Z',
    '2026-325T03:12:00Z',
    'Sat, 21 Nov 2026 03:12:00 GMT',
    '2026/11/21T03:12:00Z',
    '26-11-21T03:12:00Z',
    '+002026-11-21T03:12:00Z',
    '-0001-11-21T03:12:00Z',
    '12026-11-21T03:12:00Z',
    '2026-1-21T03:12:00Z',
    '2026-11-21T3:12:00Z',
    '2026-11-21T03:12:0Z',
    // No such day or time.
    '2026-00-21T03:12:00Z',
    '2026-13-21T03:12:00Z',
    '2026-11-00T03:12:00Z',
    '2026-11-31T03:12:00Z',
    '2026-12-32T03:12:00Z',
    '2023-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2100-02-29T00:00:00Z',
    '2024-02-30T00:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21T03:60:00Z',
    '2026-11-21T03:12:61Z',
    '2026-11-21T03:12:00+24:00',
    '2026-11-21T03:12:00+01:60',
    // Leap seconds end a month, in UTC.
    '2026-11-21T03:12:60Z',
    '2026-11-21T23:59:60Z',
    '1990-12-31T23:59:60+01:00',
    '1991-01-01T00:59:60Z',
    '1990-12-31T23:58:60Z',
    // What surrounds it.
    '',
    ' 2026-11-21T03:12:00Z',
    '2026-11-21T03:12:00Z ',
    '2026-11-21T03:12:00Z\n',
    '٢٠٢٦-11-21T03:12:00Z',
    `2026-11-21T03:12:00.${'0'.repeat(60)}Z`,
    '1795230720000',
    '0',
    'now',
  ]
  const [before, after] = [asking('before', 1e300), asking('after', -1e300)]
  for (const text of invalid) {
    if (before(text) || after(text) || !before(text, true) || !after(text, true)) t.fail(`${text} is no moment`)
    if (!isRefused('before', text)) t.fail(`${text} is refused as an operand`)
  }
  for (const text of MOMENTS.flat()) {
    if (!before(text) || !after(text)) t.fail(`${text} is a moment`)
    if (isRefused('after', text)) t.fail(`${text} is taken as an operand`)
  }
  for (const value of [Number.NaN, Infinity, -Infinity, true, new Date(0), {}]) t.notOk(before(value), `a ${typeof value} is none`)
  for (const value of [Number.NaN, Infinity, true, null]) t.ok(isRefused('after', value), `nor an operand`)
})

t.test('days and seconds are counted as the calendar has them, from year 0 to 9999', async t => {
  const digits = (value: number, width: number): string => String(value).padStart(width, '0')
  const text = (random: Random): string => {
    const year = pick(random, [0, 4, 99, 100, 400, 1582, 1899, 1900, 1999, 2000, 2024, 2026, 9999, below(random, 10_000)])
    const fields = [1 + below(random, 12), 1 + below(random, 31), below(random, 24), below(random, 60), below(random, 61)]
    const [month, day, hour, minute, second] = fields.map(field => digits(below(random, 60) === 0 ? below(random, 100) : field, 2))
    const zone = pick(random, [
      'Z',
      'z',
      '-00:00',
      `${pick(random, ['+', '-'])}${digits(below(random, 25), 2)}:${digits(below(random, 61), 2)}`,
    ])
    const fraction = pick(random, ['', '.5', '.25', '.000', '.123456789', '.'])
    return `${digits(year, 4)}-${month}-${day}${pick(random, ['T', 't'])}${hour}:${minute}:${second}${fraction}${zone}`
  }
  let taken = 0
  tryCases(
    8_000,
    random => ({ text: below(random, 20) === 0 ? `${digits(below(random, 10_000), 4)}-12-31T23:59:60Z` : text(random) }),
    ({ text }) => {
      const moment = countedMoment(text)
      if (isRefused('before', text)) return moment === null ? null : `${text} is refused`
      if (moment === null) return `${text} is taken`
      taken++
      // The one moment that is neither before nor after it, nor anything beside it.
      const asks = [asking('before', text), asking('after', text)]
      const got = asks.flatMap(ask => [moment - 1, moment, moment + 1].map(value => ask(value)))
      return got.join() === 'true,false,false,false,false,true' ? null : `${text} is not ${moment}`
    },
  )
  t.ok(taken > 2_000, `${taken} taken`)
})

const NETWORKS: readonly (readonly [network: string, inside: readonly string[], outside: readonly string[]])[] = [
  [
    '10.0.0.0/8',
    ['10.0.0.0', '10.255.255.255', '::ffff:10.0.0.1', '::ffff:0a00:1', '0:0:0:0:0:ffff:10.1.1.1'],
    ['9.255.255.255', '11.0.0.0', '::10.0.0.1', '::a00:1'],
  ],
  ['10.1.2.3/8', ['10.200.0.0'], ['11.1.2.3']],
  ['0.0.0.0/0', ['0.0.0.0', '255.255.255.255', '::ffff:1.2.3.4'], ['::', '::1', '2001:db8::']],
  ['255.255.255.255/32', ['255.255.255.255'], ['255.255.255.254']],
  ['192.0.2.129/25', ['192.0.2.128', '192.0.2.255'], ['192.0.2.127', '192.0.3.128']],
  ['128.0.0.0/1', ['128.0.0.0', '255.255.255.255'], ['127.255.255.255', '0.0.0.0']],
  ['192.0.2.7', ['192.0.2.7', '::ffff:192.0.2.7', '::ffff:c000:207'], ['192.0.2.6', '::192.0.2.7']],
  [
    '2001:db8::/32',
    ['2001:db8::', '2001:0DB8:ffff:FFFF:ffff:ffff:ffff:ffff', '2001:db8::192.0.2.1'],
    ['2001:db7:ffff::', '2001:db9::', '32.1.13.184'],
  ],
  ['::/0', ['::', '::1', 'ffff::', '1::', '::1.2.3.4'], ['1.2.3.4', '::ffff:1.2.3.4', '0.0.0.0']],
  ['1:2:3:4:5:6:7::', ['1:2:3:4:5:6:7:0'], ['1:2:3:4:5:6:7:1']],
  ['::1', ['::1', '0:0:0:0:0:0:0:1', '0000::0001', '::0.0.0.1'], ['::2', '::', '1::']],
  ['::1/128', ['::1'], ['::']],
  ['fe80::/10', ['fe80::1', 'febf::'], ['fec0::', 'fe7f::']],
  ['2001:db8:0:0:8000::/65', ['2001:db8:0:0:8000::', '2001:db8::ffff:0:0:1'], ['2001:db8::7fff:0:0:1', '2001:db8::']],
  ['::ffff:10.0.0.0/104', ['10.1.2.3', '::ffff:10.1.2.3'], ['11.0.0.0', '::10.1.2.3']],
  ['::ffff:0:0/96', ['0.0.0.0', '255.255.255.255', '::ffff:0:0'], ['::', '::fffe:1.2.3.4']],
  ['::ffff:0:0/95', ['::fffe:1.2.3.4'], ['1.2.3.4', '::ffff:1.2.3.4', '::']],
  ['::ffff:10.1.2.3', ['10.1.2.3', '::ffff:a01:203'], ['10.1.2.4']],
]

t.test('networks of IPv4, of IPv6 and mapped ones hold what lies in them, and nothing else', async t => {
  for (const [network, inside, outside] of NETWORKS) {
    const isIn = asking('inCidr', network)
    for (const address of inside) t.ok(isIn(address) && !isIn(address, true), `${address} in ${network}`)
    for (const address of outside) t.ok(!isIn(address) && isIn(address, true), `${address} not in ${network}`)
  }
})

t.test('what is no address is in no network, and what is no network is refused', async t => {
  const bad =
    '10.1 10 10.1.2 10.1.2.3.4 010.0.0.1 10.0.0.01 0x0a.0.0.1 0xa000001 167772161 256.0.0.1 1.2.3.-4 1.2.3.4. .1.2.3.4 1..2.3 1.2.3.4:80 １.2.3.4 ' +
    '::1%eth0 fe80::1%1 1::2::3 ::: :::1 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 ::1:2:3:4:5:6:7:8 12345:: g:: :1 1: [::1] ::ffff:1.2.3 ' +
    '::ffff:01.2.3.4 ::ffff:1.2.3.256 1.2.3.4::1 ::1.2.3.4:5 1:2:3:4:5:6:7:1.2.3.4 ::-1 ::+1 localhost *'
  const addresses = [...bad.split(' '), '', ' ', '1.2.3.4 ', ' ::1', '::1\n', '1.2.3.4\0']
  t.ok(addresses.length > 40)
  const [all4, all6] = [asking('inCidr', '0.0.0.0/0'), asking('inCidr', '::/0')]
  for (const text of addresses) {
    if (all4(text) || all6(text) || !all4(text, true)) t.fail(`${JSON.stringify(text)} is no address`)
    if (!isRefused('inCidr', text)) t.fail(`${JSON.stringify(text)} is refused as a network`)
    if (!isRefused('inCidr', `${text}/8`)) t.fail(`${JSON.stringify(text)}/8 is refused as a network`)
  }
  const networks =
    '10.0.0.0/33 10.0.0.0/-1 10.0.0.0/ 10.0.0.0/08 10.0.0.0/8/8 10.0.0.0/8.0 10.0.0.0/+8 10.0.0.0/0x8 10.0.0.0/255.0.0.0 ::/129 ::/0128 ::1%eth0/64 /8 / ::/ ::ffff:10.0.0.0/129 10.0.0.0/1e1 10.0.0.0\\8'
  for (const text of [...networks.split(' '), '10.0.0.0 /8', '10.0.0.0/ 8', '10.0.0.0/8 ']) t.ok(isRefused('inCidr', text), text)
  // A network is not an address.
  t.notOk(all4('10.0.0.0/8'))
  for (const value of [167772161, 0, true, [167772161]]) t.notOk(all4(value), typeof value)
})

t.test('an address lies in a network exactly as long as no bit of the prefix differs', async t => {
  tryCases(
    3_000,
    random => ({ bytes: Array.from({ length: below(random, 2) === 0 ? 4 : 16 }, () => below(random, 256)), bit: below(random, 128) }),
    ({ bytes, bit }) => {
      const width = bytes.length * 8
      const flipped = bit % width
      const other = bytes.map((byte, i) => (i === flipped >> 3 ? byte ^ (0x80 >> (flipped & 7)) : byte))
      for (const prefix of new Set([0, flipped, flipped + 1, width])) {
        const isIn = asking('inCidr', `${written(bytes)}/${prefix}`)
        if (!isIn(written(bytes))) return `${written(bytes)} is not in its own network of ${prefix} bits`
        if (isIn(written(other)) !== prefix <= flipped) return `${written(other)} in ${written(bytes)}/${prefix}`
      }
      return null
    },
  )
  t.pass('held')
})

/** Four numbers, or eight groups of which none is shortened; never a mapped one, which is IPv4. */
function written(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16))
  return groups.join(':')
}
