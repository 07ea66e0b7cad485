/** Rates as people type and read them: `10/s`, `600/min`, `1000/h`, `1e5/day`, `0`, `unlimited`. Pure. */
import type { CountedRate, RateValue } from '../schemas/values.ts'
import { usage } from './failure.ts'

const UNITS: Readonly<Record<string, CountedRate['per']>> = {
  s: 'second',
  sec: 'second',
  second: 'second',
  min: 'minute',
  minute: 'minute',
  h: 'hour',
  hour: 'hour',
  d: 'day',
  day: 'day',
}
const SHORT: Readonly<Record<CountedRate['per'], string>> = { second: 's', minute: 'min', hour: 'h', day: 'day' }
const NUMBER = /^\d+(?:\.\d+)?(?:[eE]\+?\d{1,2})?$/

const FORMS = 'Write it as in --rate 10/s, 600/min, 1000/h or 1e5/day; --rate 0 denies everything, --rate unlimited nothing.'

/** Error: `USAGE`, for `5/m` too, which may be meant by the minute or by the month. */
export function parseRate(text: string): { rate: number; per: CountedRate['per'] } | { unlimited: true } {
  if (text === 'unlimited') return { unlimited: true }
  const [number = '', unit, ...rest] = text.split('/').map(part => part.trim())
  if (rest.length > 0 || !NUMBER.test(number)) throw usage(`--rate ${text} is not a rate.`, FORMS)
  const rate = Number(number)
  if (unit === undefined) {
    if (rate === 0) return { rate, per: 'second' }
    throw usage(`--rate ${text} does not say in what time.`, FORMS)
  }
  if (unit.toLowerCase() === 'm')
    throw usage(`--rate ${text} may mean by the minute or by the month.`, `By the minute is ${number}/min; by the month no rate can be.`)
  const name = unit.toLowerCase().replace(/(?<=[a-z]{3})s$/, '')
  const per = Object.hasOwn(UNITS, name) ? UNITS[name] : undefined
  if (per === undefined) throw usage(`--rate ${text}: ${JSON.stringify(unit)} is no unit of time.`, FORMS)
  return { rate, per }
}

/** The options that say the rate of a value again. */
export function rateOptions(value: RateValue): string[] {
  const shadow = value.mode === 'shadow' ? ['--shadow'] : []
  if ('unlimited' in value) return ['--rate', 'unlimited', ...shadow]
  const burst = value.burst === undefined ? [] : ['--burst', String(value.burst)]
  return ['--rate', value.rate === 0 ? '0' : `${value.rate}/${SHORT[value.per]}`, ...burst, ...shadow]
}
