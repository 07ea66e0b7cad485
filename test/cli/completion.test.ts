import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { bashScript, zshScript } from '../../cli/commands/completion.ts'
import { buildProgram } from '../../cli/program.ts'
import { VERSION } from '../../cli/version.ts'

/** What bash would offer for the last word. */
function offered(words: readonly string[]): string[] {
  const script = `${bashScript(buildProgram())}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`
  const text = execFileSync('bash', ['--norc', '-c', script, 'bash', 'sluice', ...words], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH ?? '' },
  })
  return text.split('\n').filter(word => word !== '')
}

t.test('bash completes commands, options and their choices', async t => {
  const rows: readonly [words: readonly string[], expected: readonly string[]][] = [
    [['ki'], ['kill', 'kills']],
    [['kill', '--wh'], ['--where']],
    [['kill', 'checkout', '-e', 'production', '--un'], ['--until']],
    [
      ['flag', 's'],
      ['show', 'set'],
    ],
    [['-e', 'production', 'flag', 'rules', 'r'], ['remove']],
    [['flag', '-e', 'set', 'rules', 'a'], ['add']],
    [
      ['flags', '--state', ''],
      ['on', 'off', 'killed'],
    ],
    [['flags', '--kind', 're'], ['release']],
    [['keys', 'create', '--kind', 's'], ['server']],
    [
      ['completion', ''],
      ['bash', 'zsh'],
    ],
    [['flag', 'set', 'x', '--roll'], ['--rollout']],
    [['status', '--j'], ['--json']],
    [['kill', '-e', ''], []],
  ]
  for (const [words, expected] of rows) t.same(offered(words), expected, words.join(' '))
})

t.test('both scripts know every command', async t => {
  const program = buildProgram()
  const bash = bashScript(program)
  const zsh = zshScript(program)
  t.match(zsh, /^#compdef sluice\n/)
  for (const command of program.commands) {
    t.ok(bash.includes(`"sluice ${command.name()}")`), `bash: ${command.name()}`)
    t.ok(zsh.includes(`'${command.name()}:`), `zsh: ${command.name()}`)
  }
})

t.test('every command says what it does and shows an example', async t => {
  const silent = new Set(['logout', 'completion', 'flag'])
  for (const command of buildProgram().commands) {
    t.ok(command.description().length > 10, command.name())
    if (silent.has(command.name())) continue
    let help = ''
    command.configureOutput({ writeOut: text => (help += text) }).outputHelp()
    t.match(help, /Examples?:/, command.name())
  }
})

t.test('the version is that of the package', async t => {
  const text = readFileSync(new URL('../../../cli/package.json', import.meta.url), 'utf8')
  t.equal((JSON.parse(text) as { version: string }).version, VERSION)
})
