/** The routes of segments. */
import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.ts'

export function segmentRoutes(app: FastifyInstance, services: Services): void {
  void app
  void services
}
