/** Notifiers from the terminal. */
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { EGRESS_ALLOW, startReceiver } from '../server/notifiers/receiver.ts'
import { begin } from './run.ts'

const E = ['-e', 'production']
const HERE = '/api/v1/projects/default/environments/production'

t.test('a notifier is added, tested, paused, resumed, looked at and removed', async t => {
  const receiver = await startReceiver(t)
  const { server, sluice, done } = await begin(t, { config: { egressAllow: EGRESS_ALLOW } })
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'kill-switch', enabled: true })

  const added = await done(['notifiers', 'add', 'audit', '--kind', 'webhook', '--to', `${receiver.url}/in`, '--topic', 'kills', ...E])
  t.match(added.stdout, /^ADDED notifier audit in production\n[^]*it is not shown again:\nwhsec_\S+\n$/)
  const webhook = new Webhook(added.stdout.trim().split('\n').at(-1) ?? '')
  t.match((await done(['notifiers', 'test', 'audit', ...E])).stdout, /^WORKS: audit in production: answered 200, after \d+ ms\n$/)
  const { text, headers } = await receiver.nth(1)
  t.match(webhook.verify(text, headers as Record<string, string>), { type: 'notice.test' }, 'the secret that was printed verifies it')

  t.match((await done(['notifiers', 'pause', 'audit', ...E])).stdout, /^PAUSED[^]*\nsluice notifiers resume audit -e production\n$/)
  await server.call('POST', `${HERE}/flags/checkout/kills`, { reason: 'double charges' })
  // A test jumps the queue and is answered for at once.
  receiver.answer(500, 200)
  const failed = await sluice(['notifiers', 'test', 'audit', ...E])
  t.match(failed, { code: 1, stdout: /^FAILED: audit in production: answered 500, after/ })
  t.match((await done(['notifiers', ...E])).stdout, /\naudit +webhook +paused +1 +kills +any\n1 notifier in production\.\n$/)
  t.match((await done(['notifiers', 'resume', 'audit', ...E])).stdout, /^RESUMED notifier audit/)
  t.match((await receiver.nth(3)).body, { type: 'flag.kill', data: { why: 'double charges' } }, 'what waited is sent')
  await server.call('POST', `${HERE}/flags/checkout/kills`, {
    reason: 'on tablets',
    clauses: [{ attribute: 'os', op: 'in', values: ['tab'] }],
  })
  await server.call('DELETE', `${HERE}/flags/checkout/kills`)
  t.equal((await receiver.nth(5)).body.data.title, 'LIFTED the kills of checkout in production')
  t.match((await done(['notifiers', 'deliveries', 'audit', ...E])).stdout, /KILLED checkout in production/)

  const given = ['notifiers', 'add', 'ops', '--kind', 'slack', ...E]
  t.match(await sluice(given), { code: 2, stderr: /nobody is there to ask/ })
  const slack = await sluice([...given, '--secret', '-'], { stdin: `${receiver.url}/services/T0/B0/secret\n` })
  t.match(slack, { code: 0, stdout: /^ADDED notifier ops[^]*next +see that it works: sluice notifiers test ops -e production/ })
  t.match((await done(['notifiers', 'edit', 'ops', '--tag', 'money', ...E])).stdout, /^CHANGED notifier ops/)
  const shown = await done(['notifiers', 'show', 'ops', ...E])
  t.match(shown.stdout, /^ops in production: slack, well\n[^]*tags +money\n/)
  t.notOk((slack.stdout + shown.stdout).includes('B0/secret'), 'a secret is not shown')
  t.match((await done(['notifiers', 'remove', 'audit', ...E])).stdout, /^REMOVED notifier audit/)
})
