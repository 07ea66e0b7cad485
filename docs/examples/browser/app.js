import { connect } from '@sluice/sdk/web'

const flags = connect({
  url: 'http://localhost:7400',
  key: 'slc_client_…',
  context: { targetingKey: 'visitor-1' },
  cache: 'local',
})

const element = id => document.getElementById(id)

function show() {
  // A value is text from outside: never innerHTML.
  element('greeting').textContent = flags.value('greeting', 'Welcome')
  element('buy').hidden = !flags.value('checkout', false)
  element('connection').textContent = flags.status().stale ? 'Trying to reach the server' : 'Up to date'
}

flags.on('change', show)
flags.on('stale', show)
await flags.ready()
show()

element('login').onclick = async () => {
  await flags.setContext({ targetingKey: 'user-1', account: { plan: 'beta' } })
  show()
}

// For a look from the console.
window.flags = flags
