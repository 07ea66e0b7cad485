/** The title of the tab: how many kills stand where the page is, so that it is seen from another tab too; the page, the environment. */
import { useEffect } from 'preact/hooks'
import { useResource } from './resource.ts'
import { type Place, place } from './session.ts'

export function useTitle(page: string): void {
  const here = place.value
  const { data } = useResource<{ environments: readonly (Place & { readonly kills: number })[] }>('/api/v1/status')
  const kills = data?.environments.find(each => each.project === here?.project && each.environment === here.environment)?.kills ?? 0
  const environment = here?.environment
  useEffect(() => {
    document.title = titleOf(page, environment, kills)
  }, [page, environment, kills])
}

/** `(2 kills) Flags · production · Sluice` */
export function titleOf(page: string, environment: string | undefined, kills: number): string {
  const names = [page, environment, 'Sluice'].filter(name => name !== undefined && name !== '').join(' · ')
  return kills === 0 ? names : `(${kills === 1 ? '1 kill' : `${kills} kills`}) ${names}`
}
