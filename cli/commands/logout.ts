/** `sluice logout`: forget the stored server and key. */
import type { Command } from 'commander'
import { loginPath, removeLogin } from '../login.ts'
import { openOutput } from '../session.ts'

export function addLogout(program: Command): void {
  program
    .command('logout')
    .summary('forget the stored key')
    .description('Remove what "sluice login" stored. The key itself stays valid: end it with "sluice keys revoke".')
    .action((_options: object, self: Command) => {
      const output = openOutput(self.optsWithGlobals<{ json?: boolean }>().json === true)
      const path = loginPath(process.env)
      const removed = self.optsWithGlobals<{ dryRun?: boolean }>().dryRun === true ? false : removeLogin(process.env)
      output.data({ removed, file: path })
      output.line(
        removed ? `Logged out: ${path} is removed. The key stays valid until it is revoked.` : `Nothing was removed from ${path}.`,
      )
    })
}
