/** The OpenTelemetry hook, with OpenTelemetry's own SDK: events on spans and as log records, as they would be exported. */
import { InMemoryProvider, OpenFeature } from '@openfeature/server-sdk'
import * as web from '@openfeature/web-sdk'
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { InMemoryLogRecordExporter, LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import t, { type Test } from 'tap'
import { openTelemetryHook, type OpenTelemetryOptions } from '../../../sdk/openfeature/opentelemetry.ts'
import { startEnvironment } from '../../server/ofrep/environment.ts'
import { changes, openClient } from './scene.ts'

const spans = new InMemorySpanExporter()
const tracing = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
trace.setGlobalTracerProvider(tracing)
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
const tracer = trace.getTracer('test')

const records = new InMemoryLogRecordExporter()
const logging = new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter: records })] })
const logger = logging.getLogger('test')
t.teardown(async () => {
  await tracing.shutdown()
  await logging.shutdown()
})
t.beforeEach(() => {
  spans.reset()
  records.reset()
})

/** What was put on the span that was active. */
async function onSpan(run: () => Promise<unknown>) {
  await tracer.startActiveSpan('request', async span => {
    await run()
    span.end()
  })
  return spans.getFinishedSpans()[0]?.events ?? []
}

t.test('the OpenTelemetry hook', async t => {
  const environment = await startEnvironment(t)
  const client = await openClient(t, environment)
  const using = (t: Test, options?: OpenTelemetryOptions): void => {
    client.addHooks(openTelemetryHook(options))
    t.teardown(() => client.clearHooks())
  }

  await t.test('puts an event on the active span, with the names of today', async t => {
    using(t)
    const { revision } = environment.services.log.state('default/development')
    const events = await onSpan(() => client.getBooleanValue('checkout', false, { targetingKey: 'user-1' }))
    t.equal(events.length, 1)
    t.equal(events[0]?.name, 'feature_flag.evaluation')
    t.strictSame(events[0]?.attributes, {
      'feature_flag.key': 'checkout',
      'feature_flag.provider.name': 'Sluice',
      'feature_flag.result.reason': 'static',
      'feature_flag.result.variant': 'on',
      'feature_flag.version': '1',
      'sluice.reason': 'FALLTHROUGH',
      'sluice.revision': revision,
    })
  })

  await t.test('tells of every kind of value, by its variation', async t => {
    using(t)
    const events = await onSpan(async () => {
      await client.getStringValue('greeting', '', { account: { plan: 'beta' } })
      await client.getNumberValue('ratio', 1)
      await client.getObjectValue('layout', {})
    })
    const told = events.map(({ attributes }) => [attributes?.['feature_flag.result.variant'], attributes?.['feature_flag.result.reason']])
    t.same(told, [
      ['loud', 'targeting_match'],
      ['quarter', 'static'],
      ['wide', 'static'],
    ])
    t.notMatch(JSON.stringify(events), /feature_flag\.result\.value/)
  })

  await t.test('tells what failed, and the default that was taken', async t => {
    using(t)
    const events = await onSpan(async () => {
      await client.getStringValue('no-such-flag', 'mine')
      await client.getBooleanValue('page-size', false)
      await client.getObjectValue('no-such-flag', { a: [1] })
      await client.getStringValue('no-such-flag', 'x'.repeat(10_000))
    })
    const told = events.map(({ attributes }) => attributes ?? {})
    t.match(told[0], {
      'feature_flag.result.reason': 'error',
      'feature_flag.result.value': 'mine',
      'error.type': 'flag_not_found',
      'feature_flag.error.message': /no such flag/,
      'sluice.reason': 'ERROR',
    })
    t.match(told[1], { 'error.type': 'type_mismatch', 'feature_flag.result.value': false })
    t.match(told[2], { 'feature_flag.result.value': '{"a":[1]}' })
    t.notOk('feature_flag.result.value' in told[3]!, 'too long to tell')
    t.notOk(told.some(attributes => 'feature_flag.result.variant' in attributes))
  })

  await t.test('tells a kill from a flag that is off', async t => {
    using(t)
    await changes(client, 'sick', () => environment.kill('sick'))
    const events = await onSpan(async () => {
      await client.getBooleanValue('sick', true)
      await client.getBooleanValue('dark', true)
    })
    t.match(events[0]?.attributes, { 'feature_flag.result.reason': 'disabled', 'sluice.reason': 'KILLED', 'sluice.kill.id': String })
    t.match(events[1]?.attributes, { 'feature_flag.result.reason': 'disabled', 'sluice.reason': 'OFF' })
  })

  await t.test('tells who asked and of which environment only if asked to', async t => {
    using(t)
    const quiet = await onSpan(() => client.getBooleanValue('checkout', false, { targetingKey: 'user-1', email: 'jo@example.com' }))
    t.notMatch(JSON.stringify(quiet), /user-1|jo@example|context\.id|set\.id/)
    client.clearHooks()
    spans.reset()
    using(t, { contextId: true, setId: 'default/production' })
    const [event] = await onSpan(() => client.getBooleanValue('checkout', false, { targetingKey: 'user-1', email: 'jo@example.com' }))
    t.match(event?.attributes, { 'feature_flag.context.id': 'user-1', 'feature_flag.set.id': 'default/production' })
    t.notMatch(JSON.stringify(event), /jo@example/)
  })

  await t.test('without an active span tells nobody, and changes nothing', async t => {
    using(t)
    t.equal(await client.getBooleanValue('checkout', false), true)
    t.same(spans.getFinishedSpans(), [])
  })

  await t.test('given a logger emits an event record of the trace under way, and leaves the span alone', async t => {
    using(t, { logger })
    const traceIds: string[] = []
    const events = await onSpan(async () => {
      traceIds.push(trace.getActiveSpan()!.spanContext().traceId)
      await client.getBooleanValue('checkout', false)
    })
    await client.getBooleanValue('checkout', false)
    t.same(events, [])
    const [inTrace, outside] = records.getFinishedLogRecords()
    t.match(inTrace, {
      eventName: 'feature_flag.evaluation',
      spanContext: { traceId: traceIds[0] },
      attributes: { 'feature_flag.key': 'checkout', 'feature_flag.result.variant': 'on' },
    })
    t.equal(outside?.eventName, 'feature_flag.evaluation')
    t.equal(outside?.spanContext, undefined)
  })

  await t.test('fits the SDK for the web as well', async t => {
    const flags = { on: { variants: { yes: true, no: false }, defaultVariant: 'yes', disabled: false } } as const
    await web.OpenFeature.setProviderAndWait(new web.InMemoryProvider(flags))
    t.teardown(() => web.OpenFeature.clearProviders())
    const client = web.OpenFeature.getClient().addHooks(openTelemetryHook())
    const [event] = await onSpan(async () => client.getBooleanValue('on', false))
    t.match(event?.attributes, { 'feature_flag.key': 'on', 'feature_flag.result.variant': 'yes' })
  })

  await t.test('fits any provider, and takes what the specification names in its metadata', async t => {
    class Other extends InMemoryProvider {
      override async resolveBooleanEvaluation(flag: string, fallback: boolean) {
        const flagMetadata = { version: 'v7', flagSetId: 'shop', contextId: 'c-1', reason: 'its own' }
        return { value: flag === 'on', ...(fallback ? {} : { reason: 'CACHED' }), flagMetadata }
      }
    }
    await OpenFeature.setProviderAndWait('other', new Other())
    const other = OpenFeature.getClient('other').addHooks(openTelemetryHook({ contextId: true }))
    const events = await onSpan(async () => {
      await other.getBooleanValue('on', false)
      await other.getBooleanValue('on', true)
    })
    t.strictSame(events[0]?.attributes, {
      'feature_flag.key': 'on',
      'feature_flag.provider.name': 'in-memory',
      'feature_flag.result.reason': 'cached',
      'feature_flag.result.value': true,
      'feature_flag.version': 'v7',
      'feature_flag.set.id': 'shop',
      'feature_flag.context.id': 'c-1',
    })
    t.equal(events[1]?.attributes?.['feature_flag.result.reason'], 'unknown')
  })
})
