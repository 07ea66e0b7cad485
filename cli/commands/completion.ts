/** `sluice completion`: scripts that let bash and zsh complete commands, options and their choices; made from the tree of commands. */
import { Argument, type Command } from 'commander'
import { openOutput } from '../session.ts'

const HELP = `
Set it up:
  bash  sluice completion bash > ~/.local/share/bash-completion/completions/sluice
  zsh   sluice completion zsh > "\${fpath[1]}/_sluice"
or for this shell alone:
  $ source <(sluice completion bash)`

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .summary('completion for bash and zsh')
    .description('Print a completion script.')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh']))
    .addHelpText('after', HELP)
    .action((shell: string) => openOutput(false).raw(shell === 'bash' ? bashScript(program) : zshScript(program)))
}

/** A command as the scripts need it. */
interface Node {
  /** `sluice flag set` */
  readonly path: string
  readonly commands: readonly { readonly name: string; readonly summary: string }[]
  readonly options: readonly OptionNode[]
  /** The choices of its first argument, if it has any. */
  readonly words: readonly string[]
}

interface OptionNode {
  readonly names: readonly string[]
  readonly takesValue: boolean
  readonly takesFile: boolean
  readonly choices: readonly string[]
  readonly summary: string
}

function nodesOf(command: Command, path: string, inherited: readonly OptionNode[]): Node[] {
  const own: OptionNode[] = command.options.map(option => ({
    names: [option.short, option.long].filter(name => name !== undefined),
    takesValue: option.required || option.optional,
    takesFile: /<(path|folder)>/.test(option.flags),
    choices: option.argChoices ?? [],
    summary: option.description,
  }))
  const help: OptionNode[] =
    path === 'sluice' ? [{ names: ['-h', '--help'], takesValue: false, takesFile: false, choices: [], summary: 'how it is used' }] : []
  const options = [...own, ...inherited, ...help]
  const passedOn = path === 'sluice' ? options : inherited
  const commands = command.commands.map(each => ({ name: each.name(), summary: each.summary() || each.description() }))
  const words = command.registeredArguments[0]?.argChoices ?? []
  return [{ path, commands, options, words }, ...command.commands.flatMap(each => nodesOf(each, `${path} ${each.name()}`, passedOn))]
}

/** Shared by both shells: which options of a command take a value that must be skipped. */
function valueOptions(node: Node): string {
  return node.options.flatMap(option => (option.takesValue ? option.names : [])).join('|')
}

export function bashScript(program: Command): string {
  const nodes = nodesOf(program, 'sluice', [])
  const known = nodes.map(node => `      ${JSON.stringify(node.path)}) ;;`).slice(1)
  const cases = nodes.map(node => {
    const values = node.options
      .filter(option => option.takesValue)
      .map(option => {
        const answer =
          option.choices.length > 0
            ? `COMPREPLY=($(compgen -W "${option.choices.join(' ')}" -- "$cur"))`
            : option.takesFile
              ? 'COMPREPLY=($(compgen -f -- "$cur"))'
              : 'COMPREPLY=()'
        return `        ${option.names.join('|')}) ${answer}; return ;;`
      })
    const words = [...node.commands.map(each => each.name), ...node.words].join(' ')
    return [
      `    ${JSON.stringify(node.path)})`,
      ...(values.length === 0 ? [] : ['      case "$prev" in', ...values, '      esac']),
      `      options="${node.options.flatMap(option => option.names).join(' ')}"`,
      `      words="${words}"`,
      '      ;;',
    ].join('\n')
  })
  return `# bash completion for sluice, made by "sluice completion bash".
_sluice() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}"
  local path="sluice" options="" words="" skip="" i word
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ -n "$skip" ]]; then skip=""; continue; fi
    case "$word" in
      ${[...new Set(nodes.flatMap(node => valueOptions(node).split('|')))].filter(name => name !== '').join('|')}) skip="yes"; continue ;;
      -*) continue ;;
    esac
    case "$path $word" in
${known.join('\n').replaceAll(') ;;', ') path="$path $word" ;;')}
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  if [[ "$cur" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  fi
}
complete -o bashdefault -o default -F _sluice sluice
`
}

export function zshScript(program: Command): string {
  const nodes = nodesOf(program, 'sluice', [])
  const known = nodes.slice(1).map(node => `      ${JSON.stringify(node.path)}) location="$location $word" ;;`)
  const cases = nodes.map(node => {
    const values = node.options
      .filter(option => option.takesValue)
      .map(option => {
        const answer =
          option.choices.length > 0
            ? `compadd -- ${option.choices.join(' ')}`
            : option.takesFile
              ? '_files'
              : `_message ${quoted(option.summary)}`
        return `        ${option.names.join('|')}) ${answer}; return ;;`
      })
    const options = node.options.flatMap(option => option.names.map(name => quoted(`${name}:${option.summary}`)))
    const words = [...node.commands.map(each => quoted(`${each.name}:${each.summary}`)), ...node.words.map(word => quoted(word))]
    return [
      `    ${JSON.stringify(node.path)})`,
      ...(values.length === 0 ? [] : ['      case "$previous" in', ...values, '      esac']),
      `      choices=(${options.join(' ')})`,
      `      subcommands=(${words.join(' ')})`,
      '      ;;',
    ].join('\n')
  })
  return `#compdef sluice
# zsh completion for sluice, made by "sluice completion zsh".
_sluice() {
  local location="sluice" previous="\${words[CURRENT-1]}" skip="" word
  local -i i
  local -a choices subcommands
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    if [[ -n "$skip" ]]; then skip=""; continue; fi
    case "$word" in
      ${[...new Set(nodes.flatMap(node => valueOptions(node).split('|')))].filter(name => name !== '').join('|')}) skip="yes"; continue ;;
      -*) continue ;;
    esac
    case "$location $word" in
${known.join('\n')}
    esac
  done
  case "$location" in
${cases.join('\n')}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -o 'option' choices
  else
    _describe 'command' subcommands
  fi
}
if [[ "\${funcstack[1]}" == "_sluice" ]]; then
  _sluice "$@"
else
  compdef _sluice sluice
fi
`
}

/** A word in single quotes; a colon within a description is what _describe splits at, so only the first stays one. */
function quoted(text: string): string {
  const [name = '', ...rest] = text.split(':')
  const whole = rest.length === 0 ? name : `${name}:${rest.join('\\:')}`
  return `'${whole.replaceAll("'", `'\\''`)}'`
}
