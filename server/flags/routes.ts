/** The routes of flags. */
import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.ts'

export function flagRoutes(app: FastifyInstance, services: Services): void {
  void app
  void services
}
