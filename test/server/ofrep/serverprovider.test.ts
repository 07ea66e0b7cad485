/** The OpenFeature server SDK with its OFREP provider, unmodified, against a listening server. */
import { OFREPProvider } from '@openfeature/ofrep-provider'
import { type Client, ErrorCode, type EvaluationContext, OpenFeature } from '@openfeature/server-sdk'
import t from 'tap'
import { CONTEXT, ENVIRONMENT, type Environment, startEnvironment } from './environment.ts'

const context = CONTEXT as EvaluationContext

async function clientOf(environment: Environment, key: string, domain: string): Promise<Client> {
  const provider = new OFREPProvider({ baseUrl: environment.url, headers: [['authorization', `Bearer ${key}`]] })
  await OpenFeature.setProviderAndWait(domain, provider)
  return OpenFeature.getClient(domain)
}

t.test('an OpenFeature server client', async t => {
  t.teardown(() => OpenFeature.close())
  const environment = await startEnvironment(t)
  const client = await clientOf(environment, environment.serverKey, 'server')

  t.test('gets every type', async t => {
    t.equal(await client.getBooleanValue('checkout', false, context), true)
    t.equal(await client.getStringValue('greeting', 'x', context), 'hello')
    t.equal(await client.getNumberValue('page-size', 1, context), 50)
    t.equal(await client.getNumberValue('ratio', 1, context), 0.25)
    t.same(await client.getObjectValue('layout', {}, context), { columns: 3, areas: ['main', { side: true }], note: null })
    t.same(await client.getObjectValue('steps', [], context), [1, 2])
  })

  t.test('gets every reason, with the variation and the metadata', async t => {
    await environment.kill('sick')
    const rows: [flag: string, context: object, value: boolean, variant: string, reason: string, ours: string][] = [
      ['checkout', CONTEXT, true, 'on', 'STATIC', 'FALLTHROUGH'],
      ['listed', CONTEXT, true, 'on', 'DEFAULT', 'FALLTHROUGH'],
      ['listed', { account: { id: 'a-17' } }, false, 'off', 'TARGETING_MATCH', 'TARGET_MATCH'],
      ['dark', CONTEXT, false, 'off', 'DISABLED', 'OFF'],
      ['sick', CONTEXT, false, 'off', 'DISABLED', 'KILLED'],
      ['needs-dark', CONTEXT, false, 'off', 'DISABLED', 'PREREQUISITE_FAILED'],
    ]
    for (const [flag, asking, value, variant, reason, ours] of rows) {
      // The default is the other value, so that what comes back is the server's word.
      const details = await client.getBooleanDetails(flag, !value, asking as EvaluationContext)
      t.match(
        details,
        { value, variant, reason, errorCode: undefined, flagMetadata: { reason: ours, revision: Number, flagVersion: Number } },
        flag,
      )
    }
    t.match(await client.getBooleanDetails('split', false, context), { reason: 'SPLIT', flagMetadata: { reason: 'FALLTHROUGH' } })
    t.match(await client.getStringDetails('greeting', '', { account: { plan: 'beta' } }), {
      value: 'HELLO',
      reason: 'TARGETING_MATCH',
      flagMetadata: { reason: 'RULE_MATCH', ruleId: 'beta' },
    })
    t.match(await client.getBooleanDetails('checkout', false, context), { flagMetadata: { team: 'payments', tier: 1, critical: true } })
    t.match(await client.getBooleanDetails('sick', true, context), { flagMetadata: { killId: String } })
    t.match(await client.getBooleanDetails('needs-dark', true, context), { flagMetadata: { prerequisite: 'dark' } })
  })

  t.test('gets its default and the error code when there is no value', async t => {
    await environment.plant({ key: 'broken', fallthrough: { variation: 'nowhere' } })
    await environment.plant({ key: 'ring', prerequisites: [{ flag: 'ring', variations: ['on'] }] })
    t.equal((await environment.call('DELETE', `${ENVIRONMENT}/flags/ratio?force=true`)).status, 200)

    t.match(await client.getBooleanDetails('no-such-flag', true, context), {
      value: true,
      reason: 'ERROR',
      errorCode: ErrorCode.FLAG_NOT_FOUND,
    })
    t.match(
      await client.getNumberDetails('ratio', 7, context),
      { value: 7, reason: 'ERROR', errorCode: ErrorCode.FLAG_NOT_FOUND },
      'archived',
    )
    t.match(await client.getStringDetails('checkout', 'x', context), { value: 'x', reason: 'ERROR', errorCode: ErrorCode.TYPE_MISMATCH })
    t.match(await client.getNumberDetails('layout', 7, context), { value: 7, reason: 'ERROR', errorCode: ErrorCode.TYPE_MISMATCH })
    t.match(await client.getBooleanDetails('broken', true, context), { value: true, reason: 'ERROR', errorCode: ErrorCode.PARSE_ERROR })
    t.match(await client.getBooleanDetails('ring', true, context), { value: true, reason: 'ERROR', errorCode: ErrorCode.GENERAL })
    t.match(await client.getBooleanDetails('checkout', false, { ...context, text: 'x'.repeat(5_000) }), {
      value: false,
      reason: 'ERROR',
      errorCode: ErrorCode.INVALID_CONTEXT,
      errorMessage: /text is longer than/,
    })
    const stranger = await clientOf(environment, 'slc_server_unknown_0123456789abcdef', 'stranger')
    t.match(await stranger.getBooleanDetails('checkout', false, context), { value: false, reason: 'ERROR', errorCode: ErrorCode.GENERAL })
  })

  t.test('needs no targeting key', async t => {
    t.equal(await client.getBooleanValue('checkout', false), true)
    t.match(await client.getBooleanDetails('split', true), { value: false, variant: 'off', flagMetadata: { unbucketed: true } })
  })

  t.test('that was already running sees a kill, and the lift', async t => {
    t.equal(await client.getBooleanValue('checkout', false, context), true)
    await environment.kill('checkout')
    t.match(await client.getBooleanDetails('checkout', true, context), {
      value: false,
      variant: 'off',
      reason: 'DISABLED',
      flagMetadata: { reason: 'KILLED' },
    })
    await environment.lift('checkout')
    t.match(await client.getBooleanDetails('checkout', false, context), { value: true, variant: 'on', reason: 'STATIC' })
    await environment.kill('checkout', [{ attribute: '/device/os', op: 'in', values: ['android'] }])
    t.equal(await client.getBooleanValue('checkout', true, { ...context, device: { os: 'android' } }), false, 'only some are cut')
    t.equal(await client.getBooleanValue('checkout', false, { ...context, device: { os: 'ios' } }), true, 'the others go on')
  })
})
