import { render } from 'preact'
import '@picocss/pico/css/pico.min.css'
import './style.css'
import './theme.ts'
import { App } from './app.tsx'
import { loadSession } from './session.ts'

void loadSession()
render(<App />, document.getElementById('app')!)
