import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { begin, startCli } from './run.ts'

/** The lines a command writes, one at a time. */
function linesOf(child: ReturnType<typeof startCli>): () => Promise<string> {
  const lines: AsyncIterator<string> = createInterface({ input: child.stdout ?? process.stdin })[Symbol.asyncIterator]()
  return async () => {
    const { value, done } = await lines.next()
    return done === true ? '(the end)' : String(value)
  }
}

/** Resolves when it says that it watches; its stderr stays open. */
async function watching(child: ReturnType<typeof startCli>): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let said = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      said += String(chunk)
      if (said.includes('Watching')) resolve()
    })
    child.once('exit', () => reject(new Error(`it does not watch: ${said}`)))
  })
}

t.test('watch tells every change as it is made, and ends with Ctrl-C', async t => {
  const { server, home, done } = await begin(t)
  const child = startCli(t, home, ['watch', '-e', 'production', '--full'], { url: server.url })
  const next = linesOf(child)
  await watching(child)
  await done(['flag', 'create', 'checkout'])
  t.match(await next(), /^r1 {2}.* created flag checkout$/)
  t.match(await next(), /flag checkout is new/)
  t.match(await next(), /^r1 {2}arrived: no instance is connected to production/)
  await done(['kill', 'checkout', '-e', 'production', '-m', 'double charges'])
  t.match(await next(), /^r2 {2}.* killed checkout {2}"double charges"$/)
  child.kill('SIGINT')
  const [code] = (await once(child, 'exit')) as [number | null]
  t.equal(code, 0)
})

t.test('watch for programs is one object per line, and ends after a number of changes', async t => {
  const { server, home, done } = await begin(t)
  await done(['flag', 'create', 'checkout'])
  const child = startCli(t, home, ['watch', '-e', 'production', '--since', '0', '--limit', '2', '--json'], { url: server.url })
  const ended = once(child, 'exit')
  const next = linesOf(child)
  t.match(JSON.parse(await next()), { type: 'change', revision: 1, action: 'flag.create' }, 'what was before is told first')
  await done(['flag', 'on', 'checkout', '-e', 'production', '--wait', '0'])
  const rest = [JSON.parse(await next()), JSON.parse(await next()), JSON.parse(await next())]
  t.match(
    rest.find(line => line.type === 'change'),
    { revision: 2, action: 'flag.edit' },
  )
  t.same(
    rest
      .filter(line => line.type === 'receipts')
      .map(line => line.revision)
      .sort(),
    [1, 2],
  )
  t.same((await ended)[0], 0)
})

t.test('serve starts the server with its options, passes signals on and ends with its code', async t => {
  const home = t.testdir()
  const child = startCli(
    t,
    home,
    ['serve', '--port', '0', '--data', join(home, 'data'), '--log-level', 'warn', '--admin-key', 'an-admin-key-of-this-test'],
    {
      key: null,
      // These are the CLI's own; the server knows no such settings.
      variables: { SLUICE_ENVIRONMENT: 'production', SLUICE_PROJECT: 'shop' },
    },
  )
  const ended = once(child, 'exit')
  const next = linesOf(child)
  let line = await next()
  while (!line.startsWith('Sluice listens at') && line !== '(the end)') line = await next()
  const url = /Sluice listens at (\S+)/.exec(line)?.[1] ?? ''
  const answer = await fetch(`${url}/api/v1/whoami`, { headers: { authorization: 'Bearer an-admin-key-of-this-test' } })
  t.equal(answer.status, 200)
  await answer.text()
  child.kill('SIGTERM')
  t.same((await ended)[0], 0)

  const refused = startCli(t, home, ['serve', '--port', 'nonsense', '--data', join(home, 'data')], { key: null })
  t.not((await once(refused, 'exit'))[0], 0, 'a server that does not start is no success')
})
