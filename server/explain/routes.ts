/** The routes of explain. */
import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.ts'

export function explainRoutes(app: FastifyInstance, services: Services): void {
  void app
  void services
}
