import t from 'tap'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`

const rates = (...values: unknown[]): object => ({ variations: values.map((value, i) => ({ key: `v${i}`, value })) })
const perSecond = (rate: number, more: object = {}): object => ({ rate, per: 'second', ...more })

t.test('a rate that changes by more than ten times in one write needs a confirmation', async t => {
  const { call } = await startServer(t)
  await call('POST', `${P}/flags`, { key: 'api', kind: 'rate-limit', offVariation: 'v0', ...rates(perSecond(10)) })
  const steps: [name: string, value: object, isTaken: boolean][] = [
    ['ten times as much', perSecond(100), true],
    ['eleven times', perSecond(1_100), false],
    ['the same, otherwise said', { rate: 6_000, per: 'minute' }, true],
    ['a tenth', { rate: 10, per: 'second' }, true],
    ['a thirtieth', { rate: 1, per: 'minute' }, false],
    ['more than ten times by what a request costs', perSecond(10, { cost: 11, burst: 11 }), false],
    ['a cut', perSecond(0), false],
    ['no limit', { unlimited: true }, false],
    ['another burst', perSecond(10, { burst: 1_000 }), true],
  ]
  for (const [name, value, isTaken] of steps) {
    for (const dry of ['?dryRun=true', '']) {
      const answer = await call('PATCH', `${P}/flags/api${dry}`, rates(value))
      t.equal(answer.status, isTaken ? 200 : 409, `${name}${dry}`)
      if (isTaken) continue
      t.match(answer.body, { code: 'RATE_STEP_TOO_LARGE', details: [{ path: 'variations[0].value', code: 'rate_step' }] }, name)
      t.match(answer.body.message, /Flag "api" in "default\/development": variation "v0" would go from .* force=true\.$/)
    }
  }
  const cut = await call('PATCH', `${P}/flags/api?force=true`, rates(perSecond(0)))
  t.match(cut, { status: 200, body: { warnings: [{ code: 'cut', path: 'variations[0].value.rate' }] } }, 'a cut is taken, and said')
  t.match(await call('PATCH', `${P}/flags/api`, rates(perSecond(10))), { status: 409 }, 'so is the way back')
  const reverted = await call('POST', `${D}/changes/${cut.body.revisions.development}/revert`)
  t.match(reverted.status, 200, 'undoing never asks')
  t.match((await call('GET', `${D}/flags/api`)).body.variations, [{ value: { rate: 10, burst: 1_000 } }])
})

t.test('an import asks as an edit does, a new flag never', async t => {
  const { call } = await startServer(t)
  const document = (value: object): object => ({ flags: [{ key: 'api', kind: 'rate-limit', offVariation: 'v0', ...rates(value) }] })
  t.match(await call('PUT', `${D}/ruleset`, document(perSecond(10))), { status: 200 })
  t.match(await call('PUT', `${D}/ruleset`, document(perSecond(1_000))), {
    status: 409,
    body: { code: 'RATE_STEP_TOO_LARGE', details: [{ path: 'flags[0].variations[0].value' }] },
  })
  t.match(await call('PUT', `${D}/ruleset?force=true`, document(perSecond(1_000))), { status: 200 })
})

t.test('a kill is never asked how large its step is', async t => {
  const { call } = await startServer(t)
  const two = rates(perSecond(1_000), perSecond(0))
  await call('POST', `${P}/flags`, { key: 'api', kind: 'rate-limit', offVariation: 'v1', enabled: true, ...two })
  t.match(await call('POST', `${D}/flags/api/kills`, { reason: 'overload' }), { status: 201 })
  t.match(await call('DELETE', `${D}/flags/api/kills`), { status: 200 })
})
