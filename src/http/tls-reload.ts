/** The TLS certificate of a listener, which is read again when its files change. */
import { unwatchFile, watchFile } from 'node:fs'
import type { Server as TlsServer } from 'node:https'
import type { Log } from '../base/log.ts'
import { readTlsFiles, type TlsFilePaths } from './tls-files.ts'

export interface TlsReloading {
  /** When the certificate in use expires. */
  readonly end: Date
  /** Stops watching the files. */
  stop(): void
}

/** Options for a TLS server. @throws {TtsError} as `readTlsFiles` */
export function tlsContext(files: TlsFilePaths) {
  const { certificatePem, keyPem, certificate } = readTlsFiles(files)
  const options = { cert: certificatePem, key: keyPem, minVersion: 'TLSv1.2' as const }
  return { options, end: certificate.validToDate }
}

/**
 * Polls the files, because certificates are often replaced by changing a symbolic link to a parent directory, which a
 * watcher misses.
 *
 * @param options.end when the certificate that the server has now expires
 */
export function reloadTls(
  server: TlsServer,
  files: TlsFilePaths,
  options: { readonly log: Log; readonly intervalMs: number; readonly end: Date },
): TlsReloading {
  const { log, intervalMs } = options
  let { end } = options
  const reload = (): void => {
    try {
      const next = tlsContext(files)
      server.setSecureContext(next.options)
      end = next.end
      log.info({ event: 'tls.reloaded' }, 'reloaded the TLS certificate')
    } catch (error) {
      // The files may be only partly replaced: the old certificate stays in use until the next change.
      log.error(
        { event: 'tls.reload-failed', err: error },
        'the new TLS files cannot be used; the old certificate stays in use',
      )
    }
  }
  const paths = [files.certificateFile, files.keyFile]
  for (const path of paths) watchFile(path, { interval: intervalMs, persistent: false }, reload)
  return {
    get end() {
      return end
    },
    stop() {
      for (const path of paths) unwatchFile(path, reload)
    },
  }
}
