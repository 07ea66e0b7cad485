/** Triggers from the terminal. */
import t from 'tap'
import { begin } from './run.ts'

const E = ['-e', 'production']
const HERE = '/api/v1/projects/default/environments/production'

t.test('a trigger is made, tried, looked at after it fired, put back or left, edited and removed', async t => {
  const { server, sluice, done } = await begin(t)
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'kill-switch', enabled: true })
  const { hook, secret } = (await server.call('POST', `${HERE}/hooks`, { key: 'am', source: 'alertmanager' })).body
  const tells = async (status: 'firing' | 'resolved', startsAt: string): Promise<void> => {
    const acted = new Promise<void>(resolve => {
      const end = server.services.log.subscribe(({ change }) => {
        if (change.action !== 'trigger.fire') return
        end()
        resolve()
      })
    })
    const labels = { alertname: 'High 5xx rate', service: 'checkout', severity: 'critical' }
    const body = JSON.stringify({ version: '4', alerts: [{ status, labels, startsAt }] })
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
    t.equal((await fetch(`${server.url}${hook.url}`, { method: 'POST', body, headers })).status, 200)
    if (status === 'firing') await acted
  }

  const when = ['--hook', 'am', '--label', 'service=checkout', '--severity', 'error']
  const what = ['--kill', 'checkout', '--where', '/device/os=android', '--expires', '2h']
  const added = await done(['triggers', 'add', 'checkout-5xx', ...when, ...what, '--cool-down', '0s', ...E])
  t.match(
    added.stdout,
    /^MADE trigger checkout-5xx in production\n {2}when +alerts of severity error or worse of am where service is "checkout"/,
  )
  t.match(added.stdout, /do +kill checkout, for contexts where \/device\/os is "android", for 2 h\n[^]*state +armed/)
  t.match(await sluice(['triggers', 'add', 'other', '--notify', '--hold', 'checkout', ...E]), { code: 2, stderr: /does one thing/ })
  t.match(
    (await done(['triggers', 'try', 'checkout-5xx', '--label', 'service=search', ...E])).stdout,
    /^WOULD NOT ACT[^]*\n {2}yes when\.hooks[^\n]*\n {2}no {2}when\.labels\[0\] +label service is "checkout": the alert has "search"/,
  )

  await tells('firing', '2026-11-21T03:10:00Z')
  const listed = await done(['triggers', ...E])
  t.match(listed.stdout, /\ncheckout-5xx +tripped +[^]*checkout: tripped by trigger checkout-5xx, alert "High 5xx rate" from am, since/)
  t.match(listed.stdout, /undo:\nsluice triggers restore checkout-5xx -e production\n$/)
  t.match((await done(['triggers', 'restore', 'checkout-5xx', '-m', 'mended', ...E])).stdout, /^PUT BACK checkout in production/)

  await tells('resolved', '2026-11-21T03:10:00Z')
  await tells('firing', '2026-11-21T04:10:00Z')
  await server.call('POST', `${HERE}/flags/checkout/kills`, { reason: 'for everyone' })
  const left = await done(['triggers', 'restore', 'checkout-5xx', ...E])
  t.match(left.stdout, /^NOTHING TO PUT BACK[^]*left +checkout: it was changed since/, 'what a person touched is left')
  t.match(left.stdout, /take it back by hand: sluice flag show checkout -e production/)

  const shown = await done(['triggers', 'show', 'checkout-5xx', '--yaml', ...E])
  const same = await sluice(['triggers', 'edit', 'checkout-5xx', '-f', '-', ...E], { stdin: shown.stdout })
  t.match(same, { code: 0, stdout: /^NOTHING TO CHANGE/ }, 'what is shown can be given back')
  const off = await done(['triggers', 'disable', 'checkout-5xx', ...E])
  t.match(off.stdout, /^CHANGED trigger[^]*sluice triggers enable checkout-5xx -e production\n$/)
  t.match((await done(['triggers', 'remove', 'checkout-5xx', ...E])).stdout, /^REMOVED[^]*stays +what it did over checkout/)
})
