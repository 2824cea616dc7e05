/** Examples of answers, one for each schema of the native API that people look at. */

const id = '0f8fad5b-d9cb-469f-a165-70867728950e'
const subject = '/C=EU/O=INDIGO/OU=TTS/CN=alice@indigo-iam-test'

const certificate = {
  kind: 'proxy',
  serial: '475293d5e3ccb64689',
  subject: `${subject}/CN=1315556785716811777673`,
  not_before: '2026-11-23T10:00:22.000Z',
  not_after: '2026-11-27T10:00:22.000Z',
  fingerprint_sha256: '6d3f1a5c0b7e49d28a61c4f0927be35814dd06a7f3c29be8517f40a3d69c2e1b',
  key: 'rsa-2048',
}

const credential = {
  id,
  service: 'proxy',
  subject,
  issued_at: '2026-11-23T10:00:23.105Z',
  not_after: '2026-11-27T10:00:22.000Z',
  revoked_at: null,
  revocation_reason: null,
  end_entity_serial: '5b0c8f1d2e3a4956b7c8d9e0f1a2b3c4',
  ssh_serial: null,
  client_id: 'demo-cli',
  address: '192.0.2.7',
  interface: 'native',
  delegation_id: null,
  renewed_from: null,
  certificates: [certificate],
}

const delegation = {
  id,
  state: 'active',
  identity: subject,
  label: 'certcache at wn-17',
  created_at: '2026-11-23T10:00:23.105Z',
  last_used_at: null,
  renews_until: '2026-12-23T10:00:23.105Z',
  advice: 'It renews until 2026-12-23; get a new token before.',
  ended_at: null,
  end_reason: null,
  provider: 'iam',
  client_id: 'demo-cli',
  address: '192.0.2.7',
}

/** The examples, by the names of their schemas in /openapi.json. */
export const answerExamples = {
  Certificate: certificate,
  Credential: credential,
  CredentialPage: { credentials: [credential], next: `1795880423105.${id}` },
  CredentialRevocation: {
    id,
    end_entity_serial: credential.end_entity_serial,
    newly_revoked: true,
    affected: [id],
  },
  IssuedCredential: {
    id,
    service: 'proxy',
    identity: subject,
    not_after: '2026-11-27T10:00:22.000Z',
    end_entity_serial: credential.end_entity_serial,
    warnings: [],
    pem: '-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n',
  },
  Delegation: delegation,
  NewDelegation: { ...delegation, renewal_secret: 'shown only once' },
  DelegationPage: { delegations: [delegation], next: null },
  DelegationEvent: {
    at: '2026-11-23T10:00:23.105Z',
    event: 'made',
    outcome: 'allowed',
    address: '192.0.2.7',
    interface: 'delegation',
    detail: null,
  },
  Problem: {
    type: 'https://tts.example.org/problems/invalid_token',
    title: 'Invalid access token',
    status: 401,
    detail:
      'the token is meant for another service (claim aud); accepted audiences: https://tts.example.org',
    code: 'invalid_token',
    check: 'audience',
    accepted_audiences: ['https://tts.example.org'],
    request_id: 'enVYM66NRH1XKvWt',
  },
  Health: { status: 'ok' },
  Readiness: {
    ready: true,
    stopping: false,
    saturated: false,
    requests_in_flight: 3,
    store: 'ok',
    ca: 'ok',
    providers: [{ id: 'iam', ready: true, using_cached: false }],
  },
  ProxyParameters: { proxy_type: 'limited', lifetime_seconds: 43_200 },
  CertificateParameters: {
    csr: '-----BEGIN CERTIFICATE REQUEST-----\n…\n-----END CERTIFICATE REQUEST-----\n',
  },
  DelegationRequest: { label: 'certcache at wn-17' },
} as const
