/** Writes responses of the MyProxy protocol. */
import { answerTo } from '../problem.ts'
import type { TtsError } from '../../base/errors.ts'
import { printable } from '../../base/printable.ts'

/** A credential in the answer to INFO. */
export interface ListedCredential {
  readonly name: string
  readonly start: Date
  readonly end: Date
  /** Slash-DN. */
  readonly owner: string
}

/** A file of the trust-anchor directory. */
export interface TrustRootFile {
  readonly name: string
  readonly content: string
}

/** OK, with trust roots if there are any. */
export function okResponse(trustRoots: readonly TrustRootFile[] = []): Buffer {
  if (trustRoots.length === 0) return message(['RESPONSE=0'])
  return message([
    'RESPONSE=0',
    `TRUSTED_CERTS=${trustRoots.map(({ name }) => name).join(',')}`,
    ...trustRoots.map(
      ({ name, content }) => `FILEDATA_${name}=${Buffer.from(content).toString('base64')}`,
    ),
  ])
}

/** The certificates for a GET: their number in one byte, and each in DER, the issued one first. */
export function certificatesMessage(ders: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.of(ders.length), ...ders])
}

/** The answer to INFO. All but the first credential are listed by their names. */
export function informationResponse(credentials: readonly ListedCredential[]): Buffer {
  const [first, ...more] = credentials
  const linesOf = (prefix: string, { start, end, owner }: ListedCredential): readonly string[] => [
    `${prefix}START_TIME=${unixSeconds(start)}`,
    `${prefix}END_TIME=${unixSeconds(end)}`,
    `${prefix}OWNER=${safe(owner)}`,
  ]
  return message([
    'RESPONSE=0',
    ...(first === undefined ? [] : [`CRED_NAME=${first.name}`, ...linesOf('CRED_', first)]),
    ...more.flatMap((credential) => linesOf(`CRED_${credential.name}_`, credential)),
    ...(more.length === 0 ? [] : [`ADDL_CREDS=${more.map(({ name }) => name).join(',')}`]),
  ])
}

/** An error, with its message for the client. Internal errors show none. */
export function errorResponse(error: TtsError): Buffer {
  const { isHidden, retryAfterSeconds } = answerTo(error)
  const text = isHidden ? 'the service failed; its log has the cause' : error.message
  const again = retryAfterSeconds === undefined ? [] : [`try again in ${retryAfterSeconds} seconds`]
  return message(['RESPONSE=1', ...[text, ...again].map((line) => `ERROR=${safe(line)}`)])
}

function message(lines: readonly string[]): Buffer {
  return Buffer.from(`${['VERSION=MYPROXYv2', ...lines].join('\n')}\n\0`)
}

const unixSeconds = (date: Date): number => Math.floor(date.getTime() / 1000)

const FIELD_NAMES = /(VERSION|RESPONSE|ERROR|NAME|DESC|OWNER|TIME|CREDS|CERTS|DATA)=/g

/** Clients look for the names of fields everywhere in a message, also within a line. */
function safe(text: string): string {
  return printable(text).replace(FIELD_NAMES, '$1 =')
}
