/** Two ledgers, as they might be two databases. Entering the same entry twice does no harm: each has an id. */

function ledger() {
  const entries = new Map() // by account, then by the entry's id
  return {
    async enter({ account, id, amount }) {
      if (!entries.has(account)) entries.set(account, new Map())
      entries.get(account).set(id, amount)
      return { id }
    },
    async balance(account) {
      if (!entries.has(account)) throw Object.assign(new Error(`No account ${account}`), { code: 'NO_ACCOUNT' })
      return [...entries.get(account).values()].reduce((sum, amount) => sum + amount, 0)
    },
    async *all() {
      for (const [account, its] of entries) for (const [id, amount] of its) yield { account, id, amount }
    },
  }
}

export const oldLedger = ledger()
export const newLedger = ledger()
