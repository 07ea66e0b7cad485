/**
 * The project of the server itself: its API limit is a flag like any other. Made where it is missing, never removed;
 * seen by keys for the whole server, and changed by their admins alone.
 */
import type { ErrorDetail } from '../../schemas/errors.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { Flag } from '../../schemas/flag.ts'
import { completeFlag, randomSeed } from '../flags/defaults.ts'
import { BUILT_IN_PROJECT, type ChangeLog, logOf, type PlannedEdit, SERVER_LOG, type State } from '../log/types.ts'

/** Not `server`: `sluice/server` is the log of projects, environments and keys. */
export const BUILT_IN_ENVIRONMENT = 'api'
export const BUILT_IN_LOG = logOf(BUILT_IN_PROJECT, BUILT_IN_ENVIRONMENT)
export const API_LIMIT = 'api-requests'

/** What the server's own log lacks of it. */
export function builtInPlaces(state: State): PlannedEdit[] {
  const edits: PlannedEdit[] = []
  if (!state.documents.project.has(BUILT_IN_PROJECT)) {
    const description = 'Built in: the settings of this server. It cannot be deleted.'
    edits.push({
      type: 'project',
      key: BUILT_IN_PROJECT,
      after: { key: BUILT_IN_PROJECT, name: 'Sluice itself', description, version: 1 },
    })
  }
  if (!state.documents.environment.has(BUILT_IN_LOG)) {
    const place = { key: BUILT_IN_LOG, project: BUILT_IN_PROJECT, environment: BUILT_IN_ENVIRONMENT, name: 'API', version: 1 }
    edits.push({ type: 'environment', key: BUILT_IN_LOG, after: place })
  }
  return edits
}

export function isBuiltInMissing(log: Pick<ChangeLog, 'state'>): boolean {
  return builtInPlaces(log.state(SERVER_LOG)).length > 0 || !log.state(BUILT_IN_LOG).documents.flag.has(API_LIMIT)
}

/** The flag, where it is missing. */
export function builtInFlag(state: State): PlannedEdit[] {
  return state.documents.flag.has(API_LIMIT) ? [] : [{ type: 'flag', key: API_LIMIT, after: apiLimitFlag() }]
}

function apiLimitFlag(): Flag {
  const completed = completeFlag(
    {
      key: API_LIMIT,
      kind: 'rate-limit',
      name: 'Requests to this API',
      description: 'What one key, and one address without a key, may ask of this server. Killed or off, nothing is limited.',
      temporary: false,
      variations: [
        { key: 'usual', value: { rate: 500, per: 'second', burst: 5_000, keyBy: ['/key/id'] } },
        { key: 'strangers', value: { rate: 50, per: 'second', burst: 1_000, keyBy: ['network'] } },
        { key: 'off', value: { unlimited: true } },
      ],
      enabled: true,
      offVariation: 'off',
      rules: [
        {
          id: 'strangers',
          description: 'No key, or one that is not known.',
          clauses: [{ attribute: '/key/id', op: 'exists', values: [false] }],
          serve: { variation: 'strangers' },
        },
      ],
      fallthrough: { variation: 'usual' },
    },
    randomSeed(),
  )
  if (completed.flag === null) throw new Error('the built-in flag is not complete')
  return completed.flag
}

/** Error: `BUILT_IN` for a write that would remove the flag or make another kind of it. */
export function refuseBuiltIn(state: Pick<State, 'log'>, edits: readonly PlannedEdit[]): void {
  if (state.log !== BUILT_IN_LOG) return
  for (const edit of edits) {
    if (edit.type !== 'flag' || edit.key !== API_LIMIT || edit.after?.kind === 'rate-limit') continue
    throw builtIn(`Flag "${API_LIMIT}" in "${BUILT_IN_LOG}" is built in and stays a rate-limit. Kill it to switch the limit off.`)
  }
}

/** Error: `BUILT_IN` for the project itself, and for environments made or deleted in it. */
export function refuseBuiltInPlace(project: string): void {
  if (project !== BUILT_IN_PROJECT) return
  throw builtIn(`Project "${BUILT_IN_PROJECT}" is built in: it stays, with its one environment "${BUILT_IN_ENVIRONMENT}".`)
}

function builtIn(message: string): SluiceError {
  const detail: ErrorDetail = { path: '', code: 'built_in', message }
  return new SluiceError('BUILT_IN', message, { details: [detail] })
}
