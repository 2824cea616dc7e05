/** Finds the settings to check when a TLS connection to PostgreSQL fails. */

const UNTRUSTED =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT\w*|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/

/**
 * Returns what to do, as a full sentence; undefined if the error is not about TLS.
 *
 * @param setting the setting with the connection string
 */
export function databaseTlsRemedy(error: unknown, setting: string): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { code = '' } = error as NodeJS.ErrnoException
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `Check the host name in ${setting}: the certificate of the database is for another host.`
  if (code === 'CERT_HAS_EXPIRED') return 'Renew the TLS certificate of the database.'
  return UNTRUSTED.test(code)
    ? `Name the CA of the database's certificate in tls.ca_file, or with sslrootcert=FILE in ${setting}.`
    : undefined
}

/**
 * Describes a file of sslrootcert, sslcert or sslkey that the driver could not read when it parsed the connection
 * string; undefined if the error has another cause.
 */
export function describeUnreadableTlsFile(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { code = 'error', path } = error as NodeJS.ErrnoException
  return typeof path === 'string' ? `${path} cannot be read: ${code}` : undefined
}
