import { setTimeout as pause } from 'node:timers/promises'
import { pino } from 'pino'
import t from 'tap'
import { SluiceError } from '../../../schemas/errors.ts'
import { openLog } from '../../../server/log/log.ts'
import { manualClock } from '../../clock.ts'
import { failingStorage } from '../log/open.ts'
import { startServer } from '../start.ts'

const P = '/api/v1/projects/default'
const D = `${P}/environments/development`

t.test('with a full disk edits are refused, and a flag is killed, lifted and its kill ended all the same', async t => {
  const clock = manualClock()
  const storage = failingStorage()
  const data = t.testdir()
  const log = await openLog({ data, clock, logger: pino({ level: 'silent' }), openStorage: storage.open })
  const { call } = await startServer(t, { clock, log, data })
  for (const key of ['a', 'b']) await call('POST', `${P}/flags`, { key, kind: 'release', tags: ['x'] })

  storage.failure = new SluiceError('STORAGE_FULL', 'The disk is full.')
  t.match(await call('PATCH', `${D}/flags/a`, { enabled: true }), { status: 507, body: { code: 'STORAGE_FULL' } })
  t.match(await call('POST', `${D}/changes/1/revert`), { status: 507, body: { code: 'STORAGE_FULL' } })
  const killed = await call('POST', `${D}/flags/a/kills`, { reason: 'x' })
  t.match(killed, { status: 201, body: { volatile: true, revision: 3, change: { revision: 3 }, kill: { variation: 'off' } } })
  t.match((await call('GET', `${D}/flags/a`)).body.kills, [{ id: killed.body.kill.id }])
  t.match(
    await call('POST', `${D}/flags/a/kills`, { reason: 'x' }),
    { status: 200, body: { existing: true, change: null } },
    'asked again, it stands already',
  )
  t.match((await call('POST', `${D}/kills`, { tag: 'x', reason: 'y', until: new Date(clock.now() + 1_000).toISOString() })).body, {
    volatile: true,
    kills: [{}, {}],
  })
  t.match((await call('GET', `${D}/changes/wait?after=2`)).body, { changes: [{ revision: 3 }, { revision: 4 }] })
  t.match((await call('DELETE', `${D}/flags/a/kills/${killed.body.kill.id}`)).body, { volatile: true, lifted: [killed.body.kill.id] })

  for (let i = 0; (await call('GET', `${D}/kills`)).body.kills.length > 0 && i < 2_000; i++) {
    clock.advance(1_000)
    await pause(5)
  }
  t.match((await call('GET', `${D}/changes?limit=1`)).body.changes, [{ action: 'flag.expire', actor: { kind: 'system' } }])

  storage.failure = null
  for (let i = 0; !log.status().healthy && i < 2_000; i++) {
    clock.advance(30_000)
    await pause(5)
  }
  t.equal((await call('PATCH', `${D}/flags/a`, { enabled: true })).status, 200, 'and with space again everything goes on')
  t.match((await call('GET', `${D}/verify`)).body, { brokenAt: null })
})
