/** INFO: the certificates and proxies that the holder of a certificate has. Nothing is stored here to be told of. */
import {
  type CertificateCallerDependencies,
  identifyByCertificate,
} from '../../domain/certificate-caller.ts'
import { myproxyPlugins } from '../../config/myproxy-schema.ts'
import type { CredentialView } from '../../domain/records.ts'
import type { IssueDependencies } from '../../domain/issuing/issue.ts'
import { recordEarlyRefusal } from '../../domain/issuing/issue-audit.ts'
import type { MyProxyContext } from './context.ts'
import { informationResponse } from './responses.ts'

export interface InformationDependencies {
  readonly certificates: CertificateCallerDependencies
  readonly issuing: Pick<
    IssueDependencies,
    'bans' | 'limiter' | 'store' | 'now' | 'services' | 'sampleRefusal'
  >
}

/** Clients read responses into one buffer and show all of it. */
const MAX_LISTED = 20
/** Some are of other plugins. */
const MAX_READ = 200
const NAME_DIGITS = 8

/**
 * Lists the newest credentials of the caller that are valid.
 *
 * @throws {TtsError} as `identifyByCertificate`; `access_denied`, check `banned`; `limit_reached`
 */
export async function informationAnswer(
  { certificates, issuing }: InformationDependencies,
  { certificates: shown, origin, log }: MyProxyContext,
): Promise<Buffer> {
  const { bans, limiter, store, now, services } = issuing
  const isX509 = ({ serviceId }: CredentialView): boolean =>
    myproxyPlugins.includes(services.get(serviceId)?.plugin.id ?? '')
  try {
    const { identity } = await identifyByCertificate(certificates, shown)
    await bans.requireNotBanned({ ...identity, claims: undefined }, identity.id)
    limiter.check(identity)
    const filter = { identityId: identity.id, activeAt: now(), limit: MAX_READ }
    const views = await store.listCredentials(filter)
    return informationResponse(
      views
        .filter(isX509)
        .slice(0, MAX_LISTED)
        .flatMap(({ id, serviceId, issuedAt, notAfter }) =>
          notAfter === undefined
            ? []
            : [
                {
                  name: `${serviceId}-${id.slice(0, NAME_DIGITS)}`,
                  start: issuedAt,
                  end: notAfter,
                  owner: identity.subject,
                },
              ],
        ),
    )
  } catch (error) {
    throw await recordEarlyRefusal(issuing, { serviceId: undefined, origin, log }, error)
  }
}
