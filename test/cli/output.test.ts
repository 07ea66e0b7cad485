import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { at } from '../../cli/client.ts'
import { parseYaml, rulesetYaml } from '../../cli/documents.ts'
import { Failure } from '../../cli/failure.ts'
import { isExposed, loginPath, readLogin, removeLogin, saveLogin } from '../../cli/login.ts'
import { coloured, createOutput, failureText, table } from '../../cli/output.ts'
import { readSettings, serverUrl } from '../../cli/settings.ts'
import type { Ruleset } from '../../schemas/ruleset.ts'

function sink(isTTY: boolean): { isTTY: boolean; text: string; write(text: string): void } {
  return {
    isTTY,
    text: '',
    write(text) {
      this.text += text
    },
  }
}

t.test('colours come from the terminal alone', async t => {
  const rows: readonly [boolean, Record<string, string>, boolean][] = [
    [true, {}, true],
    [true, { CI: 'true' }, true],
    [false, { CI: 'true' }, false],
    [false, { FORCE_COLOR: '1' }, false],
    [true, { NO_COLOR: '1' }, false],
    [true, { NO_COLOR: '' }, true],
    [true, { TERM: 'dumb' }, false],
  ]
  for (const [isTTY, environment, expected] of rows)
    t.equal(coloured(sink(isTTY), environment), expected, JSON.stringify([isTTY, environment]))
})

t.test('text and JSON never mix', async t => {
  for (const json of [true, false]) {
    const stdout = sink(false)
    const stderr = sink(false)
    const output = createOutput(stdout, stderr, { json, environment: {} })
    output.line('for people')
    output.note('beside')
    output.data({ a: 1 })
    output.failure(new Failure('FLAG_NOT_FOUND', 1, 'no such flag', { details: [{ path: 'x', code: 'y', message: 'z' }], advice: 'look' }))
    if (json) {
      t.same(JSON.parse(stdout.text), { a: 1 })
      t.same(JSON.parse(stderr.text), {
        code: 'FLAG_NOT_FOUND',
        message: 'no such flag',
        details: [{ path: 'x', code: 'y', message: 'z' }],
      })
    } else {
      t.equal(stdout.text, 'for people\n')
      t.equal(stderr.text, 'beside\nsluice: no such flag (FLAG_NOT_FOUND)\n  x: z\n  look\n')
    }
  }
})

t.test('what others wrote cannot move the cursor', async t => {
  const stdout = sink(true)
  createOutput(stdout, sink(true), { json: false, environment: {} }).line('a\u001b]0;title\u0007b\u001b[2Jc\u009bd\u202ee')
  t.equal(stdout.text, 'a\\u001b]0;title\\u0007b\\u001b[2Jc\\u009bd\\u202ee\n')
})

t.test('a failure shows its details once and not without end', async t => {
  const details = Array.from({ length: 30 }, (_, i) => ({ path: `rules[${i}]`, code: 'c', message: `problem ${i}` }))
  t.equal(
    failureText(new Failure('A', 1, 'Bad: rules[0] problem 0.', { details: details.slice(0, 1) })),
    'sluice: Bad: rules[0] problem 0. (A)\n',
  )
  t.match(failureText(new Failure('A', 1, 'Bad.', { details })), /… and 20 more/)
})

t.test('columns stand below each other whatever their colour', async t => {
  t.same(
    table([
      ['A', 'B'],
      ['\u001b[31mlong\u001b[39m', 'x'],
      ['s', ''],
    ]),
    ['A     B', '\u001b[31mlong\u001b[39m  x', 's'],
  )
})

t.test('a path is made of keys, never of folders', async t => {
  t.equal(at`/flags/${'a b'}/kills/${'k/1'}`, '/flags/a%20b/kills/k%2F1')
  for (const key of ['', '.', '..']) t.throws(() => at`/flags/${key}`, { code: 'USAGE' })
})

t.test('options win over variables, variables over the login, the login over defaults', async t => {
  const login = { url: 'https://a.example', key: 'stored', project: 'shop', environment: 'staging' }
  const none = readSettings({}, {}, null)
  t.same(
    [none.url, none.key, none.project, none.environment, none.environmentNamed],
    ['http://127.0.0.1:7400', null, 'default', 'development', false],
  )
  const stored = readSettings({}, {}, login)
  t.same(
    [stored.url, stored.key, stored.project, stored.environment, stored.environmentNamed],
    ['https://a.example', 'stored', 'shop', 'staging', true],
  )
  const variables = { SLUICE_URL: 'https://b.example/', SLUICE_KEY: 'k', SLUICE_PROJECT: 'p', SLUICE_ENVIRONMENT: 'e' }
  const named = readSettings({}, variables, login)
  t.same([named.url, named.key, named.project, named.environment], ['https://b.example', 'k', 'p', 'e'])
  const given = readSettings({ url: 'https://c.example', project: 'x', environment: 'y' }, variables, login)
  t.same(
    [given.url, given.project, given.environment, given.repeat],
    ['https://c.example', 'x', 'y', ['-p', 'x', '--url', 'https://c.example']],
  )
  t.same(readSettings({ project: 'shop' }, {}, login).repeat, [], 'what holds anyway need not be repeated')
})

t.test('a stored key is not sent to another server', async t => {
  const login = { url: 'https://a.example', key: 'stored' }
  t.equal(readSettings({ url: 'https://evil.example' }, {}, login).key, null)
  t.equal(readSettings({}, { SLUICE_URL: 'http://a.example' }, login).key, null)
  t.equal(readSettings({ url: 'https://a.example/' }, {}, login).key, 'stored')
})

t.test('an address is a server and nothing else', async t => {
  t.equal(serverUrl('https://a.example/sluice/'), 'https://a.example/sluice')
  t.equal(serverUrl('http://127.0.0.1:7400/'), 'http://127.0.0.1:7400')
  for (const url of ['127.0.0.1:7400', 'ws://a.example', 'https://u:secret@a.example', 'https://a.example?x=1', '']) {
    try {
      serverUrl(url)
      t.fail(url)
    } catch (error) {
      t.ok(error instanceof Failure && error.code === 'USAGE' && !error.message.includes('secret'), url)
    }
  }
})

t.test('the login is kept for its owner alone', async t => {
  const folder = t.testdir()
  const variables = { XDG_CONFIG_HOME: folder }
  t.equal(readLogin(variables), null)
  const path = saveLogin(variables, { url: 'http://127.0.0.1:7400', key: 'slc_admin_a_b', environment: 'staging' })
  t.equal(path, join(folder, 'sluice', 'login.json'))
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(join(folder, 'sluice')).mode & 0o777, 0o700)
  t.same(readLogin(variables), { url: 'http://127.0.0.1:7400', key: 'slc_admin_a_b', environment: 'staging' })
  t.equal(isExposed(variables), false)
  writeFileSync(path, '{"key": "secret", ')
  try {
    readLogin(variables)
    t.fail('a damaged file was read')
  } catch (error) {
    t.ok(error instanceof Failure && error.code === 'FILE_UNREADABLE' && !error.message.includes('secret'))
  }
  t.equal(removeLogin(variables), true)
  t.equal(removeLogin(variables), false)
  t.equal(loginPath({ HOME: '/elsewhere', XDG_CONFIG_HOME: 'relative' }), '/elsewhere/.config/sluice/login.json')
})

const RULESET: Ruleset = {
  flags: [
    {
      key: 'checkout',
      kind: 'release',
      name: 'Check: out',
      tags: ['yes', '1.5'],
      variations: [
        { key: 'on', value: true },
        { key: 'off', value: false },
      ],
      seed: 4_294_967_295,
      version: 7,
      enabled: true,
      offVariation: 'off',
      prerequisites: [],
      targets: [],
      rules: [
        { id: 'r1', clauses: [{ attribute: '/account/id', op: 'in', values: ['17', 17, 'no', '2026-11-21'] }], serve: { variation: 'on' } },
      ],
      fallthrough: {
        rollout: {
          by: '/account/id',
          weights: [
            { variation: 'on', weight: 5_000 },
            { variation: 'off', weight: 95_000 },
          ],
        },
      },
      kills: [
        { id: 'k_01', variation: 'off', clauses: [], reason: 'double\ncharges', actor: 'dana', at: '2026-11-21T03:12:00Z', until: null },
      ],
    },
  ],
  segments: [{ key: 'beta', version: 1, included: [{ attribute: '/account/id', values: ['a-17'] }], excluded: [], rules: [] }],
}

t.test('an exported environment is short, keeps its texts and reads back the same', async t => {
  const text = rulesetYaml(RULESET, ['Project default, environment production.'])
  const { version: _version, kills: _kills, prerequisites: _prerequisites, targets: _targets, ...flag } = RULESET.flags[0] ?? ({} as never)
  t.same(parseYaml(text, 'x'), { flags: [flag], segments: [{ key: 'beta', included: [{ attribute: '/account/id', values: ['a-17'] }] }] })
  t.match(text, /^# Project default, environment production\.\n/)
  t.match(text, /# killed by k_01: serves off to everyone, "double\\ncharges"/)
  t.match(text, '- { key: "on", value: true }')
  t.match(text, 'offVariation: "off"', 'a YAML 1.1 reader would take a bare off for false')
  t.notMatch(text, 'version')
})

t.test('a file that cannot be meant is refused with its place', async t => {
  const texts = ['a: 1\na: 2', 'a: [', 'a: 12345678901234567890', 'a: .nan', '--- 1\n--- 2', 'a: !!js/function x', 'a: *unknown']
  for (const text of texts) t.throws(() => parseYaml(text, 'flags.yaml'), { code: 'USAGE', message: /flags\.yaml/ }, text)
  t.same(parseYaml('a: 9007199254740991\nb: 1.5\nc: on\nd: 2026-11-21', 'x'), { a: 9007199254740991, b: 1.5, c: 'on', d: '2026-11-21' })
  t.ok(readFileSync(new URL('../../../cli/README.md', import.meta.url), 'utf8').length > 0)
})
