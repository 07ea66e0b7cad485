/** The live stream: says that something changed, to whoever listens; comes back by itself, and says so too. */
import { signal } from '@preact/signals'
import type { LiveMessage } from '../../schemas/live.ts'
import { call } from './api.ts'

const RETRY_MIN_MS = 500
const RETRY_MAX_MS = 15_000

/** Whether what the page shows follows the server; null until it is known. */
export const isLive = signal<boolean | null>(null)

type FleetMessage = Extract<LiveMessage, { type: 'fleet' }>

/** By project and environment: how many instances are connected, and have its newest revision. Empty until it is told. */
export const fleets = signal<ReadonlyMap<string, FleetMessage>>(new Map())

type Listener = (message: LiveMessage) => void
const listeners = new Set<Listener>()
let socket: WebSocket | null = null
let retryMs = RETRY_MIN_MS
let isWanted = false

/** Answers the function that ends it. */
export function listen(listener: Listener): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

export function startLive(): void {
  if (isWanted) return
  isWanted = true
  void open()
}

export function stopLive(): void {
  isWanted = false
  socket?.close()
  socket = null
  isLive.value = null
}

async function open(): Promise<void> {
  try {
    const { ticket } = await call<{ ticket: string }>('/api/v1/session/ticket', { method: 'POST' })
    if (!isWanted) return
    const url = new URL(`/live?ticket=${ticket}`, location.href)
    url.protocol = url.protocol.replace('http', 'ws')
    const own = new WebSocket(url)
    socket = own
    own.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as LiveMessage
      if (message.type === 'welcome') {
        retryMs = RETRY_MIN_MS
        isLive.value = true
        fleets.value = new Map()
      } else if (message.type === 'fleet') {
        fleets.value = new Map(fleets.value).set(`${message.project}/${message.environment}`, message)
      }
      for (const listener of listeners) listener(message)
    })
    own.addEventListener('close', () => lost())
  } catch {
    lost()
  }
}

function lost(): void {
  if (!isWanted) return
  socket = null
  isLive.value = false
  setTimeout(() => void (isWanted && open()), retryMs * (0.5 + Math.random() / 2))
  retryMs = Math.min(RETRY_MAX_MS, retryMs * 2)
}
