/** Kills that end by themselves: the server writes the lift when their moment comes. */
import type { Services } from '../services.ts'

/** Starts watching; the answer ends it. */
export function startExpiry(services: Pick<Services, 'log' | 'clock' | 'logger'>): { close(): void } {
  void services
  return { close() {} }
}
