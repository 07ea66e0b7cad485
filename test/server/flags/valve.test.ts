import t from 'tap'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'

t.test('a safety valve is made with its key and kind alone', async t => {
  const { call } = await startServer(t)
  const made = await call('POST', `${P}/flags`, { key: 'payments', kind: 'safety-valve' })
  t.equal(made.status, 201)
  const { body } = await call('GET', `${P}/environments/development/flags/payments`)
  t.match(body, { enabled: true, offVariation: 'cut', fallthrough: { variation: 'auto' } })
})

t.test('a setting that is legal and doubtful is taken with a warning', async t => {
  const { call } = await startServer(t)
  const cut = { key: 'cut', value: { mode: 'cut' } }
  const cases: [name: string, value: object, expected: [code: string, place: string][]][] = [
    ['nothing doubtful', { mode: 'auto' }, []],
    ['a share that says nothing', { mode: 'flow', admit: 0.5 }, [['ignored', 'admit']]],
    ['a throttle to nothing', { mode: 'throttle', admit: 0 }, [['cut', 'admit']]],
    ['auto that never moves', { mode: 'auto', breaker: { enabled: false }, adaptive: { enabled: false } }, [['never_moves', 'mode']]],
    ['a fleet trip without a breaker', { mode: 'auto', breaker: { enabled: false }, fleetTrip: true }, [['ignored', 'fleetTrip']]],
    ['narrow for minutes', { mode: 'auto', adaptive: { enabled: true, K: 1.1 } }, [['slow_recovery', 'adaptive.ramp']]],
    ['no way back', { mode: 'auto', adaptive: { enabled: true, maxReject: 1 } }, [['no_way_back', 'adaptive.maxReject']]],
    ['a fleet trip that only watches', { mode: 'auto', shadow: true, fleetTrip: true }, [['shadow', 'fleetTrip']]],
  ]
  await call('POST', `${P}/flags`, { key: 'payments', kind: 'safety-valve' })
  for (const [name, value, expected] of cases) {
    const answer = await call('PATCH', `${P}/flags/payments?dryRun=true`, { variations: [{ key: 'auto', value }, cut] })
    t.equal(answer.status, 200, name)
    const warnings = (answer.body.warnings ?? []) as { code: string; path: string }[]
    t.same(
      warnings.map(({ code, path }) => [code, path.replace('variations[0].value.', '')]),
      expected,
      name,
    )
  }
})
