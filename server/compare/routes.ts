/** The routes of compare. */
import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.ts'

export function compareRoutes(app: FastifyInstance, services: Services): void {
  void app
  void services
}
