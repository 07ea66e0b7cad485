/** One course of events: a thousand things that happen, then calm, in which everyone must come to hold what the log has. */
import { Failure, type Machine, type Weather, World } from './world.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE
/** Whatever has happened: so long after it is over everyone is up to date. */
const CALM_MS = 5 * MINUTE
/** Between two attempts with a refused key. */
const REFUSED_MIN_MS = 150 * SECOND
const REFUSED_MAX_MS = 5 * MINUTE
/** Between two polls, when no stream refuses in between. */
const POLL_MIN_MS = 27 * SECOND
/** One seed in so many has a day of refusals. */
const DAYS_EVERY = 25

export interface Outcome {
  /** What went wrong, or null. */
  readonly problem: string | null
  readonly counted: Readonly<Record<string, number>>
}

export interface Course {
  readonly seed: number
  readonly steps: number
  readonly trace?: (line: string) => void
}

export async function simulate({ seed, steps, trace }: Course): Promise<Outcome> {
  const world = new World(seed, trace ?? null)
  let problem: string | null = null
  try {
    const happen = faultsOf(world)
    const dayAt = seed % DAYS_EVERY === 0 ? Math.floor(steps / 2) : -1
    for (let step = 0; step < steps; step++) {
      if (step === dayAt) await refusedForADay(world)
      happen()
      await world.pass(world.chance(0.02) ? world.between(0, world.chance(0.05) ? 10 * MINUTE : 90 * SECOND) : world.between(0, 200))
    }
    await calm(world)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    problem = error.message
  }
  return { problem, counted: world.counted }
}

/** Shows everything that happens in a world. */
export function replayCommand(seed: number, steps: number): string {
  return `node dist/test/simulation/run.js --seed ${seed} --steps ${steps} --trace`
}

/** All is well again. */
async function calm(world: World): Promise<void> {
  await clear(world)
  world.say('world', () => 'is calm')
  await settle(world, CALM_MS)
  // Receipts that were lost on the way are made good by the next change.
  world.commit()
  await settle(world, MINUTE, true)
  for (const { name, application } of world.machines) {
    const { polls, attempts, taken } = application.watch
    const most = attempts + world.timeline.now / POLL_MIN_MS + 1
    if (polls > most) world.fail(name, `has polled ${polls} times, at most ${Math.ceil(most)} were due`)
    world.counted.taken = (world.counted.taken ?? 0) + taken
    world.counted.polls = (world.counted.polls ?? 0) + polls
    world.counted.attempts = (world.counted.attempts ?? 0) + attempts
  }
}

async function settle(world: World, ms: number, areReceiptsNeeded = false): Promise<void> {
  const end = world.timeline.now + ms
  for (;;) {
    const difference = world.difference(areReceiptsNeeded)
    if (difference === null) return
    if (world.timeline.now >= end) world.fail('world', `is calm since ${ms / SECOND} s, but ${difference}`)
    await world.pass(Math.min(SECOND, end - world.timeline.now))
  }
}

/** The end of all that is wrong, and of all sleep. */
async function clear(world: World): Promise<void> {
  world.clear()
  world.isStorageSick = false
  world.log.store()
  world.startServer()
  for (const machine of world.machines) {
    machine.network = 'fine'
    machine.wire?.stall(0)
  }
  await world.pass(Math.max(0, ...world.machines.map(machine => machine.asleepUntil - world.timeline.now)))
}

/** A key is revoked by mistake, and valid again a day later. Nobody hammers the server meanwhile, and nobody gives up. */
async function refusedForADay(world: World): Promise<void> {
  await clear(world)
  await settle(world, CALM_MS)
  world.say('world', () => 'the key is revoked for a day')
  world.weather.isKeyGood = false
  world.server?.closeAll()
  await world.pass(REFUSED_MAX_MS)
  const before = world.machines.map(({ application }) => application.watch.attempts)
  await world.pass(DAY)
  for (const [i, { name, application }] of world.machines.entries()) {
    const attempts = application.watch.attempts - (before[i] ?? 0)
    if (attempts > DAY / REFUSED_MIN_MS + 1) world.fail(name, `has tried ${attempts} times in a day of refusals`)
    if (attempts < DAY / REFUSED_MAX_MS - 1) world.fail(name, `has tried only ${attempts} times in a day of refusals`)
  }
  world.say('world', () => 'the key is valid again')
  world.counted.days = 1
  world.weather.isKeyGood = true
  await settle(world, REFUSED_MAX_MS)
}

/** What can happen, each with how often it does in this world: some worlds know no restarts, others little else. */
function faultsOf(world: World): () => void {
  const { timeline, log } = world
  const someone = (): Machine => world.machines[Math.floor(world.random() * world.machines.length)]!
  const storm = (change: Partial<Weather>, ms: number): void => world.storm(change, ms)
  const away = (): void => void timeline.after(world.between(100, world.chance(0.2) ? 40 * SECOND : 2 * SECOND), () => world.startServer())
  const faults: readonly (readonly [share: number, happen: () => void])[] = [
    [4, () => Array.from({ length: 8 }, () => world.server !== null && world.commit())],
    [3, () => world.cut(someone())],
    [0.5, () => world.machines.forEach(machine => world.cut(machine))],
    // Restarts: announced, at once, and the whole machine; in the middle of a publish.
    [0.5, () => (world.stopServer('drain'), away())],
    [0.5, () => (world.stopServer('kill'), away())],
    [0.2, () => (world.stopServer('silent'), away())],
    [
      0.5,
      () => {
        if (world.server === null) return
        world.commit(Math.floor(world.random() * 3))
        world.stopServer('kill')
        away()
      },
    ],
    // Storage takes nothing: kills are published all the same, and lost with the process where even the journal fails.
    [3, () => (world.isStorageSick = world.server !== null)],
    [1, () => ((world.isStorageSick = false), log.store())],
    [
      0.5,
      () => {
        world.stopServer('kill')
        const lost = 1 + Math.floor(world.random() * 4)
        world.restore(lost, (['above', 'below', 'unnoticed'] as const)[Math.floor(world.random() * 3)]!)
        // Others take the numbers of what is gone before anybody is back, and what says so may be lost on the way.
        if (world.chance(0.5)) for (let i = 0; i < lost; i++) world.commit()
        if (world.chance(0.3)) storm({ lost: 0.5 }, 6 * SECOND)
        away()
      },
    ],
    [0.3, () => !world.isStorageSick && world.beginEpoch()],
    // Lines.
    [1, () => world.swallow(someone())],
    [0.2, () => world.machines.forEach(machine => world.swallow(machine))],
    [2, () => world.stall(someone(), world.between(0, 70 * SECOND))],
    [2, () => storm({ bytesPerMs: world.between(5, 300), heaviest: world.between(1, 2_000) }, world.between(0, 60 * SECOND))],
    [2, () => storm({ latencyMs: world.between(100, 6_000) }, world.between(0, 30 * SECOND))],
    [2, () => storm({ lost: 0.3 }, world.between(0, 10 * SECOND))],
    // As everyone comes back, so that answers are lost too.
    [0.5, () => (world.machines.forEach(machine => world.cut(machine)), storm({ lost: 0.5 }, 3 * SECOND))],
    [2, () => storm({ repeated: 0.5 }, world.between(0, 20 * SECOND))],
    [2, () => storm({ closesAfterMs: 60 * SECOND }, world.between(0, 10 * MINUTE))],
    // Refusals.
    [0.3, () => (world.server?.closeAll(), storm({ isKeyGood: false }, world.between(0, 15 * MINUTE)))],
    [0.3, () => storm({ isCertificateGood: false }, world.between(0, 5 * MINUTE))],
    [1, () => storm({ areUpgradesBlocked: true }, world.between(0, 3 * MINUTE))],
    [1, () => storm({ busySeconds: world.chance(0.1) ? 120 : Math.floor(world.between(0, 6)) }, world.between(0, 40 * SECOND))],
    [
      1,
      () => {
        const machine = someone()
        machine.network = world.chance(0.5) ? 'unreachable' : 'hanging'
        timeline.after(world.between(0, 60 * SECOND), () => (machine.network = 'fine'))
      },
    ],
    // Polls.
    [3, () => storm({ answersTakeMs: world.between(1_000, 150_000) }, world.between(0, 2 * MINUTE))],
    [3, () => storm({ areAnswersCached: true }, world.between(0, 2 * MINUTE))],
    // Machines and clocks.
    [0.7, () => world.sleep(someone(), world.chance(0.3) ? 60 * MINUTE : world.between(0, 2 * MINUTE))],
    [0.5, () => world.restartApplication(someone())],
    [2, () => (world.wallOffsetMs += world.between(-DAY, DAY))],
    // What nobody should say.
    [0.5, () => world.server?.sendRaw(pick(world, GARBAGE))],
    [1, () => world.server?.sendRaw(pick(world, UNKNOWN))],
    [2, () => world.replay()],
    [0.5, () => world.server?.sendRaw('{"type":"drain","afterMs":500,"spreadMs":4000}')],
    [0.5, () => someone().wire?.say(pick(world, GARBAGE))],
    [1, () => someone().wire?.say(pick(world, UNKNOWN))],
  ]
  const shares = faults.map(([share]) => (world.chance(0.4) ? 0 : share * 2 * world.random()))
  const commits = 20 + shares.reduce((sum, share) => sum + share, 0) * world.random()
  const total = commits + shares.reduce((sum, share) => sum + share, 0)
  return () => {
    let dice = world.random() * total - commits
    if (dice < 0) return void (world.server !== null && world.commit())
    for (const [i, [, happen]] of faults.entries()) {
      dice -= shares[i]!
      if (dice < 0) return happen()
    }
  }
}

const GARBAGE = [
  '',
  '{',
  'null',
  '[]',
  '{"type":5}',
  '{"type":"change","epoch":"e1","from":-1}',
  '{"type":"ruleset","flags":{}}',
  '{"type":"hello"}',
]
const UNKNOWN = ['{"type":"of tomorrow","revision":-1}', '{"type":"__proto__"}']

function pick<T>(world: World, list: readonly T[]): T {
  return list[Math.floor(world.random() * list.length)]!
}
