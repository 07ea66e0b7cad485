import { resolve } from 'node:path'
import t from 'tap'
import { SluiceError } from '../../../schemas/errors.ts'
import { readConfig, unknownVariables, VARIABLES } from '../../../server/config.ts'

t.test('without variables it listens on the loopback', async t => {
  t.match(readConfig({}), { host: '127.0.0.1', port: 7400, data: resolve('sluice-data'), logLevel: 'info' })
  t.match(
    readConfig({ SLUICE_PORT: '', SLUICE_ADMIN_KEY: '', PATH: '/bin', SLUICE_URL: 'x', SLUICE_KEY: 'y' }),
    { port: 7400 },
    'an empty one is not set, others pass',
  )
})

t.test('each setting is read from its variable', async t => {
  const config = readConfig({
    SLUICE_HOST: '0.0.0.0',
    SLUICE_PORT: '0',
    SLUICE_DATA: '/tmp/x',
    SLUICE_ADMIN_KEY: 'a'.repeat(24),
    SLUICE_SERVER_KEY: 'b'.repeat(24),
    SLUICE_LOG_LEVEL: 'warn',
    SLUICE_HANDSHAKES_PER_SECOND: '7',
    SLUICE_API_LIMIT: 'off',
    SLUICE_CLOSE_TIMEOUT_MS: '1000',
    SLUICE_MINUTE_COUNTS_HOURS: '24',
    SLUICE_HOUR_COUNTS_DAYS: '90',
    SLUICE_EGRESS_ALLOW: '10.20.0.0/16, fd12::/64 ,hooks.internal:8443,',
  })
  t.same(config, {
    host: '0.0.0.0',
    port: 0,
    data: '/tmp/x',
    adminKey: 'a'.repeat(24),
    serverKey: 'b'.repeat(24),
    logLevel: 'warn',
    handshakesPerSecond: 7,
    apiLimit: 'off',
    closeTimeoutMs: 1000,
    minuteCountsHours: 24,
    hourCountsDays: 90,
    egressAllow: ['10.20.0.0/16', 'fd12::/64', 'hooks.internal:8443'],
  })
  t.same(Object.keys(config).sort(), Object.keys(VARIABLES).sort(), 'and there are no others')
})

t.test('what cannot be used is named, but not repeated', async t => {
  const secret = 'too-short-secret'
  const cases: [Record<string, string>, string][] = [
    [{ SLUICE_PORT: 'http' }, 'SLUICE_PORT'],
    [{ SLUICE_PORT: '70000' }, 'SLUICE_PORT'],
    [{ SLUICE_PORT: '74.5' }, 'SLUICE_PORT'],
    [{ SLUICE_PORT: '0x10' }, 'SLUICE_PORT'],
    [{ SLUICE_PORT: ' ' }, 'SLUICE_PORT'],
    [{ SLUICE_ADMIN_KEY: secret }, 'SLUICE_ADMIN_KEY'],
    [{ SLUICE_SERVER_KEY: secret }, 'SLUICE_SERVER_KEY'],
    [{ SLUICE_ADMIN_KEY: `${secret}é${secret}` }, 'SLUICE_ADMIN_KEY'],
    [{ SLUICE_ADMIN_KEY: `${secret}\n${secret}` }, 'SLUICE_ADMIN_KEY'],
    [{ SLUICE_LOG_LEVEL: 'loud' }, 'SLUICE_LOG_LEVEL'],
    [{ SLUICE_EGRESS_ALLOW: '10.0.0.0/33' }, 'SLUICE_EGRESS_ALLOW'],
    [{ SLUICE_EGRESS_ALLOW: 'hooks.internal' }, 'SLUICE_EGRESS_ALLOW'],
    [{ SLUICE_EGRESS_ALLOW: 'http://hooks.internal:80' }, 'SLUICE_EGRESS_ALLOW'],
    [{ SLUICE_ADMIN_KEY: secret + secret, SLUICE_SERVER_KEY: secret + secret }, 'SLUICE_SERVER_KEY'],
  ]
  for (const [variables, named] of cases) {
    try {
      readConfig(variables)
      t.fail(`${JSON.stringify(variables)} was taken`)
    } catch (error) {
      t.ok(error instanceof SluiceError && error.code === 'CONFIG_INVALID' && error.details.some(detail => detail.path === named), named)
      t.notMatch(JSON.stringify(error), secret)
    }
  }
})

/** What Kubernetes sets in every container beside a service called "sluice". */
const SERVICE_LINKS = {
  SLUICE_SERVICE_HOST: '10.0.0.7',
  SLUICE_SERVICE_PORT: '7400',
  SLUICE_PORT_7400_TCP: 'tcp://10.0.0.7:7400',
  SLUICE_PORT_7400_TCP_ADDR: '10.0.0.7',
}

t.test('a variable that is no setting is named, and does not stop the start', async t => {
  const variables = { SLUICE_PROT: '7500', SLUICE_DATA: '/tmp/x', SLUICE_URL: 'x', SLUICE_KEY: 'y', ...SERVICE_LINKS }
  t.match(readConfig(variables), { port: 7400, data: '/tmp/x' })
  t.same(unknownVariables(variables), [
    'SLUICE_PORT_7400_TCP',
    'SLUICE_PORT_7400_TCP_ADDR',
    'SLUICE_PROT',
    'SLUICE_SERVICE_HOST',
    'SLUICE_SERVICE_PORT',
  ])
})

t.test('the port that Kubernetes sets for a service of this name is known for what it is', async t => {
  t.throws(() => readConfig({ ...SERVICE_LINKS, SLUICE_PORT: 'tcp://10.0.0.7:7400' }), {
    code: 'CONFIG_INVALID',
    message: /SLUICE_PORT: must be a whole number from 0 to 65535\. .*Kubernetes.*enableServiceLinks: false/,
  })
  t.throws(() => readConfig({ SLUICE_PORT: 'http' }), { message: /^(?!.*Kubernetes)/ }, 'which is not said of any other slip')
})
