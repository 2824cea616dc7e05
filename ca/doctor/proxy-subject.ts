/** Rules on the names and kinds of proxies. */
import { isOneCommonNameLonger } from '../chain-proxy.ts'
import { lastCommonName } from '../name.ts'
import { proxyKind } from '../proxy-info.ts'
import { type DoctorRule, eachOf, nameOf, when } from './context.ts'
import { canlC, except, globus, java, openssl, validating } from './relying-parties.ts'

const askAgain =
  'Request a new proxy whose subject is the subject of the EEC plus one CN of digits.'

export const proxySubjectRules: readonly DoctorRule[] = [
  {
    id: 'proxy-subject-not-one-cn-more',
    severity: 'refuses',
    relyingParties: validating,
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ certificate: { subject, issuer } }) =>
        isOneCommonNameLonger(subject, issuer)
          ? undefined
          : "has a subject that is not its issuer's with exactly one CN more",
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-cn-not-digits',
    severity: 'refuses',
    relyingParties: ['arcproxy'],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, (link) => {
        const commonName = lastCommonName(link.certificate.subject)
        return link.isProxy &&
          commonName !== undefined &&
          !/^(\d+|(limited )?proxy)$/.test(commonName)
          ? 'has a last CN that does not consist of digits: arcproxy mistakes the proxy for the person'
          : undefined
      }),
    remedy: askAgain,
  },
  {
    id: 'proxy-cn-legacy',
    severity: 'refuses',
    relyingParties: globus,
    check: ({ proxies }) =>
      eachOf('proxy', proxies, (link) =>
        link.isProxy && /^(limited )?proxy$/i.test(lastCommonName(link.certificate.subject) ?? '')
          ? 'has the name of a legacy proxy and is treated as one'
          : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-cn-begins-proxy',
    severity: 'warns',
    relyingParties: ['VOMS'],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ certificate }) =>
        /^proxy-/i.test(lastCommonName(certificate.subject) ?? '')
          ? 'has a last CN that begins with "proxy-", which confuses voms-proxy-info'
          : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-not-rfc3820',
    severity: 'refuses',
    relyingParties: [...openssl, ...globus],
    check: ({ proxies }) =>
      proxies
        .filter(({ isProxy }) => !isProxy)
        .map((link) => {
          const kind = proxyKind(link)
          if (kind === undefined)
            return {
              sentence: `The proxy ${nameOf(link)} has no ProxyCertInfo.`,
              relyingParties: validating,
            }
          return {
            sentence: `The proxy ${nameOf(link)} is not an RFC 3820 proxy but a ${kind}.`,
            // caNl-C still accepts legacy proxies, Globus those of the draft, and XRootD both.
            relyingParties: kind.includes('legacy')
              ? except([...openssl, ...globus], ...canlC)
              : openssl,
          }
        }),
    remedy: 'Request an RFC 3820 proxy (with Globus: grid-proxy-init -rfc).',
  },
  {
    id: 'proxy-kinds-mixed',
    severity: 'refuses',
    relyingParties: [...globus, ...java],
    check: ({ proxies }) =>
      when(
        new Set(proxies.map((link) => proxyKind(link)?.split(' ')[0])).size > 1,
        'The chain mixes legacy and RFC 3820 proxies.',
      ),
    remedy: 'Delegate again from an RFC 3820 proxy.',
  },
]
