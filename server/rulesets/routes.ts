/** The routes of rulesets. */
import type { FastifyInstance } from 'fastify'
import type { Services } from '../services.ts'

export function rulesetRoutes(app: FastifyInstance, services: Services): void {
  void app
  void services
}
