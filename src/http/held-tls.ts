/** A TLS certificate that the service makes itself, and renews while it listens. */
import type { SecureContextOptions, Server } from 'node:tls'
import type { Log } from '../base/log.ts'
import type { TlsReloading } from './tls-reload.ts'

/** Certificate, chain and key in PEM. */
export interface HeldTls {
  readonly certificatePem: string
  readonly keyPem: string
  readonly end: Date
}

export interface HeldTlsSource {
  readonly current: () => Promise<HeldTls>
}

const LOOK_INTERVAL_MS = 60_000

/** Options for a TLS server. @param fixed further ones, with every certificate */
export function heldTlsOptions(
  { certificatePem, keyPem }: HeldTls,
  fixed: SecureContextOptions = {},
): SecureContextOptions {
  return { cert: certificatePem, key: keyPem, minVersion: 'TLSv1.2', ...fixed }
}

/**
 * Looks once a minute whether there is another certificate.
 *
 * @param options.fixed as for `heldTlsOptions`
 */
export function followHeldTls(
  server: Pick<Server, 'setSecureContext'>,
  source: HeldTlsSource,
  options: { readonly log: Log; readonly used: HeldTls; readonly fixed?: SecureContextOptions },
): TlsReloading {
  const { log, fixed } = options
  let { used } = options
  const look = async (): Promise<void> => {
    try {
      const next = await source.current()
      if (next.certificatePem === used.certificatePem) return
      server.setSecureContext(heldTlsOptions(next, fixed))
      used = next
      log.info({ event: 'tls.reloaded' }, 'continuing with another host certificate')
    } catch (error) {
      log.error(
        { event: 'tls.reload-failed', err: error },
        'cannot get the host certificate; the old one stays in use',
      )
    }
  }
  const timer = setInterval(() => void look(), LOOK_INTERVAL_MS)
  timer.unref()
  return {
    get end() {
      return used.end
    },
    stop: () => clearInterval(timer),
  }
}
