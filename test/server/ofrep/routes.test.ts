import t from 'tap'
import { EVALUATE_BYTES_MAX } from '../../../schemas/limits.ts'
import { CONTEXT, ENVIRONMENT, FLAGS, LOG, startEnvironment } from './environment.ts'

t.test('a single evaluation', async t => {
  const environment = await startEnvironment(t)
  const { evaluate } = environment
  await environment.kill('sick')
  const revision = environment.services.log.state(LOG).revision

  t.test('carries value, variation, and both kinds of reason', async t => {
    const rows: [flag: string, context: object, value: unknown, variant: string, reason: string, metadata: object][] = [
      ['checkout', CONTEXT, true, 'on', 'STATIC', { reason: 'FALLTHROUGH', team: 'payments', tier: 1, critical: true }],
      ['greeting', CONTEXT, 'hello', 'calm', 'DEFAULT', { reason: 'FALLTHROUGH' }],
      ['greeting', { account: { plan: 'beta' } }, 'HELLO', 'loud', 'TARGETING_MATCH', { reason: 'RULE_MATCH', ruleId: 'beta' }],
      ['page-size', CONTEXT, 50, 'large', 'STATIC', { reason: 'FALLTHROUGH' }],
      ['ratio', CONTEXT, 0.25, 'quarter', 'STATIC', { reason: 'FALLTHROUGH' }],
      ['layout', CONTEXT, { columns: 3, areas: ['main', { side: true }], note: null }, 'wide', 'STATIC', { reason: 'FALLTHROUGH' }],
      ['steps', CONTEXT, [1, 2], 'short', 'STATIC', { reason: 'FALLTHROUGH' }],
      ['listed', { account: { id: 'a-17' } }, false, 'off', 'TARGETING_MATCH', { reason: 'TARGET_MATCH' }],
      ['dark', CONTEXT, false, 'off', 'DISABLED', { reason: 'OFF' }],
      ['sick', CONTEXT, false, 'off', 'DISABLED', { reason: 'KILLED', killId: String }],
      ['needs-dark', CONTEXT, false, 'off', 'DISABLED', { reason: 'PREREQUISITE_FAILED', prerequisite: 'dark' }],
      ['split-by-account', { targetingKey: 'a' }, false, 'off', 'SPLIT', { reason: 'FALLTHROUGH', unbucketed: true }],
    ]
    for (const [key, context, value, variant, reason, metadata] of rows) {
      const { status, body, headers } = await evaluate(key, context)
      t.equal(status, 200, key)
      t.match(headers.get('content-type'), /^application\/json/)
      const { metadata: got = {}, ...answer } = body
      // An unbucketed result keeps its reason; which OpenFeature word that is, is the evaluator's to say.
      if (got.unbucketed === true) t.same({ ...answer, reason }, { key, value, variant, reason }, key)
      else t.same(answer, { key, value, variant, reason }, key)
      t.match(got, { ...metadata, revision, flagVersion: Number }, `${key} metadata`)
      for (const id of ['ruleId', 'killId', 'prerequisite', 'unbucketed']) t.equal(id in got, id in metadata, `${key} ${id}`)
    }
  })

  t.test('of a rollout is SPLIT, and the same every time', async t => {
    const first = await evaluate('split', CONTEXT)
    t.match(first.body, { reason: 'SPLIT', metadata: { reason: 'FALLTHROUGH' } })
    const second = await evaluate('split', CONTEXT)
    t.equal(second.body.value, first.body.value)
  })

  t.test('without a context is one of an empty context', async t => {
    for (const body of ['', '{}', '{"context":{}}', '{"context":{},"newerProtocol":{"a":1}}']) {
      const answer = await evaluate('checkout', body)
      t.equal(answer.status, 200, body)
      t.equal(answer.body.value, true, body)
    }
  })

  t.test('of an unknown or archived flag is FLAG_NOT_FOUND', async t => {
    const archived = await environment.call('DELETE', `${ENVIRONMENT}/flags/ratio?force=true`)
    t.equal(archived.status, 200)
    for (const key of ['no-such-flag', 'ratio', '__proto__', 'constructor', 'a b', 'a/b']) {
      const { status, body } = await evaluate(key, CONTEXT)
      t.equal(status, 404, key)
      t.match(body, { key, errorCode: 'FLAG_NOT_FOUND', errorDetails: String }, key)
      t.notOk('value' in body)
    }
  })

  t.test('of a body that cannot be read is PARSE_ERROR', async t => {
    for (const body of ['{', '{"context":{},}', 'null', '[]', '7', '"context"', '{"context":{"__proto__":{"a":1}}}']) {
      const answer = await evaluate('checkout', body)
      t.equal(answer.status, 400, body)
      t.match(answer.body, { key: 'checkout', errorCode: /^(PARSE_ERROR|INVALID_CONTEXT)$/, errorDetails: String }, body)
    }
  })

  t.test('of a context that cannot be taken is INVALID_CONTEXT, and says why', async t => {
    const rows: [context: unknown, named: RegExp][] = [
      [null, /is of type null, expected object/],
      [[], /expected object/],
      ['user-1', /expected object/],
      [{ targetingKey: 7 }, /targetingKey .*expected string/],
      [{ constructor: 1 }, /constructor the key .* is not allowed/],
      [{ text: 'x'.repeat(5_000) }, /text is longer than/],
      [Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`a${i}`, 1])), /more than 256 attributes/],
    ]
    for (const [context, named] of rows) {
      const { status, body } = await evaluate('checkout', JSON.stringify({ context }))
      t.equal(status, 400, String(named))
      t.match(body, { key: 'checkout', errorCode: 'INVALID_CONTEXT', errorDetails: named })
    }
  })

  t.test('of a body that is too large, or no JSON, is refused before it is parsed', async t => {
    const large = await evaluate('checkout', { text: 'x'.repeat(EVALUATE_BYTES_MAX) })
    t.equal(large.status, 413)
    t.match(large.body, { key: 'checkout', errorCode: 'GENERAL', errorDetails: String })
    const text = await evaluate('checkout', 'context=1', { 'content-type': 'text/plain' })
    t.equal(text.status, 415)
    t.match(text.body, { key: 'checkout', errorCode: 'GENERAL', errorDetails: String })
  })

  t.test('of a flag that cannot be evaluated says so, and the others go on', async t => {
    await environment.plant({ key: 'broken', fallthrough: { variation: 'nowhere' } })
    await environment.plant({ key: 'ring-a', prerequisites: [{ flag: 'ring-b', variations: ['on'] }] })
    await environment.plant({ key: 'ring-b', prerequisites: [{ flag: 'ring-a', variations: ['on'] }] })
    const broken = await evaluate('broken', CONTEXT)
    t.equal(broken.status, 400)
    t.match(broken.body, {
      key: 'broken',
      errorCode: 'PARSE_ERROR',
      errorDetails: String,
      metadata: { reason: 'ERROR', error: 'MALFORMED_FLAG' },
    })
    const ring = await evaluate('ring-a', CONTEXT)
    t.equal(ring.status, 400)
    t.match(ring.body, {
      key: 'ring-a',
      errorCode: 'GENERAL',
      errorDetails: String,
      metadata: { reason: 'ERROR', error: 'PREREQUISITE_CYCLE' },
    })
    t.equal((await evaluate('checkout', CONTEXT)).status, 200)
    const all = await evaluate(null, CONTEXT)
    t.equal(all.status, 200)
    t.match(
      all.body.flags?.find(item => item.key === 'broken'),
      { errorCode: 'PARSE_ERROR' },
    )
  })

  t.test('is counted', async t => {
    const { usage } = environment.services
    const before = await usage.flag(LOG, 'checkout')
    await evaluate('checkout', CONTEXT)
    await evaluate('checkout', CONTEXT)
    const after = await usage.flag(LOG, 'checkout')
    t.equal(after.lastDay, (before.lastDay ?? 0) + 2)
    t.equal(after.variations.on, (before.variations.on ?? 0) + 2)
    t.match(after.services, [{ service: /./, lastSeen: after.lastSeen }], 'with the name of the key that asked')
    const { unbucketed } = await usage.flag(LOG, 'split-by-account')
    await evaluate('split-by-account', {})
    t.equal((await usage.flag(LOG, 'split-by-account')).unbucketed, unbucketed + 1)
    await evaluate('checkuot', CONTEXT)
    t.match(usage.problems(LOG), [{ code: 'FLAG_NOT_FOUND', subject: 'checkuot', sdk: 'ofrep', count: Number }])
  })
})

t.test('who may evaluate', async t => {
  const environment = await startEnvironment(t)
  const { evaluate, clientKey } = environment
  const asClient = { authorization: `Bearer ${clientKey}` }

  t.test('a key in either header', async t => {
    const response = await fetch(`${environment.url}/ofrep/v1/evaluate/flags/checkout`, {
      method: 'POST',
      headers: { 'x-api-key': environment.serverKey },
    })
    t.equal(response.status, 200)
    t.equal((await evaluate('checkout', CONTEXT, asClient)).status, 200)
  })

  t.test('nobody without a key, with an unknown one, or with one of another kind', async t => {
    for (const [headers, status, code] of [
      [{ authorization: 'Bearer slc_server_unknown_0123456789abcdef' }, 401, 'KEY_INVALID'],
      [{ authorization: `Bearer ${environment.adminKey}` }, 403, 'FORBIDDEN'],
    ] as const) {
      for (const key of ['checkout', 'no-such-flag', null]) {
        const answer = await evaluate(key, CONTEXT, headers)
        t.equal(answer.status, status)
        t.equal(answer.body.code, code)
      }
    }
    const none = await fetch(`${environment.url}/ofrep/v1/evaluate/flags/checkout`, { method: 'POST' })
    t.equal(none.status, 401)
  })

  t.test('a client key sees what is marked for it, and no ids of rules', async t => {
    const hidden = await evaluate('internal', CONTEXT, asClient)
    t.equal(hidden.status, 404)
    t.equal(hidden.body.errorCode, 'FLAG_NOT_FOUND')
    const unknown = await evaluate('no-such-flag', CONTEXT, asClient)
    t.equal(
      hidden.body.errorDetails?.replace('internal', 'x'),
      unknown.body.errorDetails?.replace('no-such-flag', 'x'),
      'hidden looks like unknown',
    )

    const matched = await evaluate('greeting', { account: { plan: 'beta' } }, asClient)
    t.match(matched.body, { value: 'HELLO', metadata: { reason: 'RULE_MATCH' } })
    t.notOk('ruleId' in (matched.body.metadata ?? {}))
    const failed = await evaluate('needs-dark', CONTEXT, asClient)
    t.match(failed.body, { reason: 'DISABLED', metadata: { reason: 'PREREQUISITE_FAILED' } })
    t.notOk('prerequisite' in (failed.body.metadata ?? {}))

    const all = await evaluate(null, CONTEXT, asClient)
    t.same(
      all.body.flags?.map(item => item.key).toSorted(),
      FLAGS.filter(flag => flag.clientVisible === true)
        .map(flag => flag.key)
        .toSorted(),
    )
    t.notMatch(JSON.stringify(all.body), /ruleId|"prerequisite"/)
    t.equal((await evaluate(null, CONTEXT)).body.flags?.length, FLAGS.length, 'a server key sees all')
  })

  t.test('a browser on any origin may ask, and read the tag', async t => {
    const origin = { origin: 'https://shop.example' }
    for (const path of ['/ofrep/v1/evaluate/flags', '/ofrep/v1/evaluate/flags/checkout']) {
      const preflight = await fetch(environment.url + path, {
        method: 'OPTIONS',
        headers: { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' },
      })
      t.equal(preflight.status, 204)
      t.equal(preflight.headers.get('access-control-allow-origin'), '*')
      t.match(preflight.headers.get('access-control-allow-headers'), /authorization.*content-type.*if-none-match/)
    }
    for (const answer of [
      await evaluate(null, CONTEXT, { ...asClient, ...origin }),
      await evaluate('no-such-flag', CONTEXT, { ...asClient, ...origin }),
      await evaluate('checkout', CONTEXT, { authorization: 'Bearer slc_client_unknown_0123456789abcdef', ...origin }),
    ]) {
      t.equal(answer.headers.get('access-control-allow-origin'), '*')
      t.match(answer.headers.get('access-control-expose-headers'), /etag/)
      t.notOk(answer.headers.has('access-control-allow-credentials'))
    }
  })
})

t.test('the tag of a bulk evaluation', async t => {
  const environment = await startEnvironment(t)
  const { evaluate, clientKey } = environment
  const tagOf = async (context: unknown, headers: Record<string, string> = {}): Promise<string> => {
    const { status, headers: got } = await evaluate(null, context, headers)
    t.equal(status, 200)
    return got.get('etag') ?? ''
  }
  const tag = await tagOf({ targetingKey: 'a', plan: 'free' })
  t.match(tag, /^"[^"]+"$/)

  t.test('answers 304 to the same context and revision, however it is spelt', async t => {
    for (const header of [tag, `W/${tag}`, `"other", ${tag}`]) {
      const answer = await evaluate(null, { plan: 'free', targetingKey: 'a' }, { 'if-none-match': header })
      t.equal(answer.status, 304, header)
      t.same(answer.body, {})
      t.equal(answer.headers.get('etag'), tag)
    }
    for (const header of ['*', '"other"', ''])
      t.equal((await evaluate(null, { targetingKey: 'a', plan: 'free' }, { 'if-none-match': header })).status, 200, header)
  })

  t.test('is another for any other context, and for another kind of key', async t => {
    const seen = new Set([tag])
    for (const context of [
      {},
      { targetingKey: 'a' },
      { targetingKey: 'a', plan: 'beta' },
      { targetingKey: 'b', plan: 'free' },
      { targetingKey: 'a', plan: ['free'] },
    ]) {
      const other = await tagOf(context, { 'if-none-match': tag })
      t.notOk(seen.has(other), JSON.stringify(context))
      seen.add(other)
    }
    t.not(await tagOf({ targetingKey: 'a', plan: 'free' }, { authorization: `Bearer ${clientKey}` }), tag)
  })

  t.test('is another after a change, a kill and a lift', async t => {
    const seen = new Set([tag])
    for (const change of [() => environment.kill('checkout'), () => environment.lift('checkout')]) {
      await change()
      const { status, headers } = await evaluate(null, { targetingKey: 'a', plan: 'free' }, { 'if-none-match': [...seen].join(', ') })
      t.equal(status, 200)
      seen.add(headers.get('etag') ?? '')
    }
    t.equal(seen.size, 3)
  })

  t.test('a bulk evaluation of a bad context is refused as a whole', async t => {
    const { status, body } = await evaluate(null, { targetingKey: 7 })
    t.equal(status, 400)
    t.match(body, { errorCode: 'INVALID_CONTEXT', errorDetails: String })
    const unreadable = await evaluate(null, '{')
    t.equal(unreadable.status, 400)
    t.match(unreadable.body, { errorCode: 'PARSE_ERROR', errorDetails: String })
  })
})

t.test('every evaluation is measured, and answered the same to a page of another origin', async t => {
  const { evaluate, url } = await startEnvironment(t)
  const plain = await evaluate('checkout', CONTEXT)
  const page = await evaluate('checkout', CONTEXT, { origin: 'https://shop.example' })
  t.same(page.body, plain.body)
  for (const name of ['content-type', 'content-length', 'connection']) t.equal(page.headers.get(name), plain.headers.get(name), name)
  await evaluate('no-such-flag', CONTEXT)
  await evaluate('checkout', '{')
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const counted = (status: string) =>
    new RegExp(
      `^sluice_http_request_duration_seconds_count{method="POST",route="/ofrep/v1/evaluate/flags/:flag",status="${status}"} 2$`,
      'm',
    )
  t.match(metrics, counted('2xx'))
  t.match(metrics, counted('4xx'))
})
