/** Rules on ProxyCertInfo. */
import type { Certificate } from '../certificate.ts'
import { extensionOids } from '../extensions.ts'
import { type DoctorRule, eachOf, nameOf, when } from './context.ts'
import { except, globus, java, openssl, strict, validating } from './relying-parties.ts'

const askAgain =
  'Request a new impersonation proxy without a path length and with a critical ProxyCertInfo.'

/** MyProxy delegates once when it stores a proxy and once when it delivers it. */
const MIN_PATH_LENGTH = 2

/** Globus sees a policy only when it comes to the next critical extension. */
function hasCriticalAfterInfo({ extensions }: Certificate): boolean {
  const at = extensions.findIndex(({ oid }) => oid === extensionOids.proxyCertInfo)
  return extensions.slice(at + 1).some(({ critical }) => critical)
}

export const proxyCertInfoRules: readonly DoctorRule[] = [
  {
    id: 'proxy-cert-info-not-critical',
    severity: 'refuses',
    relyingParties: [...globus, 'XRootD'],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        facts.proxyCertInfo?.critical === false
          ? 'has a ProxyCertInfo that is not critical'
          : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-cert-info-first',
    // Only what davix delegates is invalid: with the proxy itself it reads and writes.
    severity: 'warns',
    relyingParties: ['davix'],
    check: ({ leaf }) =>
      when(
        leaf.certificate.extensions[0]?.oid === extensionOids.proxyCertInfo,
        `The first extension of ${nameOf(leaf)} is ProxyCertInfo, where davix and gfal2 do not see it: third-party copies over https fail.`,
      ),
    remedy: 'Request a new proxy from this service, or make one with voms-proxy-init.',
  },
  {
    id: 'proxy-cert-info-twice',
    severity: 'refuses',
    relyingParties: [...except(openssl, 'caNl-C'), ...globus, ...java],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        facts.duplicates.includes(extensionOids.proxyCertInfo)
          ? 'has more than one ProxyCertInfo'
          : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-cert-info-unreadable',
    severity: 'refuses',
    relyingParties: except(validating, 'caNl-C', 'caNl-Java'),
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        facts.unreadable.includes('proxyCertInfo')
          ? 'has a ProxyCertInfo that cannot be read'
          : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-path-length-short',
    severity: 'refuses',
    relyingParties: ['MyProxy'],
    check: ({ leaf }) => {
      const left = leaf.facts.proxyCertInfo?.pathLength
      if (left === undefined || left >= MIN_PATH_LENGTH) return []
      const sentence = `The proxy ${nameOf(leaf)} has a path length of ${left}: it cannot be delegated as often as needed.`
      // Globus derives a proxy from the proxy as soon as it delegates.
      return [{ sentence, ...(left === 0 ? { relyingParties: globus } : {}) }]
    },
    remedy: 'Request a proxy without a path length, or with at least 2.',
  },
  {
    id: 'proxy-path-length-exceeded',
    severity: 'refuses',
    relyingParties: strict,
    check: ({ chain }) =>
      when(
        chain.some(({ facts: { proxyCertInfo } }, index) => {
          const allowed = proxyCertInfo?.pathLength
          return allowed !== undefined && index > allowed
        }),
        'The chain has more proxies than a path length allows.',
      ),
    remedy: 'Delegate from a proxy whose path length allows it.',
  },
  {
    id: 'proxy-not-inheriting',
    severity: 'refuses',
    relyingParties: globus,
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts: { proxyCertInfo: info } }) =>
        info?.type === 'independent' || info?.type === 'other'
          ? "is not of the inheriting kind: Globus takes the proxy's own subject for the person, so no grid map fits"
          : undefined,
      ),
    remedy: 'Request an impersonation proxy or a limited proxy.',
  },
  {
    id: 'proxy-policy-octets',
    severity: 'refuses',
    relyingParties: globus,
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts, certificate }) =>
        facts.proxyCertInfo?.hasPolicy === true && hasCriticalAfterInfo(certificate)
          ? 'has a policy in its ProxyCertInfo'
          : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-limited-signs-full',
    severity: 'refuses',
    relyingParties: [...globus, ...java],
    check: ({ chain }) =>
      when(
        chain.some(
          ({ facts }, index) =>
            facts.proxyCertInfo?.type === 'impersonation' &&
            chain[index + 1]?.facts.proxyCertInfo?.type === 'limited',
        ),
        'A limited proxy signed one that is not limited.',
      ),
    remedy: 'Delegate a limited proxy only as a limited one, or start from a full proxy.',
  },
]
