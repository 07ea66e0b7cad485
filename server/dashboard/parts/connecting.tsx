/** How an application connects to an environment: the address, a key, and lines that run. */
import { useState } from 'preact/hooks'
import { linkTo } from '../route.ts'
import { may, type Place } from '../session.ts'
import { Dialog } from './dialog.tsx'
import { Snippet } from './snippet.tsx'

const WAYS = ['SDK', 'OpenFeature', 'Any language', 'Terminal'] as const
type Way = (typeof WAYS)[number]

export function Connecting({ place, onClose }: { readonly place: Place; readonly onClose: () => void }) {
  const [way, setWay] = useState<Way>('SDK')
  const { project, environment } = place
  return (
    <Dialog title={`Connect to ${project}/${environment}`} onClose={onClose} isWide>
      <p>
        The address is <code>{location.origin}</code>. A server key names the environment, so the application needs nothing else.{' '}
        {may('admin', place) && (
          <a href={linkTo('keys', [], { project, environment, query: { new: 'server' } })} onClick={onClose}>
            Make a server key
          </a>
        )}
      </p>
      <fieldset class="choices">
        <legend class="sr">Way to connect</legend>
        {WAYS.map(each => (
          <label key={each}>
            <input type="radio" name="way" checked={way === each} onChange={() => setWay(each)} /> {each}
          </label>
        ))}
      </fieldset>
      <Snippet key={way} label={`${way}, ${project}/${environment}`} text={linesFor(way, place)} />
    </Dialog>
  )
}

function linesFor(way: Way, { project, environment }: Place): string {
  const url = location.origin
  if (way === 'SDK') {
    return `${importing('connect', '@sluice/sdk')}

const flags = connect({ url: '${url}', key: process.env.SLUICE_SERVER_KEY ?? '' })
await flags.ready() // bounded; the application starts either way

const context = { targetingKey: 'user-1' }
flags.value('checkout', context, false) // synchronous, in memory, never throws`
  }
  if (way === 'OpenFeature') {
    return `${importing('OpenFeature', '@openfeature/server-sdk')}
${importing('SluiceProvider', '@sluice/sdk/openfeature')}

await OpenFeature.setProviderAndWait(new SluiceProvider({ url: '${url}', key: process.env.SLUICE_SERVER_KEY ?? '' }))
await OpenFeature.getClient().getBooleanValue('checkout', false, { targetingKey: 'user-1' })`
  }
  if (way === 'Any language') {
    return `# OFREP: any OpenFeature client speaks it
curl -X POST ${url}/ofrep/v1/evaluate/flags/checkout \\
  -H "Authorization: Bearer $SLUICE_SERVER_KEY" -H "Content-Type: application/json" \\
  -d '{ "context": { "targetingKey": "user-1" } }'`
  }
  return `export SLUICE_URL=${url} SLUICE_KEY=slc_admin_…
npx sluice status
npx sluice keys create --kind server --name my-application -p ${project} -e ${environment}
npx sluice instances -p ${project} -e ${environment}`
}

/** A line of the application's, not of this page's. */
function importing(name: string, from: string): string {
  return `import { ${name} } from '${from}'`
}
