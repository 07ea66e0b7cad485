import t from 'tap'
import { browserTest } from '../browser.ts'
import type { TestServer } from '../server/start.ts'
import { newPage, openDashboard, PATIENCE_MS, PRODUCTION, PROJECT, signIn } from './open.ts'

const FLAG = `${PRODUCTION}/flags/new-ledger`

browserTest(t, 'the flags pages', async (t, browser) => {
  const { server, page, go, look } = await openDashboard(t, browser)
  await fill(server)

  await t.test('a flag is found among many by text, filter and keyboard, and looks well', async t => {
    await go('flags')
    await page.getByText('2 killed in production').waitFor()
    await look(t, 'flags')
    await page.getByLabel('Part of a key, a name, a tag or an owner').fill('ledger')
    await page.getByText(/^3 of \d+ flags/).waitFor()
    for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await page.waitForURL(/flags\/new-ledger$/)
    await page.getByRole('heading', { name: 'new-ledger' }).waitFor()
    await look(t, 'flag')
    await go('flags?state=killed')
    await page.getByText(/^2 of \d+ flags, 2 killed/).waitFor()
    t.equal(await page.locator('.flaglist tbody tr').count(), 2)
    await page.getByRole('columnheader', { name: 'Kind' }).getByRole('button').click()
    await page.locator('th[aria-sort=ascending]', { hasText: 'Kind' }).waitFor()
  })

  await t.test('many are killed in one commit, and archived, with what is in use named', async t => {
    await go('flags?q=old-')
    await page.getByText(/^3 of/).waitFor()
    await page.getByLabel('Choose all that are found').check()
    await page.getByRole('button', { name: 'Kill…' }).click()
    await page.getByLabel(/reason/i).fill('vendor is down')
    await page.getByRole('dialog').locator('button[type=submit]').click()
    await page
      .getByRole('dialog')
      .getByText(/revision \d+/)
      .first()
      .waitFor()
    const { body } = await server.call('GET', `${PRODUCTION}/kills`)
    t.equal(body.kills.filter((kill: { reason: string }) => kill.reason === 'vendor is down').length, 3)
    await page.keyboard.press('Escape')
    await page.locator('.flaglist td.here', { hasText: 'killed' }).nth(2).waitFor()
    for (const key of ['old-0', 'old-1', 'old-2']) await server.call('DELETE', `${PRODUCTION}/flags/${key}/kills`)
    await page.locator('.flaglist td.here', { hasText: 'killed' }).first().waitFor({ state: 'detached' })
    await page.getByRole('button', { name: 'Archive…' }).click()
    await page.getByRole('button', { name: 'Archive 3 flags' }).click()
    await page.getByText('FLAG_IN_USE').waitFor()
    await page.getByText('2 archived.').waitFor()
    t.equal((await server.call('GET', `${PRODUCTION}/flags/old-0`)).status, 200, 'what another flag needs stays')
    await page.keyboard.press('Escape')
  })

  await t.test('a rule is edited while the API edits another: both stand', async t => {
    await go('flags/new-ledger')
    await page.getByRole('button', { name: 'Edit rule Beta accounts' }).click()
    await page.getByLabel('Value to add', { exact: true }).last().fill('gold')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Edit rule r2' }).click()
    await page.getByLabel('Percent of on').first().fill('12.345')
    await page.keyboard.press('Enter')
    await look(t, 'flag-builder')
    await page.getByText('Together 100 %').first().waitFor()

    const { body: before } = await server.call('GET', FLAG)
    const rules = before.rules.map((rule: { id: string }) => (rule.id === 'r2' ? { ...rule, name: 'From dana' } : rule))
    await server.call('PATCH', FLAG, { rules, offVariation: 'off', enabled: false, comment: 'stopped for the audit' })
    await page.getByText('It was changed while you edited').waitFor()
    await page.getByRole('button', { name: 'Review and save' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('Somebody else changed it meanwhile').waitFor()
    await dialog.getByText('stopped for the audit').waitFor()
    await look(t, 'flag-conflict')
    t.match(await dialog.locator('.conflict').innerText(), /changed by both/)
    await dialog.getByRole('button', { name: 'Put mine on theirs' }).click()
    await dialog.getByText('As you leave it').waitFor()
    await dialog.getByLabel('Comment').fill('gold is beta as well')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText(/Saved as revision \d+/).waitFor()
    const { body: flag } = await server.call('GET', FLAG)
    t.equal(flag.enabled, false, 'theirs stands')
    t.same(flag.rules[0].clauses[0].values, ['beta', 'gold'], 'and so does mine')
    t.same(flag.rules[1].serve.rollout.weights, [
      { variation: 'on', weight: 12_345 },
      { variation: 'off', weight: 87_655 },
    ])
  })

  await t.test('rules are moved by button and by drag, and what the server refuses is said at its place', async t => {
    await go('flags')
    await go('flags/new-ledger')
    await page.getByRole('button', { name: 'Move rule Beta accounts down' }).click()
    t.match(await page.locator('.rule').nth(1).innerText(), /Beta accounts/)
    await page.locator('.rule').nth(2).locator('.handle').dragTo(page.locator('.rule').first().locator('.amount'))
    t.match(await page.locator('.rule').first().innerText(), /Canary/)
    await page.getByRole('button', { name: 'Edit rule Canary' }).click()
    const term = page.locator('.rule').first().locator('.term')
    await term.getByLabel('Operator').selectOption('matches')
    await term.getByLabel('Value to add', { exact: true }).fill('(unclosed')
    await page.getByRole('button', { name: 'Review and save' }).click()
    await term.getByText('invalid_pattern').waitFor()
    await term.getByLabel('Operator').selectOption('greaterThan')
    await term.getByLabel('Value to add', { exact: true }).fill('many')
    await page.keyboard.press('Enter')
    await term.getByText('“many” is not a number').waitFor()
    await page.getByRole('button', { name: 'Discard' }).click()
    await page.getByText('Edits that are not saved').waitFor({ state: 'detached' })
    t.match(await page.locator('.rule').first().innerText(), /Beta accounts|Canary|From dana|r2/)
  })

  await t.test('the playground says what a context gets, and every step', async t => {
    await server.call('PATCH', FLAG, { enabled: true })
    await go('flags/new-ledger/try')
    await page.getByLabel('/account/plan').fill('beta')
    await page.getByRole('button', { name: 'What does it get?' }).click()
    await page.locator('.answer', { hasText: 'RULE_MATCH' }).waitFor()
    await page.locator('.trail').getByText('/account/plan is "beta"').first().waitFor()
    t.match(await page.locator('.answer .value').innerText(), /true/)
    await look(t, 'playground')
    await page.getByLabel('As JSON').fill('{ "targetingKey": 1')
    t.equal(await page.getByRole('button', { name: 'What does it get?' }).isDisabled(), true)
  })

  await t.test('history shows what stood before beside what stood after, and takes it back', async t => {
    await go('flags/new-ledger/history')
    await page.getByText('gold is beta as well').waitFor()
    await look(t, 'history')
    const first = page.locator('.history > li').first()
    await first.getByRole('button', { name: /Revert revision/ }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Revert', exact: true }).click()
    await page.getByText(/Reverted as revision \d+/).waitFor()
    t.equal((await server.call('GET', FLAG)).body.enabled, false)
    await page.keyboard.press('Escape')
    await page.locator('.history > li', { hasText: 'reverted' }).waitFor()
  })

  await t.test('evaluations, comparison and JSON of a flag', async t => {
    await go('flags/new-ledger/evaluations')
    await page.locator('.chart canvas').waitFor()
    await page.getByRole('cell', { name: '1,200' }).waitFor()
    await look(t, 'evaluations')
    await go('flags/new-ledger/compare')
    await page.getByText(/They differ in \d+ place/).waitFor()
    await look(t, 'compare')
    await page.getByRole('button', { name: 'Copy from production to development…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Copy', exact: true }).click()
    await page.getByText('Both do the same.').waitFor()
    await go('flags/new-ledger/json')
    const text = page.getByRole('textbox', { name: 'What it does here' })
    await text.fill((await text.inputValue()).replace('"enabled": false', '"enabled": true'))
    await look(t, 'json')
    await page.getByRole('button', { name: 'Review and save' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
    await page.getByText(/Saved as revision \d+/).waitFor()
    t.equal((await server.call('GET', FLAG)).body.enabled, true)
  })

  await t.test('2,000 flags are a page that answers at once', async t => {
    const { body } = await server.call('GET', `${PRODUCTION}/ruleset`)
    const many = Array.from({ length: 2_000 }, (_, i) => ({ key: `many-${i}`, kind: 'release', owner: `team-${i % 20}` }))
    const { status } = await server.call('PUT', `${PRODUCTION}/ruleset`, { flags: [...body.flags, ...many], segments: body.segments })
    t.equal(status, 200)
    await go('flags?q=many-')
    await page.getByText(/^2,000 of/).waitFor()
    t.equal(await page.locator('.flaglist tbody tr').count(), 100)
    await page.getByRole('button', { name: /Show 200 more/ }).click()
    t.equal(await page.locator('.flaglist tbody tr').count(), 300)
  })

  await t.test('a flag is made, and who may only look is offered nothing to change', async t => {
    await go('flags')
    await page.getByRole('button', { name: 'New flag' }).click()
    await page.getByLabel('Key, as code asks for it').fill('fresh flag')
    await page.getByRole('button', { name: 'Make it in every environment' }).click()
    await page.getByRole('alert').filter({ hasText: 'INVALID_REQUEST' }).waitFor()
    await page.getByLabel('Key, as code asks for it').fill('fresh')
    await page.getByRole('button', { name: 'Make it in every environment' }).click()
    await page.waitForURL(/flags\/fresh$/, { timeout: PATIENCE_MS })
    t.equal((await server.call('GET', `${PRODUCTION}/flags/fresh`)).status, 200)
    const { token } = await server.makeKey('admin', 'production', {
      grants: [{ role: 'viewer', project: 'default', environment: 'production' }],
    })
    const other = await newPage(t, browser, server)
    await signIn(other, token)
    await other.goto(`${server.url}/#/default/production/flags/new-ledger`)
    await other.getByText('Beta accounts').waitFor()
    t.equal(await other.getByRole('button', { name: /Kill|Turn|Edit|Move|Archive|Clause/ }).count(), 0)
    await other.goto(`${server.url}/#/default/production/flags?q=fresh`)
    await other.locator('a.key', { hasText: 'fresh' }).waitFor()
    t.equal(await other.getByRole('button', { name: 'New flag' }).count(), 0)
  })
})

/** Flags as a team has them: some killed, some needing others, one with everything. */
async function fill(server: TestServer): Promise<void> {
  const make = (body: object): Promise<unknown> => server.call('POST', `${PROJECT}/flags`, body)
  await make({ key: 'ledger-upstream', kind: 'release', owner: 'payments', enabled: true })
  await make({
    key: 'new-ledger',
    kind: 'release',
    name: 'The new ledger',
    description: 'Moves bookings to the new ledger, an account at a time.',
    owner: 'payments',
    tags: ['team:payments', 'dependency:ledger'],
    runbook: 'https://runbooks.example/ledger',
    prerequisites: [{ flag: 'ledger-upstream', variations: ['on'] }],
    targets: [{ attribute: '/account/id', values: ['a-17', 'a-23'], variation: 'off' }],
    rules: [
      {
        id: 'r1',
        name: 'Beta accounts',
        clauses: [
          { attribute: '/account/plan', op: 'in', values: ['beta'] },
          { attribute: '/app/version', op: 'exists', values: [false] },
        ],
        serve: { variation: 'on' },
      },
      {
        id: 'r2',
        clauses: [{ attribute: '/account/country', op: 'in', values: ['DE', 'AT', 'CH'] }],
        serve: {
          rollout: {
            by: '/account/id',
            weights: [
              { variation: 'on', weight: 25_000 },
              { variation: 'off', weight: 75_000 },
            ],
          },
        },
      },
      {
        id: 'r3',
        name: 'Canary',
        clauses: [{ attribute: '/request/zone', op: 'startsWith', values: ['canary-'], ignoreCase: true }],
        serve: { variation: 'on' },
      },
    ],
    fallthrough: { variation: 'off' },
  })
  await make({ key: 'ledger-report', kind: 'release', owner: 'payments', prerequisites: [{ flag: 'new-ledger', variations: ['on'] }] })
  await make({ key: 'checkout', kind: 'kill-switch', owner: 'web', tags: ['team:web'] })
  await make({ key: 'search-v2', kind: 'kill-switch', owner: 'web', tags: ['team:web'] })
  await make({ key: 'gallery', kind: 'kill-switch', tags: ['team:mobile'] })
  await make({
    key: 'page-size',
    kind: 'config',
    variations: [
      { key: 'small', value: { rows: 20, images: false } },
      { key: 'large', value: { rows: 200, images: true } },
    ],
    offVariation: 'small',
  })
  for (const i of [0, 1, 2]) await make({ key: `old-${i}`, kind: 'release', enabled: true })
  await make({ key: 'needs-old', kind: 'release', prerequisites: [{ flag: 'old-0', variations: ['on'] }] })
  await server.call('PATCH', FLAG, { enabled: true, comment: 'the first accounts' })
  await server.call('POST', `${PRODUCTION}/flags/search-v2/kills`, { reason: 'index is broken' })
  await server.call('POST', `${PRODUCTION}/flags/checkout/kills`, {
    reason: 'crash on open',
    clauses: [{ attribute: '/device/os', op: 'in', values: ['android'] }],
  })
  const { token } = await server.makeKey('server', 'production')
  const counts = [
    { flag: 'new-ledger', variation: 'on', reason: 'RULE_MATCH', count: 1_200 },
    { flag: 'new-ledger', variation: 'off', reason: 'FALLTHROUGH', count: 300 },
  ]
  await server.call(
    'POST',
    '/telemetry',
    { type: 'counts', dropped: 0, unknownOperators: [], service: 'bookings', instance: 'i-1', sdk: 'test', counts },
    { key: token },
  )
}
