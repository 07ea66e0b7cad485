/** Hooks around our provider, and tracking: what the specification's scenarios about both ask, in our words. */
import { type EvaluationDetails, type FlagValue, type Hook, OpenFeature } from '@openfeature/server-sdk'
import t from 'tap'
import { SluiceProvider } from '../../../sdk/openfeature/provider.ts'
import { startEnvironment } from '../../server/ofrep/environment.ts'
import { newDomain, openClient } from './scene.ts'

/** A hook that writes down which stage it ran in, and with what. */
function recorder(name = 'hook') {
  const stages: string[] = []
  const seen: { after?: EvaluationDetails<FlagValue>; finally?: EvaluationDetails<FlagValue>; error?: unknown } = {}
  const hook: Hook = {
    before: () => void stages.push(`${name} before`),
    after: (_, details) => {
      stages.push(`${name} after`)
      seen.after = details
    },
    error: (_, error) => {
      stages.push(`${name} error`)
      seen.error = error
    },
    finally: (_, details) => {
      stages.push(`${name} finally`)
      seen.finally = details
    },
  }
  return { hook, stages, seen }
}

t.test('hooks and tracking', async t => {
  const environment = await startEnvironment(t)
  const client = await openClient(t, environment)

  await t.test('a hook is given the details of a value', async t => {
    const { hook, stages, seen } = recorder()
    await client.getBooleanValue('checkout', false, {}, { hooks: [hook] })
    t.same(stages, ['hook before', 'hook after', 'hook finally'])
    const details = { flagKey: 'checkout', value: true, variant: 'on', reason: 'STATIC', errorCode: undefined }
    t.match(seen.after, details)
    t.match(seen.finally, { ...details, flagMetadata: { reason: 'FALLTHROUGH', team: 'payments' } })
  })

  await t.test('a hook is given the error of a flag that is missing or of another type', async t => {
    for (const [flag, errorCode] of [
      ['no-such-flag', 'FLAG_NOT_FOUND'],
      ['page-size', 'TYPE_MISMATCH'],
    ] as const) {
      const { hook, stages, seen } = recorder()
      t.equal(await client.getStringValue(flag, 'mine', {}, { hooks: [hook] }), 'mine')
      t.same(stages, ['hook before', 'hook error', 'hook finally'], flag)
      t.match(seen.error, { code: errorCode, message: String })
      t.match(seen.finally, { flagKey: flag, value: 'mine', reason: 'ERROR', errorCode })
      t.equal(seen.finally?.variant, undefined)
    }
  })

  await t.test('hooks of every level run, from the outermost in and back', async t => {
    const stages: string[] = []
    const at = (level: string): Hook => ({
      before: () => void stages.push(`${level} in`),
      after: () => void stages.push(`${level} out`),
    })
    OpenFeature.addHooks(at('api'))
    client.addHooks(at('client'))
    t.teardown(() => {
      OpenFeature.clearHooks()
      client.clearHooks()
    })
    await client.getBooleanValue('checkout', false, {}, { hooks: [at('one'), at('two')] })
    t.same(stages, ['api in', 'client in', 'one in', 'two in', 'two out', 'one out', 'client out', 'api out'])
  })

  await t.test('a hook that fails before leaves the default, and evaluates nothing', async t => {
    const failing: Hook = {
      before: () => {
        throw new Error('refused by the hook')
      },
    }
    const details = await client.getBooleanDetails('checkout', false, {}, { hooks: [failing] })
    t.match(details, { value: false, reason: 'ERROR', errorCode: 'GENERAL', errorMessage: 'refused by the hook' })
  })

  await t.test('what is tracked is counted and summed under its name, and nothing else of it leaves', async t => {
    const own = await openClient(t, environment)
    own.track('purchase', { targetingKey: 'user-1', email: 'jo@example.com' }, { value: 20.5, basket: 'secret' })
    own.track('purchase', { targetingKey: 'user-2' }, { value: -0.5 })
    own.track('purchase')
    own.track('')
    await OpenFeature.getProvider(own.metadata.domain).onClose?.()
    const metrics = async (): Promise<string> => (await environment.call('GET', '/metrics')).body as string
    let text = await metrics()
    while (!text.includes('event="purchase"')) text = await metrics()
    t.match(text, /^sluice_tracked_total\{project="default",environment="development",event="purchase"\} 3$/m)
    t.match(text, /^sluice_tracked_value\{project="default",environment="development",event="purchase"\} 20$/m)
    t.notMatch(text, /event=""/, 'what has no name is not tracked')
    t.notMatch(text, /user-1|jo@|secret/)
  })
})

t.test('what is tracked before the provider is ready is not, and does no harm', async t => {
  const provider = new SluiceProvider({ url: 'ws://127.0.0.1:1', key: 'k', logger: {}, readyTimeoutMs: 0 })
  t.doesNotThrow(() => provider.track('early', {}, {}))
  const domain = newDomain(t, provider)
  OpenFeature.getClient(domain).track('early')
  await t.rejects(provider.resolveBooleanEvaluation('a', true, {}), { code: 'PROVIDER_NOT_READY' })
})
