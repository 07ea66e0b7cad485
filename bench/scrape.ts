/** What a server says of itself at `/metrics`. */

/** @returns the samples without labels, by name */
export async function scrape(url: string): Promise<ReadonlyMap<string, number>> {
  const answer = await fetch(`${url}/metrics`)
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}.`)
  const samples = new Map<string, number>()
  for (const line of (await answer.text()).split('\n')) {
    const [name = '', value = ''] = line.split(' ')
    if (/^\w+$/.test(name)) samples.set(name, Number(value))
  }
  return samples
}
