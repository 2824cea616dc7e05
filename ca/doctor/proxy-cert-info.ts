/** Rules on ProxyCertInfo. */
import { extensionOids } from '../extensions.ts'
import { type DoctorRule, eachOf, when } from './context.ts'
import { globus, openssl, strict, validating } from './relying-parties.ts'

const askAgain =
  'Ask the service for a new proxy: impersonation, no path length, ProxyCertInfo critical.'

/** MyProxy delegates once when it stores a proxy and once when it delivers it. */
const MIN_PATH_LENGTH = 2

export const proxyCertInfoRules: readonly DoctorRule[] = [
  {
    id: 'proxy-cert-info-not-critical',
    severity: 'refuses',
    relyingParties: [...globus, 'XRootD', 'GridSite', 'caNl-Java', 'VOMS Java'],
    check: ({ proxies }) =>
      eachOf('proxy', proxies, ({ facts }) =>
        facts.proxyCertInfo?.critical === false
          ? 'has a ProxyCertInfo that is not critical'
          : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-cert-info-twice',
    severity: 'refuses',
    relyingParties: [...openssl, ...globus],
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
    relyingParties: validating,
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
      return eachOf('proxy', [leaf], () =>
        left !== undefined && left < MIN_PATH_LENGTH
          ? `has a path length of ${left}: it cannot be delegated as often as needed`
          : undefined,
      )
    },
    remedy: 'Request a proxy without a path length, or with at least 2.',
  },
  {
    id: 'proxy-path-length-exceeded',
    severity: 'refuses',
    relyingParties: strict,
    check: ({ verdict }) =>
      when(
        verdict.problems.some(({ code }) => code === 'proxy_path_length'),
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
      eachOf('proxy', proxies, ({ facts }) =>
        facts.proxyCertInfo?.hasPolicy === true ? 'has a policy in its ProxyCertInfo' : undefined,
      ),
    remedy: askAgain,
  },
  {
    id: 'proxy-limited-signs-full',
    severity: 'refuses',
    relyingParties: globus,
    check: ({ verdict }) =>
      when(
        verdict.problems.some(({ code }) => code === 'limited_signs_full'),
        'A limited proxy signed one that is not limited.',
      ),
    remedy: 'Delegate a limited proxy only as a limited one, or start from a full proxy.',
  },
]
