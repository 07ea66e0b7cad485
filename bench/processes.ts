/** Several processes of one bench: each started from the bench's own file, told what to be by its arguments, and ended with it. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Family<Told extends { readonly kind: string }> {
  /** One more process of the same file. */
  start(args: readonly string[], nodeArgs?: readonly string[]): Member<Told>
  /** Ends all of them. */
  stop(): void
}

export interface Member<Told extends { readonly kind: string }> {
  readonly child: ChildProcess
  /** The next message of a kind for which `isIt` holds. Rejects when the process ends first. */
  told<K extends Told['kind']>(kind: K, isIt?: (message: Extract<Told, { kind: K }>) => boolean): Promise<Extract<Told, { kind: K }>>
  tell(message: object): void
}

/** @param file `import.meta.url` of the bench */
export function openFamily<Told extends { readonly kind: string }>(file: string): Family<Told> {
  const children: ChildProcess[] = []
  endWith(() => stop())
  function stop(): void {
    for (const child of children) child.kill('SIGKILL')
  }
  return {
    start(args, nodeArgs = []) {
      const child = fork(fileURLToPath(file), args, { execArgv: [...nodeArgs], serialization: 'advanced' })
      children.push(child)
      return {
        child,
        told(kind, isIt = () => true) {
          return new Promise((resolve, reject) => {
            const leave = (): void => {
              child.off('message', look)
              child.off('exit', fail)
            }
            const look = (said: unknown): void => {
              const message = said as Told
              if (message.kind !== kind || !isIt(message as never)) return
              leave()
              resolve(message as never)
            }
            const fail = (): void => {
              leave()
              reject(new Error(`A process of the bench (${args.join(' ')}) ended early.`))
            }
            child.on('message', look)
            child.on('exit', fail)
          })
        },
        tell: message => void child.send(message),
      }
    },
    stop,
  }
}

/** Whatever ends this process first ends what it started: at its end, and when it is told to stop. */
export function endWith(stop: () => void): void {
  process.once('exit', stop)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
}

let isChild = false

/** From a child to the bench; a child that has spoken does not outlive it. */
export function tellParent(message: object): void {
  if (!isChild) process.once('disconnect', () => process.exit())
  isChild = true
  process.send?.(message)
}

/** Milliseconds of the machine's monotonic clock: the same in all processes. */
export function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
