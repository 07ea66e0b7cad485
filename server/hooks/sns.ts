/**
 * Messages of Amazon SNS: signed by a certificate that the message names. The name is what an attacker would bend, so it is only
 * followed to Amazon's own hosts, only for the topic that the hook is for, and not often.
 */
import { X509Certificate, verify } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { openTokenBucket } from '../stream/tokenbucket.ts'
import { at, text } from './reading.ts'
import type { Refusal } from './signatures.ts'

/** Gets a page of the outside. Fails, or answers with what there was. */
export type Fetch = (url: string) => Promise<{ readonly status: number; readonly body: Buffer }>

/** Hosts of SNS in every partition that is public. */
const HOST = /^sns\.[a-z0-9-]{3,32}\.amazonaws\.com(?:\.cn)?$/
/** Certificates are kept; there is one per region, exchanged once in a year or so. */
const CERTIFICATES_MAX = 32
const CERTIFICATES_PER_SECOND = 0.2
const CERTIFICATES_BURST = 10

/** In this order, each with its name on a line before it. */
const SIGNED_NOTIFICATION = ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'] as const
const SIGNED_CONFIRMATION = ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'] as const

export interface Sns {
  /** Null when the message is Amazon's and of this topic. */
  verify(body: unknown, topicArn: string): Promise<Refusal>
  /** Follow the address of a confirmation that was verified. Null when it is done, else why not. */
  confirm(body: unknown): Promise<string | null>
}

export function openSns({ clock, fetch }: { readonly clock: Clock; readonly fetch: Fetch }): Sns {
  const certificates = new Map<string, X509Certificate>()
  const budget = openTokenBucket(clock, CERTIFICATES_PER_SECOND, CERTIFICATES_BURST)

  async function certificateAt(url: string): Promise<X509Certificate | string> {
    const known = certificates.get(url)
    if (known !== undefined) return known
    if (!budget.take()) return 'too many certificates were asked for; it is tried again in a while'
    try {
      const { status, body } = await fetch(url)
      if (status !== 200) return `the certificate was answered with ${status}`
      const certificate = new X509Certificate(body)
      if (certificates.size >= CERTIFICATES_MAX) for (const oldest of certificates.keys()) if (certificates.delete(oldest)) break
      certificates.set(url, certificate)
      return certificate
    } catch (error) {
      return `the certificate could not be had: ${error instanceof Error ? error.message : 'no answer'}`
    }
  }

  return {
    async verify(body, topicArn) {
      const refused = (reason: string): Refusal => ({ verdict: 'bad-signature', reason })
      const topic = text(at(body, 'TopicArn'))
      if (topic !== topicArn)
        return refused(
          `it is of the topic ${topic === '' ? '(none)' : JSON.stringify(topic.slice(0, 100))}, and this hook is for ${topicArn}`,
        )
      const type = text(at(body, 'Type'))
      const version = text(at(body, 'SignatureVersion'))
      if (version !== '1' && version !== '2') return refused('its SignatureVersion is neither 1 nor 2')
      const url = text(at(body, 'SigningCertURL'), 2_000)
      if (!isOfSns(url, '.pem')) return refused('its SigningCertURL is not at sns.<region>.amazonaws.com')
      const certificate = await certificateAt(url)
      if (typeof certificate === 'string') return refused(certificate)
      const now = clock.now()
      if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo))
        return refused('its certificate is not valid now')
      const signature = Buffer.from(text(at(body, 'Signature'), 4_000), 'base64')
      const isGenuine = isVerified(version === '1' ? 'sha1' : 'sha256', signedText(body, type), certificate, signature)
      return isGenuine ? null : refused('its signature does not fit')
    },
    async confirm(body) {
      const url = text(at(body, 'SubscribeURL'), 4_000)
      if (!isOfSns(url, '')) return 'its SubscribeURL is not at sns.<region>.amazonaws.com'
      try {
        const { status } = await fetch(url)
        return status >= 200 && status < 300 ? null : `the confirmation was answered with ${status}`
      } catch (error) {
        return `the confirmation could not be sent: ${error instanceof Error ? error.message : 'no answer'}`
      }
    },
  }
}

/** What Amazon signs of a message. */
export function signedText(body: unknown, type: string): Buffer {
  const names = type === 'Notification' ? SIGNED_NOTIFICATION : SIGNED_CONFIRMATION
  let signed = ''
  for (const name of names) {
    const value = at(body, name)
    if (typeof value === 'string') signed += `${name}\n${value}\n`
  }
  return Buffer.from(signed)
}

function isOfSns(text: string, ending: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, hostname, port, username, password, pathname } = new URL(text)
  return protocol === 'https:' && HOST.test(hostname) && port === '' && username === '' && password === '' && pathname.endsWith(ending)
}

function isVerified(algorithm: 'sha1' | 'sha256', signed: Buffer, certificate: X509Certificate, signature: Buffer): boolean {
  try {
    return verify(algorithm, signed, certificate.publicKey, signature)
  } catch {
    return false
  }
}
