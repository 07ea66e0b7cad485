import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { CODES, EXIT } from '../../cli/failure.ts'
import { buildProgram } from '../../cli/program.ts'
import { cliOf } from './run.ts'

t.test('how it ends is told by the exit code, and with --json by JSON', async t => {
  const home = t.testdir()
  const page = createServer((_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>hello</h1>'))
  const gateway = createServer((_request, response) =>
    response
      .writeHead(503, { 'content-type': 'application/json' })
      .end('{"code":"STORAGE_UNAVAILABLE","message":"The disk is gone.","details":[]}'),
  )
  const redirect = createServer((_request, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end())
  const addresses: string[] = []
  for (const server of [page, gateway, redirect]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    addresses.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  }
  const sluice = cliOf(t, home)
  const rows: readonly [url: string, words: readonly string[], code: number, said: string][] = [
    ['http://127.0.0.1:1', ['status'], 3, 'NOT_REACHABLE'],
    [addresses[0] ?? '', ['status'], 3, 'BAD_ANSWER'],
    [addresses[1] ?? '', ['flags'], 3, 'STORAGE_UNAVAILABLE'],
    [addresses[2] ?? '', ['flags'], 3, 'BAD_ANSWER'],
    ['http://127.0.0.1:1', ['frobnicate'], 2, 'USAGE'],
    ['http://127.0.0.1:1', ['flags', '--frobnicate'], 2, 'USAGE'],
    ['ftp://example.com', ['flags'], 2, 'USAGE'],
  ]
  for (const [url, words, code, said] of rows) {
    const text = await sluice(words, { url })
    t.same([text.code, text.stdout], [code, ''], words.join(' '))
    t.match(text.stderr, new RegExp(`^sluice: .*\\(${said}\\)`), words.join(' '))
    t.notMatch(text.stderr, /\u001b|admin-key/)
    const json = await sluice([...words, '--json'], { url })
    t.same([json.code, json.stdout], [code, ''])
    t.match(JSON.parse(json.stderr), { code: said, message: String, details: Array })
  }
  const help = await sluice(['kill', '--help'])
  t.equal(help.code, 0)
  t.match(help.stdout, /Examples:/)
  t.equal((await sluice([])).code, 2)
})

t.test('an https:// address of a server without TLS is known for what it is', async t => {
  const plain = createServer((_request, response) => response.end()).listen(0, '127.0.0.1')
  await once(plain, 'listening')
  t.teardown(() => plain.close())
  const url = `https://127.0.0.1:${(plain.address() as AddressInfo).port}`
  const kill = await cliOf(t, t.testdir())(['kill', 'checkout', '-e', 'production', '-m', 'why'], { url })
  t.equal(kill.code, 3)
  t.match(kill.stderr, /^sluice: No answer from https:.* \(NOT_REACHABLE\)$/m, 'in one line')
  t.notMatch(kill.stderr, /is not known/, 'nothing was sent, so nothing was done')
})

t.test('the documentation names every command, exit code and code of its own', async t => {
  const text = readFileSync(new URL('../../../docs/cli.md', import.meta.url), 'utf8')
  for (const code of Object.keys(CODES)) t.ok(text.includes(`\`${code}\``), code)
  for (const code of Object.values(EXIT)) t.match(text, new RegExp(`^\\| ${code} +\\|`, 'm'))
  for (const command of buildProgram().commands) {
    t.ok(text.includes(`sluice ${command.name()}`), command.name())
    for (const option of command.options) t.ok(text.includes(option.long ?? ''), `${command.name()} ${option.long}`)
    for (const inner of command.commands)
      t.ok(text.includes(`${command.name()} ${inner.name()}`) || text.includes(inner.name()), `${command.name()} ${inner.name()}`)
  }
})
