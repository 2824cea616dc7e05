/** Reads a proxy that its holder presents in a request. */
import { CaError } from '../../ca/errors.ts'
import { readPem } from '../../ca/pem.ts'
import { MAX_PROXY_FILE_LENGTH } from '../../ca/proxy-file.ts'
import { TtsError } from '../base/errors.ts'

/**
 * Reads the certificates of a proxy file from a parameter; none if the text has no PEM.
 *
 * @throws {TtsError} `invalid_request`
 */
export function readProxyChain(parameter: string, text: unknown): readonly Buffer[] {
  if (typeof text !== 'string') throw notAChain(parameter)
  try {
    const blocks = readPem(text, 'proxy', MAX_PROXY_FILE_LENGTH)
    if (blocks.every(({ label }) => label === 'CERTIFICATE')) return blocks.map(({ der }) => der)
  } catch (error) {
    if (!(error instanceof CaError)) throw error
  }
  throw notAChain(parameter)
}

/** The error for a parameter that holds something else. */
export function notAChain(parameter: string): TtsError {
  return new TtsError(
    'invalid_request',
    `${parameter}: must be the certificates of the proxy file in PEM, without its key`,
  )
}
