/** Hooks from the terminal: what `add` prints works as it stands. */
import t from 'tap'
import { begin } from './run.ts'

const E = ['-e', 'development']

t.test('a hook is added, delivered to, tried, given another secret, looked at and removed', async t => {
  const { server, sluice, done } = await begin(t)
  const added = await done(['hooks', 'add', 'prometheus', '--source', 'alertmanager', ...E])
  t.match(added.stdout, /^ADDED hook prometheus \(alertmanager\) in development\n/)
  const url = /url: (\S+)/.exec(added.stdout)?.[1] ?? ''
  const secret = /credentials: (\S+)/.exec(added.stdout)?.[1] ?? ''
  t.ok(url.startsWith(`${server.url}/hooks/`) && secret.length >= 40, 'what it prints is whole')

  const body = JSON.stringify({
    version: '4',
    status: 'firing',
    alerts: [{ status: 'firing', labels: { alertname: 'Down' }, startsAt: new Date().toISOString() }],
  })
  const send = async (credentials: string): Promise<number> =>
    (await fetch(url, { method: 'POST', body, headers: { authorization: `Bearer ${credentials}`, 'content-type': 'application/json' } }))
      .status
  t.equal(await send(secret), 200)
  t.equal(await send('another'), 401)

  const rotated = await done(['hooks', 'rotate', 'prometheus', ...E])
  const next = rotated.stdout.trim().split('\n').at(-1) ?? ''
  t.equal(await send(next), 200, 'the new secret is good')
  t.equal(await send(secret), 200, 'and so is the old one')
  const id = /--end (\S+)/.exec(rotated.stdout)?.[1] ?? ''
  t.match((await done(['hooks', 'rotate', 'prometheus', '--end', id, ...E])).stdout, /ENDED secret s_/)
  t.equal(await send(secret), 401, 'until it is ended')

  const tried = await sluice(['hooks', 'try', 'prometheus', '-f', '-', '--header', 'authorization: Bearer x', ...E], { stdin: body })
  t.match(tried, { code: 1, stdout: /^WOULD BE bad-signature/ })
  t.match((await done(['hooks', ...E])).stdout, /prometheus +alertmanager +header +on +1 +3 +2\n1 hook in development\./)
  const listed = await done(['hooks', 'deliveries', 'prometheus', ...E])
  t.match(listed.stdout, /bad-signature[^\n]*\n.*duplicate.*accepted[^\n]*\n {2}firing Down\n5 deliveries to prometheus\./s)
  t.match((await done(['hooks', 'show', 'prometheus', ...E])).stdout, /firing +error: Down, since/)
  for (const ran of [rotated, listed]) t.notOk(ran.stdout.includes(secret), 'a secret is shown once')
  t.match((await done(['hooks', 'edit', 'prometheus', '--disable', ...E])).stdout, /CHANGED hook prometheus/)
  t.match((await done(['hooks', 'remove', 'prometheus', ...E])).stdout, /REMOVED hook prometheus/)
})
