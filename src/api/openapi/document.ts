/** Builds /openapi.json from the schemas that also check the requests and make the answers. */
import type { Service } from '../../domain/issuing/service.ts'
import { oauthSchemas, tokenPath } from '../oauth/openapi.ts'
import { wattsPaths, wattsSchemas } from '../watts/openapi.ts'
import { components } from './components.ts'
import { issuingPaths } from './issuing.ts'
import { type Json, tagDescriptions } from './operation.ts'
import { type PublicOffers, publicPaths } from './public.ts'
import { credentialPaths, delegationPaths } from './records.ts'

const description = `Turns OpenID Connect access tokens into X.509 credentials for grid middleware.

- Errors are problem details (RFC 9457). Decide on \`code\`; \`/problems\` explains each of them.
- Retry what 429 and 503 answer, after \`Retry-After\`; nothing else.
- Unknown parameters are refused, in bodies and in queries. Answers may get further members: ignore those that you do not
  know.
- Lists come by page: give \`next\` as \`after\`.`

/** Returns the OpenAPI 3.1 description of all public paths. */
export function createOpenApi(services: ReadonlyMap<string, Service>, offers: PublicOffers): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Token Translation Service',
      version: '1',
      description,
      contact: { name: 'The operator of this service' },
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [
      {
        url: offers.publicUrl?.replace(/\/+$/, '') ?? '/',
        description: 'This service',
      },
    ],
    tags: Object.entries(tagDescriptions).map(([name, about]) => ({ name, description: about })),
    paths: {
      ...issuingPaths(services),
      ...tokenPath(services, offers),
      ...delegationPaths(services),
      ...credentialPaths(),
      ...wattsPaths(),
      ...publicPaths(services, offers),
    },
    components: components(services, { ...oauthSchemas(offers), ...wattsSchemas }),
  }
}
