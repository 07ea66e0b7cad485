/** The client to the outside: what it connects to, and what it never does. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createSocketServer } from 'node:net'
import t, { type Test } from 'tap'
import { SluiceError } from '../../../schemas/errors.ts'
import { ANSWER_BYTES_MAX, type Egress, openEgress, TIMEOUT_MS } from '../../../server/egress/egress.ts'
import { isPublic } from '../../../server/egress/ranges.ts'
import { systemClock } from '../../../server/clock.ts'
import { manualClock } from '../../clock.ts'
import { TLS_CERTIFICATE, TLS_KEY } from '../../sdk/baddays/certificate.ts'

const LOOPBACK = ['127.0.0.0/8']

/** What an attempt came to: a status, or the code of the error and of its detail. */
async function outcome(sending: Promise<unknown>): Promise<string> {
  try {
    const answer = (await sending) as { readonly status?: number } | undefined
    return String(answer?.status ?? 'passed')
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error
    return `${error.code} ${error.details[0]?.code}`
  }
}

function opened(t: Test, options: Partial<Parameters<typeof openEgress>[0]> = {}): Egress {
  const egress = openEgress({ clock: systemClock, allow: [], resolve: () => Promise.reject(new Error('nothing is asked')), ...options })
  t.teardown(() => egress.close())
  return egress
}

/** @returns its port, and how many connections it has had */
async function listening(t: Test, listener: RequestListener): Promise<{ port: number; connections: () => number; server: Server }> {
  const server = createServer(listener)
  let connections = 0
  server.on('connection', () => void connections++)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    return new Promise(resolve => server.close(resolve))
  })
  return { port: (server.address() as AddressInfo).port, connections: () => connections, server }
}

t.test('only what is handed out to the internet is public', async t => {
  const table: readonly (readonly [address: string, isPublic: boolean])[] = [
    ['1.1.1.1', true],
    ['9.255.255.255', true],
    ['11.0.0.0', true],
    ['100.63.255.255', true],
    ['100.128.0.0', true],
    ['172.15.255.255', true],
    ['172.32.0.0', true],
    ['192.167.255.255', true],
    ['223.255.255.255', true],
    ['2606:4700:4700::1111', true],
    ['2a00:1450:4001:80b::200e', true],
    ['0.0.0.0', false],
    ['0.1.2.3', false],
    ['10.0.0.1', false],
    ['10.255.255.255', false],
    ['100.64.0.1', false],
    ['100.100.100.200', false],
    ['100.127.255.255', false],
    ['127.0.0.1', false],
    ['127.255.255.254', false],
    ['169.254.169.254', false],
    ['169.254.170.2', false],
    ['172.16.0.1', false],
    ['172.31.255.255', false],
    ['192.0.0.192', false],
    ['192.0.2.1', false],
    ['192.168.1.1', false],
    ['198.18.0.1', false],
    ['198.19.255.255', false],
    ['198.51.100.7', false],
    ['203.0.113.9', false],
    ['224.0.0.1', false],
    ['239.255.255.250', false],
    ['240.0.0.1', false],
    ['255.255.255.255', false],
    ['::', false],
    ['::1', false],
    ['::127.0.0.1', false],
    ['::ffff:127.0.0.1', false],
    ['::ffff:8.8.8.8', false],
    ['::ffff:7f00:1', false],
    ['64:ff9b::7f00:1', false],
    ['64:ff9b:1::1', false],
    ['100::1', false],
    ['2001::1', false],
    ['2001:20::1', false],
    ['2001:db8::1', false],
    ['2002:7f00:1::', false],
    ['3fff::1', false],
    ['5f00::1', false],
    ['fc00::1', false],
    ['fd00:ec2::254', false],
    ['fe80::1', false],
    ['fe80::1%lo', false],
    ['fec0::1', false],
    ['ff02::1', false],
    ['localhost', false],
    ['', false],
  ]
  for (const [address, expected] of table) t.equal(isPublic(address), expected, address)
})

t.test('no way to write an address of the inside is sent to, and none is let pass when it is saved', async t => {
  const inside = await listening(t, (_request, response) => response.end('inside'))
  const egress = opened(t, { resolve: name => Promise.resolve(name === 'twice.example' ? ['127.0.0.1', '10.0.0.1'] : ['127.0.0.1']) })
  const hosts = [
    '127.0.0.1',
    '127.1',
    '127.0.1',
    '0',
    '0.0.0.0',
    '2130706433',
    '017700000001',
    '0177.0.0.1',
    '0x7f000001',
    '0x7f.0x0.0x0.0x1',
    '0x7f.1',
    '127.0.0.1.',
    '１２７.０.０.１',
    '127。0。0。1',
    '[::1]',
    '[::]',
    '[0:0:0:0:0:0:0:1]',
    '[::127.0.0.1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::127.0.0.1]',
    '[2002:7f00:1::]',
    '[fe80::1]',
    '[fd00:ec2::254]',
    '169.254.169.254',
    '0xa9fea9fe',
    '2852039166',
    '0251.0376.0251.0376',
    '100.100.100.200',
    '10.0.0.1',
    '192.168.0.1',
    'localhost',
    'LOCALHOST',
    'localhost.',
    'a.localhost',
    'localtest.example',
    '127.0.0.1.wildcard.example',
    'twice.example',
  ]
  for (const host of hosts) {
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${host}:${inside.port}/`
      t.equal(await outcome(egress.check(url)), 'EGRESS_REFUSED refused', `${url} is not saved`)
      t.equal(await outcome(egress.send({ url, method: 'POST', body: '{}' })), 'EGRESS_REFUSED refused', `${url} is not sent to`)
    }
  }
  t.equal(inside.connections(), 0, 'nobody has connected')
})

t.test('what is no plain URL of http is refused', async t => {
  const egress = opened(t, { allow: LOOPBACK })
  const urls = [
    '',
    'nonsense',
    '//127.0.0.1/',
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'gopher://127.0.0.1/',
    'data:text/plain,x',
    'unix:/var/run/docker.sock',
    'http://name:password@127.0.0.1/',
    'http://name@127.0.0.1/',
    'http://127.0.0.1:0/',
    'http://127.0.0.1:99999/',
    'http://[fe80::1%25lo]/',
    `http://127.0.0.1/${'a'.repeat(2_000)}`,
  ]
  for (const url of urls) {
    t.equal(await outcome(egress.check(url)), 'EGRESS_REFUSED refused', url.slice(0, 60))
    t.equal(await outcome(egress.send({ url, method: 'GET' })), 'EGRESS_REFUSED refused')
  }
})

t.test('a public place is sent to over https alone', async t => {
  const egress = opened(t, { resolve: () => Promise.resolve(['93.184.215.14']) })
  t.equal(await outcome(egress.check('https://hooks.example/a')), 'passed')
  t.equal(await outcome(egress.check('https://93.184.215.14/a')), 'passed')
  t.equal(await outcome(egress.check('http://hooks.example/a')), 'EGRESS_REFUSED refused')
  t.equal(await outcome(egress.check('http://93.184.215.14/a')), 'EGRESS_REFUSED refused')
})

t.test('a name that answers otherwise when it is connected to gets nowhere', async t => {
  const inside = await listening(t, (_request, response) => response.end('inside'))
  const answers = [['93.184.215.14'], ['127.0.0.1'], ['127.0.0.1']]
  const asked: string[] = []
  const egress = opened(t, {
    resolve: name => {
      asked.push(name)
      return Promise.resolve(answers.shift() ?? ['127.0.0.1'])
    },
  })
  const url = `https://rebinding.example:${inside.port}/`
  t.equal(await outcome(egress.check(url)), 'passed', 'it is public when it is saved')
  t.equal(await outcome(egress.send({ url, method: 'POST', body: '{}' })), 'EGRESS_REFUSED refused', 'and not any more when it is used')
  t.same(asked, ['rebinding.example', 'rebinding.example'], 'asked once for each, so that nothing can change in between')
  t.equal(inside.connections(), 0)
})

t.test('the address that was looked at is the one that is connected to', async t => {
  const inside = await listening(t, (request, response) => response.end(request.headers.host))
  let asked = 0
  const egress = opened(t, { allow: LOOPBACK, resolve: () => Promise.resolve(asked++ === 0 ? ['127.0.0.1'] : ['127.0.0.2']) })
  const answer = await egress.send({ url: `http://no-such-name.invalid:${inside.port}/`, method: 'GET' })
  t.equal(answer.body.toString(), `no-such-name.invalid:${inside.port}`, 'the name is said, and was never asked for again')
  t.equal(asked, 1)
})

t.test('of several addresses the next is tried when one is not there, and those of the inside never', async t => {
  const inside = await listening(t, (_request, response) => response.end('here'))
  const nobody = createSocketServer()
  await new Promise<void>(resolve => nobody.listen(0, '127.0.0.1', resolve))
  await new Promise(resolve => nobody.close(resolve))
  const egress = opened(t, { allow: ['127.0.0.1', '127.0.0.2'], resolve: () => Promise.resolve(['10.1.2.3', '127.0.0.2', '127.0.0.1']) })
  const answer = await egress.send({ url: `http://several.example:${inside.port}/`, method: 'GET' })
  t.equal(answer.body.toString(), 'here')
})

t.test('what configuration names is reached, without TLS too, and nothing beside it', async t => {
  const inside = await listening(t, (_request, response) => response.end('inside'))
  const resolve = (name: string): Promise<string[]> => Promise.resolve(name === 'metadata.example' ? ['169.254.169.254'] : ['127.0.0.1'])
  const named = opened(t, { allow: [`hooks.example:${inside.port}`, 'metadata.example:80', '192.168.7.0/24', 'fd12::/64'], resolve })
  const reached = async (url: string): Promise<string> => outcome(named.send({ url, method: 'GET' }))
  t.equal(await reached(`http://hooks.example:${inside.port}/`), '200')
  t.equal(await reached('http://hooks.example/'), 'EGRESS_REFUSED refused', 'another port')
  t.equal(await reached(`http://other.example:${inside.port}/`), 'EGRESS_REFUSED refused', 'another name for the same place')
  t.equal(await reached(`http://127.0.0.1:${inside.port}/`), 'EGRESS_REFUSED refused', 'its address')
  t.equal(await reached('http://metadata.example/'), 'EGRESS_REFUSED refused', 'no name may stand for the metadata of a cloud')
  t.equal(await outcome(named.check('http://192.168.7.9:9000/')), 'passed')
  t.equal(await outcome(named.check('http://192.168.8.9:9000/')), 'EGRESS_REFUSED refused')
  t.equal(await outcome(named.check('http://[fd12::7]/')), 'passed')
  t.equal(await outcome(named.check('http://[fd12:0:0:1::7]/')), 'EGRESS_REFUSED refused')
  t.ok(named.isListed(`http://hooks.example:${inside.port}/x`))
  t.notOk(named.isListed('https://events.pagerduty.com/'))
})

t.test('a redirect is an answer like any other, and not followed', async t => {
  const target = await listening(t, (_request, response) => response.end('target'))
  const source = await listening(t, (_request, response) => response.writeHead(302, { location: `http://127.0.0.1:${target.port}/` }).end())
  const egress = opened(t, { allow: LOOPBACK })
  t.equal((await egress.send({ url: `http://127.0.0.1:${source.port}/`, method: 'GET' })).status, 302)
  t.equal(target.connections(), 0)
})

t.test('no proxy of the environment is used', async t => {
  const proxy = await listening(t, (_request, response) => response.end('proxy'))
  const target = await listening(t, (_request, response) => response.end('target'))
  const before = { ...process.env }
  t.teardown(() => {
    for (const name of ['http_proxy', 'HTTP_PROXY', 'all_proxy']) delete process.env[name]
    Object.assign(process.env, before)
  })
  for (const name of ['http_proxy', 'HTTP_PROXY', 'all_proxy']) process.env[name] = `http://127.0.0.1:${proxy.port}`
  const egress = opened(t, { allow: LOOPBACK })
  t.equal((await egress.send({ url: `http://127.0.0.1:${target.port}/`, method: 'GET' })).body.toString(), 'target')
  t.equal(proxy.connections(), 0)
})

t.test('of a huge answer only the beginning is read', async t => {
  let isClosed: (() => void) | undefined
  const closed = new Promise<void>(resolve => (isClosed = resolve))
  const endless = await listening(t, (_request, response) => {
    response.on('close', () => isClosed?.())
    const more = (): void => {
      while (response.writable && response.write('a'.repeat(16_384)));
      response.once('drain', more)
    }
    more()
  })
  const egress = opened(t, { allow: LOOPBACK })
  const answer = await egress.send({ url: `http://127.0.0.1:${endless.port}/`, method: 'GET' })
  t.equal(answer.body.length, ANSWER_BYTES_MAX)
  t.ok(answer.isCut)
  await closed
})

t.test('who never answers, or never comes to an end, is given up after the whole time', async t => {
  for (const begin of [false, true]) {
    const clock = manualClock()
    let isAsked: (() => void) | undefined
    const asked = new Promise<void>(resolve => (isAsked = resolve))
    const hanging = await listening(t, (_request, response) => {
      if (begin) response.write('a')
      isAsked?.()
    })
    const egress = opened(t, { clock, allow: LOOPBACK })
    const sending = outcome(egress.send({ url: `http://127.0.0.1:${hanging.port}/`, method: 'GET' }))
    await asked
    clock.advance(TIMEOUT_MS)
    t.equal(await sending, 'EGRESS_FAILED timeout')
    t.equal(clock.waiting, 0)
  }
  const clock = manualClock()
  const egress = opened(t, { clock, resolve: () => new Promise(() => {}) })
  const sending = outcome(egress.send({ url: 'https://slow-name.example/', method: 'GET' }))
  clock.advance(TIMEOUT_MS)
  t.equal(await sending, 'EGRESS_FAILED timeout', 'a name that is never answered')
})

t.test('what went wrong is told in our words', async t => {
  const egress = opened(t, { allow: LOOPBACK, resolve: () => Promise.reject(new Error('SERVFAIL from 10.0.0.53')) })
  const plain = await listening(t, (_request, response) => response.end())
  const rude = createSocketServer(socket => socket.end('no HTTP at all\r\n\r\n'))
  await new Promise<void>(resolve => rude.listen(0, '127.0.0.1', resolve))
  t.teardown(() => rude.close())
  const { port } = rude.address() as AddressInfo
  const forged = createTlsServer({ key: TLS_KEY, cert: TLS_CERTIFICATE }, (_request, response) => response.end())
  await new Promise<void>(resolve => forged.listen(0, '127.0.0.1', resolve))
  t.teardown(() => forged.close())
  const cases = [
    ['https://unknown.example/', 'unresolved'],
    [`https://127.0.0.1:${plain.port}/`, 'tls'],
    [`https://127.0.0.1:${(forged.address() as AddressInfo).port}/`, 'tls'],
    [`http://127.0.0.1:${port}/`, 'broken'],
  ] as const
  for (const [url, code] of cases) {
    const error = await egress.send({ url, method: 'GET' }).then(
      () => null,
      (reason: unknown) => reason,
    )
    t.match(error, { code: 'EGRESS_FAILED', details: [{ code }] }, code)
    t.notMatch(error instanceof SluiceError ? JSON.stringify(error) : '', /10\.0\.0|127\.0\.0|SERVFAIL|ECONN|SSL/)
  }
  t.equal(
    await outcome(egress.check('https://unknown.example/')),
    'passed',
    'what has no address now can be saved: it is looked at when it has',
  )
})

t.test('closing ends what is under way', async t => {
  let isAsked: (() => void) | undefined
  const asked = new Promise<void>(resolve => (isAsked = resolve))
  const hanging = await listening(t, () => isAsked?.())
  const egress = opened(t, { allow: LOOPBACK })
  const sending = outcome(egress.send({ url: `http://127.0.0.1:${hanging.port}/`, method: 'GET' }))
  await asked
  egress.close()
  t.equal(await sending, 'EGRESS_FAILED broken')
})
