/** What an operator sees at 3 a.m.: everything that is not as usual, where the switch is, and what changed lately. */
import { useState } from 'preact/hooks'
import type { Flag } from '../../../schemas/flag.ts'
import { useShortcut } from '../keyboard.ts'
import { nameOf, may, place } from '../session.ts'
import { KillDialog } from '../parts/kill.tsx'
import { Log } from '../parts/log.tsx'
import { Search } from '../parts/search.tsx'
import { Unusual } from '../parts/unusual.tsx'

export function Now() {
  const here = place.value
  const [isChoosing, setChoosing] = useState(false)
  const [isSearching, setSearching] = useState(false)
  const [killing, setKilling] = useState<Flag | null>(null)
  const mayKill = may('operator')
  useShortcut('k', 'Kill a flag', () => mayKill && setChoosing(true))
  if (here === null) return null
  return (
    <div class="now">
      <header>
        <h1>
          Now <small>in {here.environment}</small>
        </h1>
        <div class="hand">
          <button type="button" class="secondary narrow" onClick={() => setSearching(true)}>
            Find a flag
          </button>
          {mayKill && (
            <button type="button" class="danger" onClick={() => setChoosing(true)}>
              Kill a flag <kbd aria-hidden="true">k</kbd>
            </button>
          )}
        </div>
      </header>
      <Unusual here={here} key={nameOf(here)} />
      <Log here={here} key={`log ${nameOf(here)}`} />
      {isSearching && <Search onClose={() => setSearching(false)} />}
      {isChoosing && <Search title="Which flag is to be killed?" onClose={() => setChoosing(false)} onChoose={setKilling} />}
      {killing !== null && <KillDialog flags={[killing]} onClose={() => setKilling(null)} />}
    </div>
  )
}
