/** A Slack-compatible slash command: who may do what by it, and what is refused. Through a listening server. */
import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import { parseCommand } from '../../../server/chat/command.ts'
import { type ManualClock, manualClock } from '../../clock.ts'
import { type Answer, type Loose, startServer, type TestServer } from '../start.ts'

const SECRET = '8f742231b10e8888abcd99yyyzzz85a5'

interface Sent {
  readonly text: string
  readonly user?: string
  readonly secret?: string
  /** Seconds since 1970; now unless given. */
  readonly timestamp?: number
  /** Altered after it was signed. */
  readonly alter?: (form: string) => string
}

interface Chat {
  readonly server: TestServer
  readonly clock: ManualClock
  send(what: Sent): Promise<Answer>
  /** As dana, who is linked to an operator's key. */
  say(text: string): Promise<Loose>
  flag(): Promise<Loose>
}

async function chat(t: Test): Promise<Chat> {
  const clock = manualClock(Date.parse('2026-11-28T03:12:00Z'))
  const server = await startServer(t, { clock })
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'checkout', kind: 'kill-switch', enabled: true })
  await server.call('POST', '/api/v1/projects/default/flags', { key: 'payments-vendor', kind: 'safety-valve' })
  const made = await server.call('POST', '/api/v1/chats', { key: 'ops', secret: SECRET, environments: { live: 'production' } })
  t.equal(made.status, 201)
  t.notOk(JSON.stringify(made.body).includes(SECRET), 'the secret is not answered')
  const { id } = await server.makeKey('admin', 'production', { grants: [{ role: 'operator', project: 'default' }], name: 'night shift' })
  t.equal((await server.call('PUT', '/api/v1/chats/ops/links/U1', { keyId: id, name: 'dana' })).status, 200)
  let moment = 0
  const send = async ({ text, user = 'U1', secret = SECRET, timestamp, alter = form => form }: Sent): Promise<Answer> => {
    const at = timestamp ?? Math.floor(clock.now() / 1_000)
    const form = new URLSearchParams({ command: '/sluice', text, user_id: user, user_name: 'dana', trigger_id: `t${moment++}` }).toString()
    const signature = `v0=${createHmac('sha256', secret).update(`v0:${at}:${form}`).digest('hex')}`
    return server.call('POST', '/chat/slack/ops', alter(form), {
      key: null,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-slack-request-timestamp': String(at),
        'x-slack-signature': signature,
      },
    })
  }
  return {
    server,
    clock,
    send,
    async say(text) {
      const { status, body } = await send({ text })
      t.equal(status, 200, text)
      return body
    },
    flag: async () => (await server.call('GET', '/api/v1/projects/default/environments/production/flags/checkout')).body,
  }
}

t.test('a person kills, looks and lifts from a chat, with the permissions of a key, and the log says who', async t => {
  const { server, say, flag } = await chat(t)
  const killed = await say('kill checkout prod double charges')
  t.equal(killed.response_type, 'in_channel', 'everybody in the channel reads what changed')
  for (const part of ['checkout', 'production', 'everyone', 'double charges', 'dana via Slack', '/sluice lift checkout production']) {
    t.match(killed.text, part, `it says ${part}`)
  }
  t.match(await flag(), { kills: [{ reason: 'double charges', actor: 'dana via Slack', clauses: [] }] })
  t.match((await say('kill checkout prod double charges')).text, 'killed so already')
  t.match((await say('status live')).text, /checkout.*double charges/s, 'a short name of the chat is an environment')
  const lifted = await say('lift checkout production')
  t.match(lifted.text, 'Lifted')
  t.equal((await flag()).kills.length, 0)
  const { body } = await server.call('GET', '/api/v1/projects/default/environments/production/changes?flag=checkout')
  t.match(body.changes.slice(0, 2), [
    { action: 'flag.lift', actor: { kind: 'key', name: 'dana via Slack' } },
    { action: 'flag.kill', comment: 'double charges' },
  ])
})

t.test("a kill can cover some, and end by itself; a phone's dashes and quotes are understood", async t => {
  const { say, flag } = await chat(t)
  const killed = await say('kill checkout prod —where /device/os=android --for 2h “crash on open”')
  t.match(killed.text, /\/device\/os is "android"/)
  t.match(await flag(), {
    kills: [
      { clauses: [{ attribute: '/device/os', op: 'in', values: ['android'] }], until: '2026-11-28T05:12:00.000Z', reason: 'crash on open' },
    ],
  })
})

t.test('valves are shown and held', async t => {
  const { say } = await chat(t)
  t.match((await say('valves prod')).text, /payments-vendor.*flowing/)
  const held = await say('throttle payments-vendor prod 50% vendor is slow')
  t.match(held.text, /50 %.*vendor is slow.*\/sluice release payments-vendor production/s)
  t.match((await say('release payments-vendor prod')).text, 'by its own rules')
  t.match((await say('throttle payments-vendor prod 0 vendor is down')).text, '/sluice lift payments-vendor production')
  t.match((await say('status prod')).text, /payments-vendor.*vendor is down/)
})

t.test('what is forged, altered, late or sent again changes nothing', async t => {
  const { server, send, clock, flag } = await chat(t)
  const text = 'kill checkout prod double charges'
  const now = Math.floor(clock.now() / 1_000)
  for (const [what, sent] of [
    ['forged', { text, secret: 'another secret than the one of the app' }],
    ['altered', { text, alter: (form: string) => form.replace('checkout', 'payments-vendor') }],
    ['late', { text, timestamp: now - 301 }],
    ['early', { text, timestamp: now + 301 }],
  ] as const) {
    const { status, body } = await send(sent)
    t.same([status, body.code], [401, 'SIGNATURE_INVALID'], what)
  }
  const form = new URLSearchParams({ text, user_id: 'U1' }).toString()
  const signature = `v0=${createHmac('sha256', SECRET).update(`v0:${now}:${form}`).digest('hex')}`
  const once = (path = 'ops'): Promise<Answer> =>
    server.call('POST', `/chat/slack/${path}`, form, {
      key: null,
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        'x-slack-request-timestamp': String(now),
        'x-slack-signature': signature,
      },
    })
  t.equal((await once('other')).status, 401, 'a chat that does not exist is no different')
  t.equal((await flag()).kills.length, 0)
  t.equal((await once()).status, 200)
  t.equal((await once()).body.code, 'SIGNATURE_INVALID', 'sent again')
  t.equal((await flag()).kills.length, 1)
})

t.test('nobody does more than their key may, and who is not linked does nothing', async t => {
  const { server, send, say, flag } = await chat(t)
  t.match((await send({ text: 'kill checkout prod x', user: 'U2' })).body.text, /not linked.*chat link ops --user U2/s)
  t.match((await send({ text: 'help', user: 'U2' })).body.text, 'What I can do')
  const viewer = await server.makeKey('admin', 'production', { grants: [{ role: 'viewer', project: 'default' }], name: 'looks on' })
  await server.call('PUT', '/api/v1/chats/ops/links/U3', { keyId: viewer.id, name: 'eve' })
  t.match((await send({ text: 'kill checkout prod x', user: 'U3' })).body.text, 'role operator')
  t.match((await send({ text: 'status prod', user: 'U3' })).body.text, 'as usual')
  await server.call('DELETE', `/api/v1/keys/${viewer.id}`)
  t.match((await send({ text: 'status prod', user: 'U3' })).body.text, 'revoked')
  t.match((await say('kill chekout prod typo')).text, /checkout/, 'a mistyped flag is suggested')
  t.match((await say('kill checkout nowhere typo')).text, 'nowhere')
  t.match((await say('kill checkout prod')).text, 'reason')
  t.match((await say('explode')).text, 'Expected')
  t.equal((await flag()).kills.length, 0)
  const other = await server.makeKey('admin', 'production', { grants: [{ role: 'admin', project: 'default' }] })
  t.equal((await server.call('GET', '/api/v1/chats', undefined, { key: other.token })).status, 403, 'chats are for admins of the server')
})

t.test('texts that people chose neither mention nor format', async t => {
  const { say } = await chat(t)
  const { text } = await say('kill checkout prod <!channel> *all* `of` you')
  t.notMatch(text, '<!channel>')
  t.match(text, '&lt;!channel&gt;')
})

t.test('a second secret is good beside the first, until it alone is', async t => {
  const { server, send } = await chat(t)
  const secret = 'another-secret-of-the-app'
  t.equal((await server.call('PATCH', '/api/v1/chats/ops', { secret })).status, 200)
  t.equal((await send({ text: 'help' })).status, 200)
  t.equal((await send({ text: 'help', secret })).status, 200)
  t.equal((await server.call('PATCH', '/api/v1/chats/ops', { secret: 'a-third-secret', dropOthers: true })).status, 200)
  t.equal((await send({ text: 'help' })).status, 401)
  t.equal((await send({ text: 'help', secret: 'a-third-secret' })).status, 200)
  t.equal((await server.call('DELETE', '/api/v1/chats/ops')).status, 200)
  t.equal((await send({ text: 'help', secret: 'a-third-secret' })).status, 401)
})

t.test('what is typed is understood or says what was expected', async t => {
  t.same(parseCommand(''), { name: 'help' })
  t.same(parseCommand('status'), { name: 'status', environment: null })
  t.same(parseCommand('kill a prod --where country=DE,AT --where /n=5 why not'), {
    name: 'kill',
    flag: 'a',
    environment: 'prod',
    reason: 'why not',
    clauses: [
      { attribute: 'country', op: 'in', values: ['DE', 'AT'] },
      { attribute: '/n', op: 'in', values: [5] },
    ],
    forMs: null,
  })
  for (const text of [
    'kill',
    'kill a',
    'kill a b --where x',
    'kill a b --for 2 c',
    'kill a b --wat',
    'throttle a b 101 c',
    'throttle a b c',
    'lift a',
  ]) {
    t.throws(() => parseCommand(text), { code: 'INVALID_REQUEST' }, text)
  }
})
