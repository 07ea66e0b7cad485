import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from '../../../server/clock.ts'
import { openSecrets, SECRET_KEY_FILE, type Secrets } from '../../../server/secrets/secrets.ts'
import { DATABASE_FILE, openSqlite } from '../../../server/storage/sqlite.ts'
import { openStorage } from '../../../server/storage/storage.ts'

const TEXT = 'whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ='

/** Runs with the secrets of a folder, as one life of a server. */
async function opened<T>(data: string, run: (secrets: Secrets) => Promise<T>): Promise<T> {
  const storage = await openStorage(openSqlite(data))
  try {
    return await run(openSecrets({ data, storage: storage.secrets, clock: systemClock }))
  } finally {
    await storage.close()
  }
}

async function kept(t: Test, data: string): Promise<string> {
  const ref = await opened(data, secrets => secrets.keep(TEXT))
  t.equal(ref.hint, TEXT.slice(-4), 'people tell two apart by their last characters')
  return ref.id
}

t.test('a secret outlives a restart, and the database alone does not hold it', async t => {
  const data = t.testdir()
  const id = await kept(t, data)
  t.equal(await opened(data, secrets => secrets.read(id)), TEXT)
  t.notOk(readFileSync(join(data, DATABASE_FILE)).includes(TEXT))
  t.equal(statSync(join(data, SECRET_KEY_FILE)).mode & 0o777, 0o600, 'and its key is for the owner alone')
})

t.test('a secret whose key file is lost is gone, not wrong', async t => {
  const data = t.testdir()
  const id = await kept(t, data)
  rmSync(join(data, SECRET_KEY_FILE))
  t.equal(await opened(data, secrets => secrets.read(id)), null)
})

t.test('a key file that cannot be one stops the start', async t => {
  const data = t.testdir()
  writeFileSync(join(data, SECRET_KEY_FILE), 'not a key')
  await t.rejects(
    opened(data, () => Promise.resolve()),
    { code: 'STORAGE_UNAVAILABLE' },
  )
})

t.test('a short secret has no hint, and what is forgotten is gone', async t => {
  await opened(t.testdir(), async secrets => {
    const short = await secrets.keep('hunter2')
    t.equal(short.hint, '')
    const long = await secrets.keep(TEXT)
    t.same(await secrets.readAll([short, long]), ['hunter2', TEXT])
    await secrets.forget([short])
    t.same(await secrets.readAll([short, long]), [TEXT])
  })
})
