/** What a person types into a chat, understood. Pure: whether it may be done, and doing it, is left to `commands.ts`. */
import type { Clause } from '../../schemas/clause.ts'
import { SluiceError } from '../../schemas/errors.ts'

export type Command =
  | { readonly name: 'help' }
  | { readonly name: 'status' | 'valves'; readonly environment: string | null }
  | {
      readonly name: 'kill'
      readonly flag: string
      readonly environment: string
      readonly reason: string
      readonly clauses: readonly Clause[]
      /** The kill ends by itself after so long; null for never. */
      readonly forMs: number | null
    }
  | { readonly name: 'lift' | 'release'; readonly flag: string; readonly environment: string; readonly reason: string }
  | { readonly name: 'throttle'; readonly flag: string; readonly environment: string; readonly percent: number; readonly reason: string }

const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

export const HELP = `*What I can do* (environments by name or as far as it is unmistakable, as in \`prod\`)
• \`/sluice status [production]\`: what is off or throttled now
• \`/sluice kill checkout production double charges\`: off for everyone; add \`--where /device/os=android\` for some, \`--for 2h\` to end by itself
• \`/sluice lift checkout production\`: exactly what stood before is in force again
• \`/sluice valves [production]\`: safety valves and what they let through
• \`/sluice throttle payments-vendor production 50% vendor is slow\`, \`/sluice release payments-vendor production\`
You act with the permissions of the key that you are linked to.`

/** Error: `INVALID_REQUEST` with what was expected. */
export function parseCommand(text: string): Command {
  const words = wordsOf(text)
  const [name = 'help', ...rest] = words
  switch (name.toLowerCase()) {
    case 'help':
      return { name: 'help' }
    case 'status':
    case 'valves':
      return { name: name.toLowerCase() as 'status' | 'valves', environment: rest[0] ?? null }
    case 'kill':
      return kill(rest)
    case 'lift':
    case 'release': {
      const [flag, environment, reason] = placed(rest, `${name} <flag> <environment> [why]`)
      return { name: name.toLowerCase() as 'lift' | 'release', flag, environment, reason }
    }
    case 'throttle':
      return throttle(rest)
    default:
      throw expected(`I do not know "${name}"`, 'one of status, kill, lift, valves, throttle, release, help')
  }
}

function kill(words: readonly string[]): Command {
  const plain: string[] = []
  const clauses: Clause[] = []
  let forMs: number | null = null
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    if (word === '--where') clauses.push(clauseOf(words[++i]))
    else if (word === '--for') forMs = durationOf(words[++i])
    else if (word.startsWith('--')) throw expected(`I do not know ${word}`, '--where <attribute>=<value> or --for <2h>')
    else plain.push(word)
  }
  const [flag, environment, reason] = placed(plain, 'kill <flag> <environment> <why>')
  if (reason === '') throw expected('a kill needs a reason: it is what the next person reads', `kill ${flag} ${environment} double charges`)
  return { name: 'kill', flag, environment, reason, clauses, forMs }
}

function throttle(words: readonly string[]): Command {
  const form = 'throttle <flag> <environment> <percent>% <why>'
  const [flag, environment, rest] = placed(words, form)
  const match = /^(\d{1,3}(?:\.\d+)?)%?(?:\s+(.*))?$/.exec(rest)
  const percent = Number(match?.[1] ?? NaN)
  if (!(percent >= 0 && percent <= 100)) throw expected('how much shall it let through, 0 to 100 %?', form)
  const reason = match?.[2] ?? ''
  if (reason === '') throw expected('a throttle needs a reason: it is what the next person reads', form)
  return { name: 'throttle', flag, environment, percent, reason }
}

function placed(words: readonly string[], form: string): [flag: string, environment: string, reason: string] {
  const [flag, environment, ...reason] = words
  if (flag === undefined) throw expected('which flag?', form)
  if (environment === undefined) throw expected(`where? Name the environment of ${flag}`, form)
  return [flag, environment, reason.join(' ')]
}

/** `/device/os=android` or `country=DE,AT`; numbers and true/false are what they look like. */
function clauseOf(word: string | undefined): Clause {
  const at = word?.indexOf('=') ?? -1
  if (word === undefined || at < 1 || at === word.length - 1) {
    throw expected(`--where ${word ?? ''} is not a condition`, '--where <attribute>=<value>, as in --where /device/os=android')
  }
  return {
    attribute: word.slice(0, at),
    op: 'in',
    values: word
      .slice(at + 1)
      .split(',')
      .map(scalarOf),
  }
}

function scalarOf(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  return /^-?\d+(\.\d+)?$/.test(text) && String(Number(text)) === text ? Number(text) : text
}

function durationOf(word: string | undefined): number {
  const match = /^(\d{1,4})([mhd])$/.exec(word ?? '')
  if (match === null) throw expected(`--for ${word ?? ''} is not a time`, '--for 30m, --for 2h or --for 1d')
  return Number(match[1]) * UNITS_MS[match[2]!]!
}

/** Blanks part words, quotes keep them together. Phones write dashes and quotes that nobody typed. */
function wordsOf(text: string): string[] {
  const typed = text
    .replace(/[“”„]/g, '"')
    .replace(/[‘’]/g, "'")
    .replace(/(^|\s)[—–](?=\w)/g, '$1--')
  return [...typed.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
}

function expected(what: string, form: string): SluiceError {
  return new SluiceError('INVALID_REQUEST', `${what[0]!.toUpperCase()}${what.slice(1)}. Expected: ${form}.`)
}
