/** The routes of kills. */
import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.ts'

export function killRoutes(app: FastifyInstance, services: Services): void {
  void app
  void services
}
