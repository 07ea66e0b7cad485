/** Unleash's SDK, started from data it is given, without polling and without its metrics. */
import { once } from 'node:events'
import type { EventEmitter } from 'node:events'
import type { Context } from '../../schemas/context.ts'
import { clientOf, type Contender, peer } from './contender.ts'
import type { Sketch } from './sketch.ts'

interface Sdk {
  Unleash: new (options: object) => EventEmitter & { isEnabled(key: string, user: object): boolean }
  InMemStorageProvider: new () => object
}

export function unleash(): Contender {
  const { module, version } = peer('unleash-client')
  const { Unleash, InMemStorageProvider } = module as Sdk
  return {
    version,
    keepsBuckets: false,
    isAsync: false,
    cannot: { top: 'a parent may have no parent', all: 'no such call' },
    userOf: ({ targetingKey, plan, country, version }: Context) => ({
      userId: targetingKey,
      properties: { plan, country, version: JSON.stringify(version) },
    }),
    async open(sketches) {
      const client = new Unleash({
        appName: 'local',
        // Nothing answers there; what it holds is given to it.
        url: 'http://127.0.0.1:1/',
        refreshInterval: 0,
        disableMetrics: true,
        skipInstanceCountWarning: true,
        storageProvider: new InMemStorageProvider(),
        bootstrap: { data: sketches.map(featureOf) },
      })
      client.on('error', () => undefined).on('warn', () => undefined)
      await once(client, 'ready')
      return clientOf((key, user) => client.isEnabled(key, user))
    },
  }
}

function featureOf({ key, enabled, needs, except, rules, others }: Sketch): object {
  const strategy = (constraints: object[]): object => ({ name: 'default', parameters: {}, constraints })
  const strategies = rules.map(clauses =>
    strategy(
      clauses.map(clause =>
        'oneOf' in clause
          ? { contextName: clause.attribute, operator: 'IN', values: clause.oneOf, inverted: false, caseInsensitive: false }
          : { contextName: clause.attribute, operator: 'NUM_GT', value: String(clause.above), values: [], inverted: false },
      ),
    ),
  )
  if (others === 'half')
    strategies.push({ name: 'flexibleRollout', parameters: { rollout: '50', stickiness: 'userId', groupId: key }, constraints: [] })
  else if (others) {
    const listed = { contextName: 'userId', operator: 'NOT_IN', values: except ?? [], inverted: false, caseInsensitive: false }
    strategies.push(strategy(except === undefined ? [] : [listed]))
  }
  return {
    name: key,
    type: 'release',
    enabled,
    strategies,
    variants: [],
    dependencies: needs === undefined ? [] : [{ feature: needs, enabled: true }],
  }
}
