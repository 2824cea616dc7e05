/** The components of /openapi.json. */
import { z } from 'zod'
import { parameterJsonSchema } from '../../../plugins/plugin.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { nativeServices } from '../native.ts'
import { answerSchemas } from './answers.ts'
import { answerExamples } from './examples.ts'
import { answerHeaders, type Json, problemResponses } from './operation.ts'

/** Returns the components that do not belong to one path. @param further schemas of paths with names of others */
export function components(services: ReadonlyMap<string, Service>, further: Json): Json {
  const schemas = { ...answerJsonSchemas(), ...parameterSchemas(services), ...further }
  return {
    securitySchemes,
    schemas: Object.fromEntries(
      Object.entries(schemas).map(([name, schema]) => [name, withExample(name, schema as Json)]),
    ),
    headers: answerHeaders,
    responses: problemResponses,
  }
}

const securitySchemes = {
  bearer: {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT, or whatever a trusted provider issues',
    description: 'Access token from a trusted provider. `WWW-Authenticate` leads to the metadata',
  },
  renewalSecret: {
    type: 'http',
    scheme: 'bearer',
    description: 'Renewal secret of a delegation',
  },
  proxy: { type: 'mutualTLS', description: 'A valid proxy that this service issued' },
}

function withExample(name: string, schema: Json): Json {
  const example = (answerExamples as Json)[name]
  return example === undefined ? schema : { ...schema, examples: [example] }
}

/**
 * The schemas of answers as JSON Schema. They allow further members, so that a later release can add some; those of
 * requests do not, because requests with unknown keys are refused.
 */
function answerJsonSchemas(): Json {
  const registry = z.registry<{ id: string }>()
  for (const [name, schema] of Object.entries(answerSchemas)) registry.add(schema, { id: name })
  const { schemas } = z.toJSONSchema(registry, {
    uri: (name) => `#/components/schemas/${name}`,
    override: ({ jsonSchema }) => delete jsonSchema.additionalProperties,
  })
  return Object.fromEntries(
    Object.entries(schemas).map(([name, { $schema: _schema, $id: _id, ...schema }]) => [
      name,
      schema,
    ]),
  )
}

const signedRequest = {
  proxy: {
    type: 'string',
    description: 'The certificates of the proxy file, in PEM, without the key',
  },
  at: {
    type: 'string',
    format: 'date-time',
    description: 'The present time, at most five minutes off',
  },
  signature: {
    type: 'string',
    description:
      'Base64 of the signature with the key of the proxy (SHA-256) over "tts successor v1", at and the hex SHA-256 of the DER of the CSR, separated by line feeds',
  },
}

/** The schemas of request bodies. */
function parameterSchemas(services: ReadonlyMap<string, Service>): Json {
  const proxy = parametersOf(services, 'proxies')
  return {
    ProxyParameters: { ...proxy, description: 'Parameters of a proxy' },
    CertificateParameters: {
      ...parametersOf(services, 'certificates'),
      required: ['csr'],
      description: 'Parameters of a certificate',
    },
    SuccessorRequest: {
      ...proxy,
      properties: { ...(proxy['properties'] as Json), ...signedRequest },
      description: 'Parameters of a successor, and the proof of possession unless TLS has it',
    },
    DelegationRequest: {
      type: 'object',
      description: 'What you may say about a new delegation',
      properties: {
        label: { type: 'string', maxLength: 100, description: 'Your name for the delegation' },
      },
      additionalProperties: false,
    },
  }
}

function parametersOf(
  services: ReadonlyMap<string, Service>,
  path: keyof typeof nativeServices,
): Json {
  const plugin = services.get(nativeServices[path])?.plugin
  if (plugin === undefined) return { type: 'object', properties: { csr: { type: 'string' } } }
  const { $schema: _, ...schema } = parameterJsonSchema(plugin.parameters) as Json
  const service = { type: 'string', description: 'Id of another service of the same kind' }
  // Those with a default need not be sent.
  return { ...schema, properties: { ...(schema['properties'] as Json), service } }
}
