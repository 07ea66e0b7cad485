/** Chats: which workspace may give commands, as whom each person there acts, and the endpoint that a slash command calls. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { changeSchema } from '../../schemas/change.ts'
import {
  type Chat,
  CHAT_LINKS_MAX,
  CHAT_SECRETS_MAX,
  chatInputSchema,
  chatLinkInputSchema,
  chatPatchSchema,
  chatSchema,
} from '../../schemas/chat.ts'
import { SluiceError } from '../../schemas/errors.ts'
import type { SecretRef } from '../../schemas/secret.ts'
import type { KeyRingHandle } from '../access/keyring.ts'
import { type Access, everyone, role } from '../access/policy.ts'
import { findEnvironment, findProject } from '../environments/find.ts'
import { addRawRoutes } from '../http/body.ts'
import { type Call, rawRoute, route, writeQuerySchema } from '../http/route.ts'
import { leftBy, writeFields, written } from '../http/write.ts'
import { SERVER_LOG, type State } from '../log/types.ts'
import type { Services } from '../services.ts'
import { answerCommand, type Reply } from './commands.ts'
import { parseCommand } from './command.ts'
import { parseSlash, Replays, type SlashCommand, verifySlack } from './slack.ts'
import { escaped } from './words.ts'

const CHATS_MAX = 100
/** A slash command's form is small. */
const FORM_BYTES_MAX = 64 * 1024

const answer = z.object({
  revision: z.number().int(),
  change: changeSchema.nullable(),
  dryRun: z.literal(true).optional(),
  chat: chatSchema.nullable(),
})

export function chatRoutes(app: FastifyInstance, services: Services, ring: Pick<KeyRingHandle, 'byId'>): void {
  const { log, secrets } = services
  const tag = 'chats'
  const policy = role('admin', 'server')

  route(app, {
    method: 'GET',
    url: '/api/v1/chats',
    policy,
    tag,
    summary: 'The chat workspaces that may give commands',
    response: z.object({ chats: z.array(chatSchema) }),
    handler: () => ({ chats: [...log.state(SERVER_LOG).documents.chat.values()] }),
  })

  route(app, {
    method: 'POST',
    url: '/api/v1/chats',
    policy,
    tag,
    summary: 'Let a Slack workspace give commands',
    description: 'Its slash command then calls `/chat/slack/:chat`. Nobody there may do anything until a link gives them a key.',
    query: writeQuerySchema,
    body: chatInputSchema,
    response: answer,
    status: 201,
    async handler(call) {
      const { key, secret, project = 'default', environments = {} } = call.body
      checkPlaces(services, project, environments)
      const made = await keptFor(call, secret)
      return write(call, key, 'chat.create', made, state => {
        const { chat } = state.documents
        if (chat.has(key)) throw new SluiceError('ALREADY_EXISTS', `There is a chat "${key}". Edit it, or choose another key.`)
        if (chat.size >= CHATS_MAX) throw new SluiceError('LIMIT_EXCEEDED', `There are ${CHATS_MAX} chats, the most a server takes.`)
        return { key, kind: 'slack', secrets: made, project, environments, links: {}, version: 1 }
      })
    },
  })

  route(app, {
    method: 'PATCH',
    url: '/api/v1/chats/:chat',
    policy,
    tag,
    summary: 'Change a chat; a new secret is good beside the others unless dropOthers is set',
    query: writeQuerySchema,
    body: chatPatchSchema,
    response: answer,
    async handler(call) {
      const key = call.params.chat ?? ''
      const { secret, dropOthers = false, project, environments } = call.body
      findChat(log.state(SERVER_LOG), key)
      const made = secret === undefined ? [] : await keptFor(call, secret)
      return write(call, key, 'chat.edit', made, state => {
        const chat = findChat(state, key)
        const next = { ...chat, ...(project === undefined ? {} : { project }), ...(environments === undefined ? {} : { environments }) }
        checkPlaces(services, next.project, next.environments)
        const kept = dropOthers ? made : [...chat.secrets, ...made]
        if (kept.length === 0)
          throw new SluiceError('INVALID_REQUEST', 'dropOthers without a secret would leave none. Send the new one with it.')
        if (kept.length > CHAT_SECRETS_MAX) {
          const message = `Chat "${key}" has ${chat.secrets.length} secrets, the most there can be. Send dropOthers with the new one.`
          throw new SluiceError('LIMIT_EXCEEDED', message)
        }
        return { ...next, secrets: kept }
      })
    },
  })

  route(app, {
    method: 'DELETE',
    url: '/api/v1/chats/:chat',
    policy,
    tag,
    summary: 'Take the workspace its commands away',
    query: writeQuerySchema,
    response: answer,
    handler: call =>
      write(call, call.params.chat ?? '', 'chat.delete', [], state => {
        findChat(state, call.params.chat ?? '')
        return null
      }),
  })

  route(app, {
    method: 'PUT',
    url: '/api/v1/chats/:chat/links/:user',
    policy,
    tag,
    summary: 'Let a person of the chat act with the permissions of an admin key',
    query: writeQuerySchema,
    body: chatLinkInputSchema,
    response: answer,
    handler(call) {
      const { keyId, name } = call.body
      const user = call.params.user ?? ''
      return write(call, call.params.chat ?? '', 'chat.edit', [], state => {
        const chat = findChat(state, call.params.chat ?? '')
        if (ring.byId(keyId)?.kind !== 'admin') {
          throw new SluiceError('KEY_NOT_FOUND', `No admin key with the id "${keyId}". \`sluice keys\` lists those there are.`)
        }
        const links = { ...chat.links, [user]: { keyId, name } }
        if (Object.keys(links).length > CHAT_LINKS_MAX)
          throw new SluiceError('LIMIT_EXCEEDED', `A chat has at most ${CHAT_LINKS_MAX} links.`)
        return { ...chat, links }
      })
    },
  })

  route(app, {
    method: 'DELETE',
    url: '/api/v1/chats/:chat/links/:user',
    policy,
    tag,
    summary: 'Take a person of the chat their permissions away',
    query: writeQuerySchema,
    response: answer,
    handler: call =>
      write(call, call.params.chat ?? '', 'chat.edit', [], state => {
        const chat = findChat(state, call.params.chat ?? '')
        const { [call.params.user ?? '']: _gone, ...links } = chat.links
        return { ...chat, links }
      }),
  })

  addRawRoutes(app, scope => slashRoute(scope, services, ring))

  /** The secret is kept before the document that names it, never after. */
  async function keptFor(call: Pick<Call, 'query'>, secret: string): Promise<SecretRef[]> {
    const isDry = (call.query as { dryRun?: string }).dryRun === 'true'
    return isDry ? [{ id: 'dry-run', hint: '', createdAt: new Date(services.clock.now()).toISOString() }] : [await secrets.keep(secret)]
  }

  async function write(
    call: Parameters<typeof writeFields>[0],
    key: string,
    action: 'chat.create' | 'chat.edit' | 'chat.delete',
    made: readonly SecretRef[],
    next: (state: State) => Chat | null,
  ) {
    const fields = writeFields(call)
    const before = log.state(SERVER_LOG).documents.chat.get(key)
    try {
      const commit = await log.commit({ log: SERVER_LOG, action, ...fields, plan: state => [{ type: 'chat', key, after: next(state) }] })
      const chat = action === 'chat.delete' ? null : leftBy(commit, 'chat', key, log.state(SERVER_LOG).documents.chat.get(key)!)
      if (!fields.dryRun) await secrets.forget((before?.secrets ?? []).filter(({ id }) => !chat?.secrets.some(ref => ref.id === id)))
      return { ...written(commit, fields), chat }
    } catch (error) {
      if (!fields.dryRun) await secrets.forget(made)
      throw error
    }
  }
}

/** The one that Slack calls. It is answered within 3 s, and with 200 for whatever a person should read. */
function slashRoute(app: FastifyInstance, services: Services, ring: Pick<KeyRingHandle, 'byId'>): void {
  const { log, secrets, clock } = services
  const replays = new Replays()
  rawRoute(
    app,
    {
      method: 'POST',
      url: '/chat/slack/:chat',
      policy: everyone,
      tag: 'chats',
      summary: 'What a Slack slash command calls; signed by Slack',
      bodyLimit: FORM_BYTES_MAX,
      rawBody: true,
    },
    async (request, reply) => {
      const { chat: key } = request.params as { chat: string }
      const chat = log.state(SERVER_LOG).documents.chat.get(key)
      const body = request.body as Buffer
      const signature = headerOf(request.headers['x-slack-signature'])
      const signed = { timestamp: headerOf(request.headers['x-slack-request-timestamp']), signature }
      // An unknown chat is refused as a wrong signature is: what exists is nobody's to find out.
      verifySlack(body, signed, chat === undefined ? [] : await secrets.readAll(chat.secrets), clock.now())
      if (replays.isRepeat(signature!, clock.now())) {
        throw new SluiceError('SIGNATURE_INVALID', 'This request was taken already. Nothing was changed.')
      }
      const { text, isPublic } = await replyTo(services, chat!, ring, parseSlash(body))
      void reply.header('content-type', 'application/json; charset=utf-8')
      return JSON.stringify({ response_type: isPublic ? 'in_channel' : 'ephemeral', text })
    },
  )
}

async function replyTo(services: Services, chat: Chat, ring: Pick<KeyRingHandle, 'byId'>, said: SlashCommand): Promise<Reply> {
  try {
    const command = parseCommand(said.text)
    const link = Object.hasOwn(chat.links, said.userId) ? chat.links[said.userId] : undefined
    if (command.name !== 'help' && link === undefined) {
      const text = `You are not linked to a key yet, so you may do nothing here. An admin links you with:\n\`sluice chat link ${chat.key} --user ${said.userId} --as "${said.userName}" --key <id of an admin key>\``
      return { text, isPublic: false }
    }
    const access = link === undefined ? null : ring.byId(link.keyId)
    if (command.name !== 'help' && access === null) {
      return { text: `The key that you are linked to was revoked or has expired. Ask an admin for another.`, isPublic: false }
    }
    const caller = callerOf(chat, access, link?.name ?? said.userName)
    return await answerCommand(services, caller, command)
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error
    return { text: `:warning: ${escaped(error.message)}`, isPublic: false }
  }
}

function callerOf(chat: Chat, access: Access | null, name: string): Parameters<typeof answerCommand>[1] {
  const known = access ?? { id: '', kind: 'admin' as const, name, grants: [], project: null, environment: null }
  return { chat, access: known, actor: { kind: 'key', id: known.id, name: `${name} via Slack` } }
}

function findChat(state: State, key: string): Chat {
  const chat = state.documents.chat.get(key)
  if (chat !== undefined) return chat
  throw new SluiceError('CHAT_NOT_FOUND', `No chat "${key}". GET /api/v1/chats lists those there are.`)
}

function checkPlaces(services: Services, project: string, environments: Chat['environments']): void {
  findProject(services, project)
  for (const environment of Object.values(environments)) findEnvironment(services, project, environment)
}

function headerOf(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}
