/** Where each page is in the navigation. */

interface Item {
  readonly text: string
  readonly link: string
}
interface Group {
  readonly text: string
  readonly items: readonly Item[]
}

const group = (text: string, pages: Readonly<Record<string, string>>): Group => ({
  text,
  items: Object.entries(pages).map(([link, title]) => ({ text: title, link: `/${link}` })),
})

const tutorials = {
  'docs/tutorials/worker': 'Worker',
  'docs/tutorials/cron': 'Machine without a person',
  'docs/tutorials/service': 'Service',
  'docs/tutorials/browser': 'Person with a browser',
  'docs/tutorials/operator': 'Operator',
}
const howTo = {
  'docs/how-to/behind-nginx': 'Behind nginx',
  'docs/how-to/oidc-agent': 'A token from oidc-agent',
  'docs/how-to/voms-on-top': 'VOMS attributes on top',
  'docs/how-to/dn-beforehand': 'Learn your DN beforehand',
  'docs/how-to/htcondor-pool': 'HTCondor pool',
  'docs/how-to/ban-a-person': 'Ban a person',
  'docs/how-to/upgrade': 'Upgrade',
  'docs/how-to/sizing': 'Sizing',
  'docs/how-to/restore-drill': 'Restore drill',
  'docs/how-to/key-roll-over': 'Roll over the key of the CA',
  'docs/providers/indigo-iam': 'Set up at INDIGO IAM',
  'docs/providers/keycloak': 'Set up at Keycloak',
  'docs/providers/other': 'Set up at any other provider',
  'docs/migration': 'From WaTTS',
  'deploy/README': 'Deployment examples',
  'deploy/helm/tts/README': 'The service on Kubernetes',
  'deploy/helm/certcache/README': 'certcache on Kubernetes',
  'deploy/kubernetes/README': 'certcache on Kubernetes, by manifests',
}
const reference = {
  'docs/command-line': 'Command line and HTTP',
  'docs/configuration': 'Configuration',
  'docs/certcache': 'certcache',
  'docs/certcache-configuration': 'Configuration of certcache',
  'docs/operations': 'Operations',
  'docs/scaling': 'Several replicas',
  'docs/network': 'HTTP proxies and trusted CAs',
  'docs/web': 'The web page',
  'docs/voms': 'VOMS attributes',
  'docs/htcondor': 'HTCondor',
  'docs/data-transfers': 'Data transfers',
  'docs/ssh': 'SSH certificates',
  'docs/myproxy': 'MyProxy',
  'docs/watts': 'WaTTS API',
  'docs/plugins': 'Plugins',
  'docs/troubleshooting': 'Troubleshooting',
  'docs/glossary': 'Glossary',
  'clients/README': 'Clients for programs',
  'clients/typescript/README': 'Client for TypeScript',
  'clients/python/README': 'Client for Python',
  CHANGELOG: 'Changelog',
}
const explanation = {
  README: 'Overview',
  'docs/how-it-works': 'How it works',
  'docs/security': 'Security model',
  'docs/architecture': 'Architecture',
  'docs/performance': 'Performance',
  'ca/README': 'The CA as a library',
  CONTRIBUTING: 'Contributing',
  SECURITY: 'Report a vulnerability',
  CODE_OF_CONDUCT: 'Code of conduct',
}

export const sidebar: readonly Group[] = [
  group('Tutorials', tutorials),
  group('How-to guides', howTo),
  group('Reference', reference),
  group('Explanation', explanation),
]

export const nav: readonly Item[] = [
  { text: 'Tutorials', link: '/docs/tutorials/worker' },
  { text: 'How-to', link: '/docs/how-to/behind-nginx' },
  { text: 'Reference', link: '/docs/command-line' },
  { text: 'Explanation', link: '/docs/how-it-works' },
  { text: 'Troubleshooting', link: '/docs/troubleshooting' },
]
