/** The routes of changes. */
import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.ts'

export function changeRoutes(app: FastifyInstance, services: Services): void {
  void app
  void services
}
