import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import semver from 'semver'
import t from 'tap'
import type { Clause } from '../../schemas/clause.ts'
import { OPERATORS } from '../../schemas/operator.ts'
import { checkClause, prerequisiteCycle, prerequisiteDepth, segmentCycle, segmentDepth } from '../../sdk/evaluator/check.ts'
import { momentOf } from '../../sdk/evaluator/date.ts'
import { contains, parseAddress, parseNetwork } from '../../sdk/evaluator/network.ts'
import { operandsOf } from '../../sdk/evaluator/operators.ts'
import { compareVersions, parseVersion } from '../../sdk/evaluator/version.ts'
import { runs } from '../runs.ts'
import { isInNetwork } from './twin.ts'

t.test('versions are read and ordered as the semver package does', async t => {
  const part = fc.constantFrom('0', '1', '2', '3', '4', '9', '10', '11', '100', '01', '')
  const identifier = fc.constantFrom('0', '1', '2', '10', '01', 'a', 'A', 'b', 'b-1', '-', '1a', '')
  const tail = fc.array(identifier, { minLength: 1, maxLength: 3 }).map(list => list.join('.'))
  const text = fc
    .tuple(fc.array(part, { minLength: 3, maxLength: 3 }), fc.option(tail), fc.option(tail))
    .map(([core, pre, build]) => `${core.join('.')}${pre === null ? '' : `-${pre}`}${build === null ? '' : `+${build}`}`)
  let pairs = 0
  fc.assert(
    fc.property(text, text, (a, b) => {
      const [ours, theirs] = [parseVersion(a), parseVersion(b)]
      if ((ours === null) !== (semver.valid(a) === null)) throw new Error(`"${a}" is ${ours === null ? 'refused' : 'taken'}`)
      if (ours === null || theirs === null) return
      pairs++
      if (Math.sign(compareVersions(ours, theirs)) !== semver.compare(a, b)) throw new Error(`${a} and ${b}`)
    }),
    runs(3_000),
  )
  t.ok(pairs > 100, `${pairs} pairs`)
})

t.test('dates are read as Date.parse reads them, but strictly', async t => {
  const pad = (value: number, length: number): string => String(value).padStart(length, '0')
  const text = fc
    .tuple(
      fc.integer({ min: 0, max: 9999 }),
      fc.integer({ min: 0, max: 13 }),
      fc.integer({ min: 0, max: 32 }),
      fc.integer({ min: 0, max: 23 }),
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 0, max: 59 }),
      fc.constantFrom('', '.5', '.25', '.125', '.999'),
      fc.constantFrom('Z', '+00:00', '-00:00', '+05:30', '-11:59', '+23:59', '+24:00', '', 'z', '+0100'),
    )
    .map(
      ([year, month, day, hour, minute, second, fraction, zone]) =>
        `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${pad(hour, 2)}:${pad(minute, 2)}:${pad(second, 2)}${fraction}${zone}`,
    )
  let taken = 0
  fc.assert(
    fc.property(text, text => {
      const moment = momentOf(text)
      const parsed = Date.parse(text.replace('z', 'Z'))
      const [, year = '', month = '', day = ''] = /^(\d+)-(\d+)-(\d+)/.exec(text) ?? []
      // Date.parse takes 30 February for 2 March.
      const date = new Date(0)
      date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
      const isDay = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day)
      const isFull = /(Z|z|[+-](0\d|1\d|2[0-3]):[0-5]\d)$/.test(text)
      const expected = isDay && isFull && !Number.isNaN(parsed) ? parsed : null
      if (moment !== null) taken++
      if (moment !== expected) throw new Error(`${text}: ${String(moment)} rather than ${String(expected)}`)
    }),
    runs(5_000),
  )
  t.ok(taken > 1_000, `${taken} taken`)
})

t.test('addresses are read as node:net reads them, and lie in the networks BlockList says', async t => {
  const group = fc.constantFrom('0', '1', 'db8', 'ffff', '2001', '00ff', '', '12345', 'g')
  const octet = fc.constantFrom('0', '1', '10', '255', '256', '01', '')
  const v4 = fc.array(octet, { minLength: 3, maxLength: 5 }).map(list => list.join('.'))
  const v6 = fc.oneof(
    fc.array(group, { minLength: 2, maxLength: 9 }).map(list => list.join(':')),
    fc
      .tuple(fc.array(group, { maxLength: 6 }), fc.array(group, { maxLength: 6 }))
      .map(([head, tail]) => `${head.join(':')}::${tail.join(':')}`),
    fc.tuple(fc.array(group, { maxLength: 6 }), v4).map(([head, tail]) => `${head.map(item => `${item}:`).join('')}:${tail}`),
  )
  let taken = 0
  fc.assert(
    fc.property(fc.oneof(v4, v6), text => {
      const isAddress = isIPv4(text) || isIPv6(text)
      if ((parseAddress(text) !== null) !== isAddress) throw new Error(`"${text}" is ${isAddress ? 'refused' : 'taken'}`)
      if (isAddress) taken++
    }),
    runs(5_000),
  )
  t.ok(taken > 200, `${taken} taken`)

  const any4 = fc.ipV4()
  const any6 = fc.ipV6()
  const pair = fc.oneof(
    fc.tuple(any4, any4, fc.integer({ min: 0, max: 32 })),
    fc.tuple(any6, any6, fc.integer({ min: 0, max: 128 })),
    fc.tuple(any4, any4, fc.integer({ min: 0, max: 4 })),
  )
  fc.assert(
    fc.property(pair, ([address, base, bits]) => {
      // A mapped address is IPv4 for us, whatever is written: BlockList sees it so only in part.
      if (/^::ffff:/i.test(base) || parseAddress(base)?.length !== (base.includes(':') ? 4 : 1)) return
      if (parseAddress(address)?.length !== (address.includes(':') ? 4 : 1)) return
      for (const [candidate, network] of [
        [address, `${base}/${bits}`],
        [base, `${base}/${bits}`],
      ] as const) {
        const [ours, theirs] = [parseNetwork(network), parseAddress(candidate)]
        if (ours === null || theirs === null) throw new Error(`${candidate} or ${network} is refused`)
        if (contains(ours, theirs) !== isInNetwork(candidate, network)) throw new Error(`${candidate} in ${network}`)
      }
    }),
    runs(2_000),
  )
})

t.test('expressions find what JavaScript’s own find', async t => {
  const piece = fc.constantFrom(
    'a',
    'b',
    '.',
    'a*',
    'b+',
    '(ab)',
    '[ab]',
    '[^a]',
    'a|b',
    '(a|b)?',
    '^',
    '$',
    '\\d',
    '\\w+',
    'a{2}',
    '(?:b)',
  )
  const pattern = fc.array(piece, { maxLength: 5 }).map(list => list.join(''))
  const subject = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', ' ', 'é'), maxLength: 8 })
  fc.assert(
    fc.property(pattern, fc.array(subject, { minLength: 4, maxLength: 4 }), (pattern, subjects) => {
      const { test, problems } = operandsOf('matches', [pattern], false)
      if (problems.length > 0) return
      const own = new RegExp(pattern, 'u')
      for (const subject of subjects) if (test(subject) !== own.test(subject)) throw new Error(`/${pattern}/ on "${subject}"`)
    }),
    runs(1_500),
  )
  t.pass('held')
})

const clause = (over: object): Clause => ({ attribute: 'a', op: 'in', values: [], ...over })

t.test('what an evaluator could not use is refused, with its place and a code', async t => {
  const refused: [object, string, string][] = [
    [{ op: 'isPrime', values: [7] }, 'op', 'unknown_operator'],
    [{ op: 'matches', values: ['ok', '('] }, 'values[1]', 'invalid_pattern'],
    [{ op: 'matches', values: ['(?!x)'] }, 'values[0]', 'invalid_pattern'],
    [{ op: 'matches', values: ['(a)\\1'] }, 'values[0]', 'invalid_pattern'],
    [{ op: 'matches', values: ['a'.repeat(257)] }, 'values[0]', 'pattern_too_long'],
    [{ op: 'matches', values: [5] }, 'values[0]', 'operand_type'],
    [{ op: 'semverEqual', values: ['v1.0.0'] }, 'values[0]', 'invalid_version'],
    [{ op: 'semverLessThan', values: ['1.0.0', '01.0.0'] }, 'values[1]', 'invalid_version'],
    [{ op: 'before', values: ['2026-11-21'] }, 'values[0]', 'invalid_date'],
    [{ op: 'after', values: [true] }, 'values[0]', 'invalid_date'],
    [{ op: 'inCidr', values: ['10.0.0.0/33'] }, 'values[0]', 'invalid_network'],
    [{ op: 'inCidr', values: ['10.0.0.0/08'] }, 'values[0]', 'invalid_network'],
    [{ op: 'inCidr', values: ['010.0.0.1'] }, 'values[0]', 'invalid_network'],
    [{ op: 'lessThan', values: ['5'] }, 'values[0]', 'operand_type'],
    [{ op: 'between', values: [1] }, 'values', 'operand_count'],
    [{ op: 'between', values: [1, 2, 3] }, 'values', 'operand_count'],
    [{ op: 'between', values: [2, 1] }, 'values', 'operand_order'],
    [{ op: 'exists', values: [] }, 'values', 'operand_count'],
    [{ op: 'exists', values: ['yes'] }, 'values[0]', 'operand_type'],
    [{ op: 'exists', values: [true], negate: true }, 'negate', 'negate_unexpected'],
    [{ op: 'lessThan', values: [1], ignoreCase: true }, 'ignoreCase', 'ignore_case_unexpected'],
    [{ op: 'matches', values: ['x'], ignoreCase: true }, 'ignoreCase', 'ignore_case_unexpected'],
    [{ op: 'startsWith', values: [] }, 'values', 'operand_count'],
    [{ op: 'contains', values: [5] }, 'values[0]', 'operand_type'],
    [{ op: 'in', values: [null] }, 'values[0]', 'operand_type'],
    [{ op: 'in', values: [1, Number.NaN] }, 'values[1]', 'operand_type'],
    [{ op: 'in', attribute: undefined }, 'attribute', 'attribute_missing'],
    [{ op: 'in', attribute: '/a~2' }, 'attribute', 'invalid_pointer'],
    [{ op: 'segment', values: ['beta'] }, 'attribute', 'attribute_unexpected'],
    [{ op: 'segment', attribute: undefined, values: ['gone'] }, 'values[0]', 'unknown_segment'],
    [{ op: 'segment', attribute: undefined, values: [] }, 'values', 'operand_count'],
  ]
  for (const [over, path, code] of refused) {
    const problems = checkClause(clause(over), new Set(['beta']))
    t.match(problems, [{ path, code }], JSON.stringify(over))
    t.ok(
      problems.every(({ message }) => message.endsWith('.')),
      'says it in a sentence',
    )
  }
})

t.test('every operator has operands that are taken', async t => {
  const usable: Record<(typeof OPERATORS)[number], unknown[]> = {
    in: [],
    startsWith: ['x'],
    endsWith: ['x'],
    contains: ['x'],
    matches: ['(?i)^x+$'],
    lessThan: [1],
    lessThanOrEqual: [1.5],
    greaterThan: [-1],
    greaterThanOrEqual: [0],
    between: [1, 2],
    before: ['2026-11-21T03:12:00Z', 0],
    after: ['2026-11-21T03:12:00+01:00'],
    semverEqual: ['2'],
    semverLessThan: ['2.0'],
    semverLessThanOrEqual: ['2.0.0-rc.1'],
    semverGreaterThan: ['2.0.0+build'],
    semverGreaterThanOrEqual: ['1.2.3'],
    inCidr: ['10.0.0.0/8', '::1', '2001:db8::/32'],
    exists: [false],
    segment: ['beta'],
  }
  for (const op of OPERATORS) {
    const attribute = op === 'segment' ? {} : { attribute: '/a/b' }
    t.strictSame(checkClause({ op, values: usable[op], ...attribute } as Clause, new Set(['beta'])), [], op)
  }
})

t.test('cycles are found and named, and chains are measured', async t => {
  const flags = (references: Record<string, string[]>): Map<string, { prerequisites: { flag: string; variations: string[] }[] }> =>
    new Map(Object.entries(references).map(([key, list]) => [key, { prerequisites: list.map(flag => ({ flag, variations: ['on'] })) }]))
  t.equal(prerequisiteCycle(flags({ a: ['b'], b: ['c'], c: ['gone'], d: ['a', 'b'] })), null)
  t.strictSame(prerequisiteCycle(flags({ x: ['a'], a: ['b'], b: ['c'], c: ['a'] })), ['a', 'b', 'c', 'a'])
  t.strictSame(prerequisiteCycle(flags({ a: ['a'] })), ['a', 'a'])
  t.equal(prerequisiteDepth(flags({ a: ['b', 'd'], b: ['c'], c: [], d: [] }), 'a'), 2)
  const long = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`f${i}`, i === 19_999 ? [] : [`f${i + 1}`]]))
  t.equal(prerequisiteDepth(flags(long), 'f0'), 19_999)
  t.equal(prerequisiteCycle(flags({ ...long, f19999: ['f0'] }))?.length, 20_001)

  const segments = (references: Record<string, string[]>): Map<string, { rules: { id: string; clauses: Clause[] }[] }> =>
    new Map(Object.entries(references).map(([key, values]) => [key, { rules: [{ id: 'r', clauses: [{ op: 'segment', values }] }] }]))
  t.equal(segmentCycle(segments({ a: ['b'], b: [] })), null)
  t.strictSame(segmentCycle(segments({ a: ['b'], b: ['a'] })), ['a', 'b', 'a'])
  t.equal(segmentDepth(segments({ a: ['b'], b: ['c'], c: [] }), 'a'), 2)
})
