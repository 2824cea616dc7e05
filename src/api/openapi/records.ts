/** The part of /openapi.json about /v1/credentials and /v1/delegations. */
import { revocationReasons } from '../../../ca/crl-entries.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { pageLimits } from '../pages.ts'
import { credentialBody, credentialQuery, issuedAnswer } from './issuing.ts'
import { answer, idParameter, jsonContent, type Json, operation, withToken } from './operation.ts'

const withTokenOrSecret = [...withToken, { renewalSecret: [] }]

const pageQuery: readonly Json[] = [
  {
    name: 'limit',
    in: 'query',
    description: 'Number of entries on a page',
    schema: {
      type: 'integer',
      minimum: 1,
      maximum: pageLimits.maximum,
      default: pageLimits.default,
    },
  },
  {
    name: 'after',
    in: 'query',
    description: '`next` of the page before, or the id of its last entry',
    schema: { type: 'string' },
  },
]

/** Returns the paths of credentials. */
export function credentialPaths(): Json {
  const parts = { tag: 'Credentials', security: withToken } as const
  return {
    '/v1/credentials': {
      get: operation({
        ...parts,
        operationId: 'listCredentials',
        summary: 'Your credentials, newest first',
        parameters: [
          ...pageQuery,
          {
            name: 'active',
            in: 'query',
            description: '`true`: only credentials that are neither expired nor revoked',
            schema: { type: 'string', enum: ['true', 'false'] },
          },
        ],
        answers: { 200: answer('A page of your credentials', 'CredentialPage') },
        problems: [400, 401, 403, 429, 503],
      }),
    },
    '/v1/credentials/{id}': {
      get: operation({
        ...parts,
        operationId: 'showCredential',
        summary: 'One of your credentials',
        parameters: [idParameter],
        answers: { 200: answer('The credential', 'Credential') },
        problems: [400, 401, 403, 404, 429, 503],
      }),
      delete: operation({
        ...parts,
        operationId: 'revokeCredential',
        summary: 'Revokes a credential',
        description:
          'Revokes the EEC of the credential, and with it all its proxies. The CRL with the revocation is there before the answer.',
        parameters: [
          idParameter,
          {
            name: 'reason',
            in: 'query',
            description: 'Revocation reason of RFC 5280 section 5.3.1',
            schema: {
              type: 'string',
              enum: Object.keys(revocationReasons),
              default: 'unspecified',
            },
          },
        ],
        answers: { 200: answer('What was revoked', 'CredentialRevocation') },
        problems: [400, 401, 403, 404, 409, 429, 503],
      }),
    },
  }
}

/** Returns the paths of delegations. */
export function delegationPaths(services: ReadonlyMap<string, Service>): Json {
  return {
    '/v1/delegations': { post: createDelegation(), get: listDelegations() },
    '/v1/delegations/{id}': { get: showDelegation(), delete: revokeDelegation() },
    '/v1/delegations/{id}/proxies': { post: renewProxy(services) },
  }
}

const createDelegation = (): Json =>
  operation({
    operationId: 'createDelegation',
    tag: 'Delegations',
    summary: 'Creates a delegation',
    description:
      'Creates a delegation: the right to renew proxies without a person present. The service exchanges the token for a refresh token of its own client. The answer takes as long as the identity provider does.',
    security: withToken,
    requestBody: { required: false, content: jsonContent('DelegationRequest') },
    answers: { 201: answer('The delegation, with its renewal secret', 'NewDelegation') },
    problems: [400, 401, 403, 404, 409, 429, 503],
  })

const listDelegations = (): Json =>
  operation({
    operationId: 'listDelegations',
    tag: 'Delegations',
    summary: 'Your delegations, newest first',
    security: withToken,
    parameters: pageQuery,
    answers: { 200: answer('A page of your delegations', 'DelegationPage') },
    problems: [400, 401, 403, 429, 503],
  })

const showDelegation = (): Json =>
  operation({
    operationId: 'showDelegation',
    tag: 'Delegations',
    summary: 'One delegation with its events',
    security: withTokenOrSecret,
    parameters: [idParameter],
    answers: { 200: answer('The delegation', 'DelegationDetails') },
    problems: [400, 401, 403, 404, 429, 503],
  })

const revokeDelegation = (): Json =>
  operation({
    operationId: 'revokeDelegation',
    tag: 'Delegations',
    summary: 'Revokes a delegation, here and at the provider',
    security: withTokenOrSecret,
    parameters: [idParameter],
    answers: { 200: answer('The delegation after the revocation', 'DelegationRevocation') },
    problems: [400, 401, 403, 404, 429, 503],
  })

const renewProxy = (services: ReadonlyMap<string, Service>): Json =>
  operation({
    operationId: 'renewProxy',
    tag: 'Delegations',
    summary: 'Issues a proxy to the holder of the renewal secret',
    description:
      'Issues a proxy to the holder of the renewal secret, once the identity provider has confirmed that the account is in good standing. Parameters and answer are those of `POST /v1/proxies`.',
    security: [{ renewalSecret: [] }],
    parameters: [idParameter, ...credentialQuery(services, 'proxies')],
    requestBody: credentialBody('ProxyParameters', false),
    answers: {
      200: issuedAnswer('The proxy', {
        'TTS-Renews-Until': { $ref: '#/components/headers/RenewsUntil' },
      }),
    },
    problems: [400, 401, 403, 410, 429, 503],
  })
