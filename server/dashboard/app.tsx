/** The frame around every page: where you are, where you can go, whether what you see is live. */
import { lazy, Suspense } from 'preact/compat'
import { useEffect, useRef, useState } from 'preact/hooks'
import { allShortcuts, useShortcut } from './keyboard.ts'
import { isLive, listen } from './live.ts'
import { Dialog } from './parts/dialog.tsx'
import { Empty } from './parts/empty.tsx'
import { Search } from './parts/search.tsx'
import { go, linkTo, type PageName, route } from './route.ts'
import { loadPlaces, nameOf, place, places, remember, session, signOut } from './session.ts'
import { SignIn } from './signin.tsx'
import { setTheme, type Theme, theme } from './theme.ts'
import { useTitle } from './title.ts'
import { Now } from './pages/now.tsx'

interface Entry {
  readonly name: PageName
  readonly title: string
  readonly letter: string
}

const MENU: readonly Entry[] = [
  { name: 'now', title: 'Now', letter: 'n' },
  { name: 'flags', title: 'Flags', letter: 'f' },
  { name: 'rollouts', title: 'Rollouts', letter: 'r' },
  { name: 'limits', title: 'Limits', letter: 'l' },
  { name: 'valves', title: 'Valves', letter: 'v' },
  { name: 'hooks', title: 'Hooks', letter: 'h' },
  { name: 'segments', title: 'Segments', letter: 's' },
  { name: 'environments', title: 'Environments', letter: 'e' },
  { name: 'keys', title: 'Keys', letter: 'k' },
  { name: 'audit', title: 'Audit', letter: 'a' },
]

/** What is not needed in the first view comes when it is. */
const Flags = lazy(async () => (await import('./pages/flags.tsx')).Flags)
const Rollouts = lazy(async () => (await import('./pages/rollouts.tsx')).Rollouts)
const Limits = lazy(async () => (await import('./pages/limits.tsx')).Limits)
const Valves = lazy(async () => (await import('./pages/valves.tsx')).Valves)
const Hooks = lazy(async () => (await import('./pages/hooks.tsx')).Hooks)
const Segments = lazy(async () => (await import('./pages/segments.tsx')).Segments)
const Environments = lazy(async () => (await import('./pages/environments.tsx')).Environments)
const Keys = lazy(async () => (await import('./pages/keys.tsx')).Keys)
const Audit = lazy(async () => (await import('./pages/audit.tsx')).Audit)

/** Shown also to a key that sees no environment yet: here the first one is made. */
const WITHOUT_PLACE: readonly PageName[] = ['environments', 'keys']

export function App() {
  if (session.value === undefined) return <main aria-busy="true" class="starting" />
  return session.value === null ? <SignIn /> : <Frame />
}

function Frame() {
  const [isSearching, setSearching] = useState(false)
  const [isHelping, setHelping] = useState(false)
  useShortcut('/', 'Search flags', () => setSearching(true))
  useShortcut('?', 'What the keyboard does', () => setHelping(true))
  for (const { name, title, letter } of MENU) useShortcut(`g ${letter}`, `Go to ${title}`, () => go(linkTo(name)))
  useEffect(() => listen(message => message.type === 'places' && void loadPlaces()), [])
  // The address names the place, so that it can be sent to somebody.
  const here = place.value
  useEffect(() => {
    if (here !== null) remember(here)
    if (here !== null && (route.value.project !== here.project || route.value.environment !== here.environment)) {
      history.replaceState(null, '', linkTo(route.value.page, route.value.rest, { ...here }))
      dispatchEvent(new HashChangeEvent('hashchange'))
    }
  }, [here?.project, here?.environment])
  useTitle(MENU.find(({ name }) => name === route.value.page)?.title ?? '')
  // On a phone the menu is wider than the screen: the page that is open is in sight.
  const menu = useRef<HTMLElement>(null)
  useEffect(() => {
    const show = (): void => menu.current?.querySelector('[aria-current="page"]')?.scrollIntoView({ block: 'nearest', inline: 'center' })
    show()
    addEventListener('resize', show)
    return () => removeEventListener('resize', show)
  }, [route.value.page])

  return (
    <>
      <a
        class="skip"
        href="#content"
        onClick={event => {
          // The address says which page this is, so the link must not change it.
          event.preventDefault()
          document.getElementById('content')?.focus()
        }}
      >
        Skip to the page
      </a>
      <header class="bar">
        <a href={linkTo('now')} class="brand" aria-label="Sluice: what is going on now">
          <img src={new URL('./icon.svg', import.meta.url).href} alt="" width="24" height="24" />
          <span>Sluice</span>
        </a>
        <PlaceChooser />
        <button type="button" class="search" onClick={() => setSearching(true)}>
          Search<span class="wide"> flags</span> <kbd>/</kbd>
        </button>
        <LiveMark />
        <ThemeChooser />
      </header>
      <nav class="menu" aria-label="Pages" ref={menu}>
        <ul>
          {MENU.map(({ name, title, letter }) => (
            <li key={name}>
              <a href={linkTo(name)} aria-current={route.value.page === name ? 'page' : undefined} title={`g ${letter}`}>
                {title}
              </a>
            </li>
          ))}
          <li class="last">
            <button type="button" onClick={() => void signOut()} title={`Signed in as ${session.value?.name ?? ''}`}>
              Sign out
            </button>
          </li>
        </ul>
      </nav>
      <main id="content" tabIndex={-1}>
        {here === null && !WITHOUT_PLACE.includes(route.value.page) ? (
          <>
            <h1>Nothing to see yet</h1>
            <Empty title="Your key sees no environment. Make the first one:" command="sluice environments create production">
              <a href={linkTo('environments')}>or make it here</a>
            </Empty>
          </>
        ) : (
          <Page name={route.value.page} />
        )}
      </main>
      {isSearching && <Search onClose={() => setSearching(false)} />}
      {isHelping && <Shortcuts onClose={() => setHelping(false)} />}
    </>
  )
}

function Page({ name }: { readonly name: PageName }) {
  return (
    <Suspense fallback={<p aria-busy="true">Loading</p>}>
      {name === 'now' && <Now />}
      {name === 'flags' && <Flags />}
      {name === 'rollouts' && <Rollouts />}
      {name === 'limits' && <Limits />}
      {name === 'valves' && <Valves />}
      {name === 'hooks' && <Hooks />}
      {name === 'segments' && <Segments />}
      {name === 'environments' && <Environments />}
      {name === 'keys' && <Keys />}
      {name === 'audit' && <Audit key={place.value === null ? '' : nameOf(place.value)} />}
    </Suspense>
  )
}

function PlaceChooser() {
  const here = place.value
  const [first] = places.value
  return (
    <select
      class="place"
      aria-label="Environment"
      value={here === null ? '' : nameOf(here)}
      onChange={event => {
        const [project = '', environment = ''] = event.currentTarget.value.split('/')
        go(linkTo(route.value.page, route.value.page === 'flags' ? route.value.rest : [], { project, environment }))
      }}
    >
      {places.value.map(each => (
        <option key={nameOf(each)} value={nameOf(each)}>
          {each.project === first?.project ? each.environment : nameOf(each)}
        </option>
      ))}
    </select>
  )
}

function LiveMark() {
  const text = isLive.value === null ? 'connecting' : isLive.value ? 'live' : 'not live: trying again'
  return (
    <span
      class={`live ${isLive.value === true ? 'good' : isLive.value === false ? 'bad' : ''}`}
      role="status"
      title="Whether this page follows the server"
    >
      <span aria-hidden="true">{isLive.value === false ? '■' : '●'}</span> <span class="text">{text}</span>
    </span>
  )
}

function ThemeChooser() {
  const next: Record<Theme, Theme> = { system: 'dark', dark: 'light', light: 'system' }
  return (
    <button type="button" class="plain" onClick={() => setTheme(next[theme.value])} title="Dark, light, or as the system has it">
      {{ system: '◐', dark: '☾', light: '☀' }[theme.value]}
      <span class="sr">Theme: {theme.value}</span>
    </button>
  )
}

function Shortcuts({ onClose }: { readonly onClose: () => void }) {
  return (
    <Dialog title="What the keyboard does" onClose={onClose}>
      <dl class="shortcuts">
        {allShortcuts().map(({ keys, what }) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map(key => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
