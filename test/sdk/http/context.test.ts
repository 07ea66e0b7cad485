/** What is known of a request before anybody says who it is. */
import express from 'express'
import fastify from 'fastify'
import t from 'tap'
import { contextOf } from '../../../sdk/http/context.ts'
import { listen } from './scene.ts'

t.test('a context has the address, the method, the path and the scheme, and never a credential', async t => {
  const of = (headers: Record<string, string>, remoteAddress?: string) =>
    contextOf({ method: 'POST', url: '/accounts/1?token=secret', headers, socket: { remoteAddress } })
  t.strictSame(of({ authorization: 'Basic c2VjcmV0', 'x-forwarded-for': '6.6.6.6', forwarded: 'for=6.6.6.6' }, '10.1.2.3'), {
    targetingKey: '10.1.2.3',
    ip: '10.1.2.3',
    method: 'POST',
    path: '/accounts/1',
    authScheme: 'basic',
  })
  for (const authorization of ['secret', 'secret ', '', ' secret', `${'x'.repeat(33)} y`, 'sec=ret x'])
    t.notOk('authScheme' in of({ authorization }), `${authorization} is no scheme`)
  t.notOk(JSON.stringify(of({ authorization: 'Bearer secret' })).includes('secret'))
  t.strictSame(of({}), { method: 'POST', path: '/accounts/1' }, 'the client has gone already')
})

t.test('an IPv6 client is its network of 64 bits, an IPv4 one its address, however the socket writes it', async t => {
  for (const [address, ip, targetingKey] of [
    ['::ffff:10.1.2.3', '10.1.2.3', '10.1.2.3'],
    ['2001:db8:0:1:2:3:4:5', '2001:db8:0:1:2:3:4:5', '2001:db8:0:1::/64'],
    ['2001:DB8::5', '2001:DB8::5', '2001:db8:0:0::/64'],
    ['2001:db8::', '2001:db8::', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::', '2001:db8:0:1::', '2001:db8:0:1::/64'],
    ['::1', '::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80::1', 'fe80:0:0:0::/64'],
    ['::1:2:3:4:5:6', '::1:2:3:4:5:6', '0:0:1:2::/64'],
  ] as const)
    t.match(contextOf({ headers: {}, socket: { remoteAddress: address } }), { ip, targetingKey })
})

t.test('a forwarded address counts where the application trusts its proxy, in Fastify and in Express', async t => {
  const headers = { 'x-forwarded-for': '192.0.2.7', authorization: 'Bearer abc' }
  for (const trusts of [false, true]) {
    const ip = trusts ? '192.0.2.7' : '127.0.0.1'
    const app = fastify({ trustProxy: trusts })
    t.teardown(() => app.close())
    app.get('/accounts/:id', request => contextOf(request))
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    t.strictSame(await (await fetch(`${url}/accounts/1?page=2`, { headers })).json(), {
      targetingKey: ip,
      ip,
      method: 'GET',
      path: '/accounts/1',
      route: '/accounts/:id',
      authScheme: 'bearer',
    })

    const other = express().set('trust proxy', trusts)
    other.use('/accounts', (request, response) => void response.json(contextOf(request)))
    t.match(await (await fetch(`${await listen(t, other)}/accounts/1?page=2`, { headers })).json(), { ip, path: '/accounts/1' })
  }
})
