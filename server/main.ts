/** Runs the server: reads the configuration, says where to look, and closes gracefully when asked to. */
import closeWithGrace from 'close-with-grace'
import type { FastifyBaseLogger } from 'fastify'
import { SluiceError } from '../schemas/errors.ts'
import { buildSluice, type Sluice } from './app.ts'
import { systemClock } from './clock.ts'
import { type Config, readConfig, unknownVariables, VARIABLES } from './config.ts'
import { openLogger } from './logger.ts'
import { FIRST_ENVIRONMENT, FIRST_PROJECT, type FirstKeys } from './setup.ts'

/** Beyond the time that closing may take, for what follows it. */
const GRACE_MS = 2_000

await main()

async function main(): Promise<void> {
  try {
    const config = readConfig(process.env)
    // Lines for programs go to standard error; standard output is for the person who started it.
    const logger = openLogger(config)
    const unknown = unknownVariables(process.env)
    if (unknown.length > 0) {
      logger.warn(
        { variables: unknown },
        `no settings of this server, ignored: ${unknown.join(', ')}. Known are ${Object.values(VARIABLES).join(', ')}`,
      )
    }
    const sluice = await buildSluice({ config, clock: systemClock, logger })
    try {
      const url = await sluice.listen()
      closeOnSignal(sluice, config, logger)
      process.stdout.write(greeting(url, config, sluice.firstKeys))
    } catch (error) {
      // The keys of a first start exist now, and would never be shown again.
      if (sluice.firstKeys !== null) process.stdout.write(keyLines(sluice.firstKeys))
      await sluice.close()
      throw error
    }
  } catch (error) {
    giveUp(error)
  }
}

function closeOnSignal(sluice: Sluice, config: Config, logger: FastifyBaseLogger): void {
  closeWithGrace({ delay: config.closeTimeoutMs + GRACE_MS, logger: false, skip: ['beforeExit'] }, async ({ signal, err }) => {
    if (err !== undefined) logger.fatal({ err }, 'an error that nobody caught; closing, so that a fresh process can start')
    else logger.info({ signal }, 'closing')
    await sluice.close()
    logger.info('closed')
  })
}

/** What a start prints. Secrets only at the very first one, and only those that configuration has not set. */
function greeting(url: string, config: Config, firstKeys: FirstKeys | null): string {
  const lines = [
    `Sluice listens at ${url}`,
    `  dashboard      ${url}/`,
    `  documentation  ${url}/docs`,
    `  data           ${config.data}`,
    '',
  ]
  if (firstKeys === null || (firstKeys.admin === null && firstKeys.server === null)) return `${lines.join('\n')}`
  return `${lines.join('\n')}\n${keyLines(firstKeys)}${nextCommand(url, firstKeys)}`
}

function keyLines({ admin, server }: FirstKeys): string {
  if (admin === null && server === null) return ''
  const lines = ['This is the first start. These keys are shown only once, so keep them now:']
  if (admin !== null) lines.push(`  admin key      ${admin}`)
  if (server !== null) lines.push(`  server key     ${server}   (${FIRST_PROJECT}/${FIRST_ENVIRONMENT}, for the SDK)`)
  return `${lines.join('\n')}\n\n`
}

function nextCommand(url: string, { admin }: FirstKeys): string {
  if (admin === null) return ''
  return `Next, in another terminal:\n  SLUICE_URL=${url} SLUICE_KEY=${admin} npx sluice status\n\n`
}

/** One line that says what to do; the whole stack only for what nobody foresaw. */
function giveUp(error: unknown): void {
  const text = error instanceof SluiceError ? `${error.code}: ${error.message}` : error instanceof Error ? error.stack : String(error)
  process.stderr.write(`sluice: ${text ?? 'failed'}\n`)
  process.exitCode = 1
}
