/** The answers of a VOMS server: XML, with the codes and words that VOMS clients know. */
import type { TtsError } from '../../base/errors.ts'
import { errorCodes } from '../error-codes.ts'

/** An answer of the protocol. */
export interface VomsAnswer {
  readonly status: number
  readonly body: string
}

const HEAD = '<?xml version="1.0" encoding="UTF-8"?><voms>'

/** The answer with an attribute certificate (DER). */
export function attributesAnswer(der: Buffer, warnings: readonly string[]): VomsAnswer {
  // Each line ends in a line feed, the last one too: the C++ client decodes whole lines only.
  const lines = der.toString('base64').replace(/.{1,64}/g, '$&\n')
  const said = warnings.map((warning) => `<warning>${escapeXml(warning)}</warning>`)
  return { status: 200, body: `${HEAD}<ac>${lines}</ac>${said.join('')}</voms>` }
}

interface Refusal {
  readonly status: number
  readonly code: 'NoSuchUser' | 'SuspendedUser' | 'BadRequest' | 'InternalError'
  readonly text: string
}

/** The answer to a request that was refused. */
export function refusalAnswer(vo: string, error: TtsError): VomsAnswer {
  const { status, code, text } = refusalOf(error)
  const message = escapeXml(`${vo}: ${text}`)
  const body = `${HEAD}<error><code>${code}</code><message>${message}</message></error></voms>`
  return { status, body }
}

/**
 * The C++ client tries the protocol of before 2010 after a refusal, and shows only the error of that, unless the
 * message has the words "User unknown to this VO", "suspended" or "not active". So each decision says one of them.
 */
function refusalOf({ code, check, message }: TtsError): Refusal {
  switch (check) {
    case 'voms_membership':
      return { status: 403, code: 'NoSuchUser', text: 'User unknown to this VO.' }
    case 'certificate':
    case 'certificate_foreign':
      return { status: 403, code: 'NoSuchUser', text: `User unknown to this VO: ${message}` }
    case 'voms_outdated':
      return {
        status: 403,
        code: 'SuspendedUser',
        text: `your membership is suspended: ${message}`,
      }
    case 'banned':
    case 'certificate_revoked':
      return { status: 403, code: 'SuspendedUser', text: `you are suspended: ${message}` }
    case 'certificate_ended':
    case 'certificate_invalid':
    case 'certificate_unreadable':
    case 'voms_attributes':
      return { status: 403, code: 'NoSuchUser', text: `your certificate is not active: ${message}` }
    case 'voms_fqan':
    case 'voms_request':
      return {
        status: 400,
        code: 'BadRequest',
        text: `Unable to satisfy your request, which is not active: ${message}`,
      }
    case 'voms_presented':
      return {
        status: 400,
        code: 'BadRequest',
        text: `no valid VOMS attributes found for your request, which is not active: ${message}`,
      }
    default:
      return otherRefusal({ code, message })
  }
}

function otherRefusal({ code, message }: Pick<TtsError, 'code' | 'message'>): Refusal {
  const { status } = errorCodes[code]
  if (status >= 400 && status < 500 && status !== 429)
    return { status, code: 'BadRequest', text: message }
  const text = code === 'internal' ? 'something failed inside the service' : message
  return { status, code: 'InternalError', text }
}

function escapeXml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
  // XML 1.0 has no control characters, not even as entities; and old clients read ASCII.
  return text
    .replace(/[^\x20-\x7e\u00a0-\ud7ff]/g, '?')
    .replace(/[&<>]/g, (sign) => entities[sign] ?? '')
}
